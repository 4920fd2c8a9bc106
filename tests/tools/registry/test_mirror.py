"""Copies of a registry, every file verified, and the root that a user pins."""

import json
import shutil

import pytest

from common.errors import InputError
from tests.tools.registry.server import serving
from tests.tools.registry.tiny import installed_version as version
from tools.download import download
from tools.registry.mirror import mirror, trust
from tools.registry.publish import add, fingerprint, rotate, yank
from tools.registry.settings import config_file, settings_folder

pytestmark = pytest.mark.usefixtures("registry")


def tree(folder):
    """Every published file; the tables that people read are made anew by each copy."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith("targets/.")}


def test_a_copy_has_every_file(registry, tmp_path, capsys):
    with serving(registry) as server:
        mirror(server.url, tmp_path / "stick")
    assert f"4 files of {server.url} are in {tmp_path / 'stick'}, verified" in capsys.readouterr().out
    copied, original = tree(tmp_path / "stick"), tree(registry)
    # Metadata of states that nobody needs any more stays behind.
    assert copied.items() <= original.items()
    assert original.keys() - copied.keys() == {"metadata/1.snapshot.json", "metadata/1.targets.json"}


def test_a_copy_is_brought_up_to_date(registry, archives, tmp_path, bundles):
    stick = tmp_path / "stick"
    mirror(str(registry), stick)
    add(registry, [str(archives["0.11.0"])])
    yank(registry, "tiny==0.10.0", "wrong weights")
    mirror(str(registry), stick)
    download("tiny", registry=str(stick))
    assert version(bundles) == "0.11.0"
    info = json.loads((stick / "targets" / "model_info.json").read_text())
    assert list(info) == ["tiny_v0.10.0", "tiny_v0.11.0", "tiny_v0.9.0"]


def test_who_pinned_the_first_root_can_use_a_copy_that_was_made_after_rotations(registry, tmp_path, bundles):
    pinned = tmp_path / "pinned.json"
    pinned.write_bytes((registry / "metadata" / "1.root.json").read_bytes())
    for role in ("root", "targets", "root"):
        rotate(registry, role)
    mirror(str(registry), tmp_path / "stick", root=str(registry / "metadata" / "3.root.json"))
    download("tiny", registry=str(tmp_path / "stick"), root=str(pinned))
    assert version(bundles) == "0.10.0"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("targets/tiny_v0.9.0.md", r"tiny_v0\.9\.0\.md: expected the file that was signed, got: "),
        ("targets/tiny_v0.9.0.zip", "expected the SHA-256 .* that was signed, got other bytes|the server sends"),
        ("metadata/2.snapshot.json", "cannot be trusted|keys that are trusted"),
    ],
)
def test_what_was_changed_is_not_copied_and_the_copy_before_stays_usable(name, message, registry, tmp_path, bundles):
    stick = tmp_path / "stick"
    mirror(str(registry), stick)
    before = tree(stick)
    content = bytearray((registry / name).read_bytes())
    content[len(content) // 2] ^= 1
    (registry / name).write_bytes(bytes(content))
    shutil.rmtree(tmp_path / "cache")  # what was verified once is not asked for again
    with pytest.raises(InputError, match=message):
        mirror(str(registry), stick)
    assert tree(stick) == before
    download("tiny", registry=str(stick))


@pytest.mark.parametrize("write", [str.upper, lambda text: ":".join(text[i : i + 2] for i in range(0, 64, 2))])
def test_a_fingerprint_as_people_write_it(write, registry, monkeypatch):
    settings_folder().mkdir(parents=True, exist_ok=True)
    config_file().write_text('{"mine": "kept"}')
    trust(str(registry), write(fingerprint(registry)))
    assert json.loads(config_file().read_text()) == {
        "mine": "kept",
        "registry": registry.as_uri(),
        "root": "root.json",
    }
    assert (settings_folder() / "root.json").read_bytes() == (registry / "metadata" / "1.root.json").read_bytes()


@pytest.mark.parametrize("wrong", ["", "00", "f" * 64])
def test_a_wrong_fingerprint_leaves_no_trace(wrong, registry):
    with pytest.raises(InputError, match=r"expected the fingerprint .*; nothing is trusted"):
        trust(str(registry), wrong)
    assert not settings_folder().exists()


def test_no_registry_there(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"expected metadata/1\.root\.json, got: .*no such file"):
        trust(str(tmp_path / "empty"), "00")
