"""Registries that were tampered with: what was not signed is refused, and everything stays as it was."""

import shutil
from datetime import datetime, timedelta, timezone

import pytest

from common.errors import InputError
from tests.tools.registry.server import serving
from tests.tools.registry.tiny import installed_version as version
from tools.download import download
from tools.installed import verify
from tools.registry import repository as repository_module
from tools.registry.publish import init, sign

pytestmark = pytest.mark.usefixtures("registry")


# What a registry or a server can do wrong: (what happens to the tree, or to an answer; what the user is told).


def tampered_target(folder):
    path = folder / "targets" / "tiny_v0.10.0.zip"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def tampered_metadata(name):
    def change(folder):
        path = folder / "metadata" / name
        path.write_text(path.read_text().replace('"spec_version": "1.0', '"more": 1, "spec_version": "1.0'))

    return change


def other_version(folder):
    shutil.copyfile(folder / "targets" / "tiny_v0.9.0.zip", folder / "targets" / "tiny_v0.10.0.zip")


def shorter(folder):
    path = folder / "targets" / "tiny_v0.10.0.zip"
    path.write_bytes(path.read_bytes()[:-100])


def longer(folder):
    path = folder / "targets" / "tiny_v0.10.0.zip"
    path.write_bytes(path.read_bytes() + bytes(100))


def gone(name):
    return lambda folder: (folder / name).unlink()


def garbage(name, content=b"<html>please log in</html>"):
    return lambda folder: (folder / name).write_bytes(content)


TREES = {
    "flipped byte": (tampered_target, "expected the SHA-256 .* that was signed, got other bytes"),
    "another version under this name": (other_version, "that was signed|the server sends"),
    "short archive": (shorter, "the server sends"),
    "long archive": (longer, "sends more than .* bytes"),
    "no archive": (gone("targets/tiny_v0.10.0.zip"), "expected a registry there, got: .*404|no such file"),
    "timestamp changed": (tampered_metadata("timestamp.json"), "signatures of keys that are trusted"),
    "snapshot changed": (tampered_metadata("2.snapshot.json"), "cannot be trusted|keys that are trusted"),
    "targets changed": (tampered_metadata("2.targets.json"), "cannot be trusted|keys that are trusted"),
    "no timestamp": (gone("metadata/timestamp.json"), "expected a registry there, got"),
    "no targets": (gone("metadata/2.targets.json"), "expected a registry there, got"),
    "a login page": (garbage("metadata/timestamp.json"), "cannot be trusted"),
    "empty metadata": (garbage("metadata/2.snapshot.json", b""), "cannot be trusted"),
    "null": (garbage("metadata/2.targets.json", b"null"), "cannot be trusted"),
    "endless metadata": (garbage("metadata/timestamp.json", b"[" * 100_000), "exceeding the maximum allowed length"),
    "deep metadata": (garbage("metadata/timestamp.json", b"[" * 16_000), "cannot be trusted"),
}


@pytest.mark.parametrize("before", [False, True], ids=["install", "upgrade"])
@pytest.mark.parametrize("how", ["folder", "http"])
@pytest.mark.parametrize("case", TREES)
def test_bad_trees(case, how, before, registry, bundles):
    spoil, message = TREES[case]
    if before:
        download("tiny==0.9.0", root=str(registry / "metadata" / "1.root.json"))
        shutil.rmtree(registry.parent / "cache" / "metadata")
    spoil(registry)
    with serving(registry) as server, pytest.raises(InputError, match=message):
        download("tiny==0.10.0", registry=server.url if how == "http" else str(registry))
    assert version(bundles) == ("0.9.0" if before else None)
    if before:
        verify("tiny")
    assert not bundles.exists() or {path.name for path in bundles.iterdir()} <= {".staging", "tiny"}


def test_nothing_is_unpacked_before_its_hash_is_known(registry, bundles, monkeypatch):
    def never(*words, **more):
        raise AssertionError("the archive was opened")

    monkeypatch.setattr("tools.registry.install.unpack", never)
    monkeypatch.setattr("zipfile.ZipFile", never)
    tampered_target(registry)
    with pytest.raises(InputError, match="that was signed, got other bytes"):
        download("tiny==0.10.0")
    assert version(bundles) is None


def test_expired(registry, bundles, monkeypatch):
    past = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=1)
    monkeypatch.setattr(repository_module, "_expiry", lambda days: past)
    sign(registry)
    with pytest.raises(InputError, match=r"still count, got: .*expired.*a mirror has to be renewed"):
        download("tiny")
    assert version(bundles) is None


def test_rollback_to_an_older_index(registry, tmp_path, bundles):
    shutil.copytree(registry, tmp_path / "older")
    sign(registry)
    with serving(registry) as server:
        download("tiny==0.9.0", registry=server.url)
        shutil.copyfile(tmp_path / "older" / "metadata" / "timestamp.json", registry / "metadata" / "timestamp.json")
        with pytest.raises(InputError, match="expected a state as new as the one seen before, got an older one"):
            download("tiny==0.10.0", registry=server.url)
    assert version(bundles) == "0.9.0"


def test_another_root(registry, tmp_path, bundles):
    init(tmp_path / "other", key_dir=str(tmp_path / "others"))
    with pytest.raises(InputError, match="signatures of keys that are trusted"):
        download("tiny", root=str(tmp_path / "other" / "metadata" / "1.root.json"))
    (tmp_path / "root.json").write_text("{}")
    with pytest.raises(InputError, match=r"its metadata cannot be trusted"):
        download("tiny", root=str(tmp_path / "root.json"))
    with pytest.raises(InputError, match=r"trusted root .*: expected a readable file"):
        download("tiny", root=str(tmp_path / "none.json"))
