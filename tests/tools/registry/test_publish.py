"""The publisher's commands: keys that nobody else reads, metadata that outlives a crash, versions that never change."""

import json
import os
import stat
import zipfile

import pytest

from common.errors import InputError
from tests.tools.registry.tiny import make_bundle
from tests.tools.validate.defects import state
from tools.download import download
from tools.installed import list_bundles
from tools.package import pack
from tools.registry import publish
from tools.registry.keys import check_outside, load_key, make_key
from tools.registry.publish import add, fingerprint, init, rotate, sign, yank
from tools.registry.repository import Repository
from tools.registry.settings import key_folder
from tools.validate import command


def opened(folder):
    return Repository(folder, key_folder())


def test_keys_are_their_owners_alone(registry, tmp_path):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()}
    assert modes == {f"{role}.pem": 0o600 for role in ("root", "targets", "snapshot", "timestamp")}
    assert [path for path in registry.rglob("*") if b"PRIVATE" in (path.read_bytes() if path.is_file() else b"")] == []


def test_a_key_that_others_can_read_is_refused(registry, tmp_path):
    (tmp_path / "keys" / "targets.pem").chmod(0o640)
    with pytest.raises(InputError, match=r"targets\.pem: expected a key that its owner alone can read, got mode 640"):
        sign(registry)


def test_a_passphrase_protects_the_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRATION_KEY_PASSPHRASE", "correct horse")
    init(tmp_path / "registry", passphrase=True)
    assert b"ENCRYPTED" in (tmp_path / "keys" / "root.pem").read_bytes()
    sign(tmp_path / "registry")
    monkeypatch.setenv("REGISTRATION_KEY_PASSPHRASE", "wrong")
    with pytest.raises(InputError, match=r"\.pem: the passphrase does not open this key"):
        sign(tmp_path / "registry")
    monkeypatch.delenv("REGISTRATION_KEY_PASSPHRASE")
    with pytest.raises(InputError, match="expected its passphrase in REGISTRATION_KEY_PASSPHRASE, got none"):
        sign(tmp_path / "registry")


def test_keys_come_from_the_environment(registry, tmp_path, monkeypatch):
    for role in ("targets", "snapshot", "timestamp"):
        path = tmp_path / "keys" / f"{role}.pem"
        monkeypatch.setenv(f"REGISTRATION_KEY_{role.upper()}", path.read_text())
        path.unlink()
    sign(registry)
    assert opened(registry).timestamp.signed.version == 3


@pytest.mark.parametrize("content", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key(tmp_path, content):
    (tmp_path / "targets.pem").write_text(content)
    (tmp_path / "targets.pem").chmod(0o600)
    with pytest.raises(InputError, match=r"targets\.pem: expected a private key as PEM"):
        load_key("targets", tmp_path)


def test_keys_stay_out_of_what_is_published(tmp_path):
    (tmp_path / "checkout" / ".git").mkdir(parents=True)
    with pytest.raises(InputError, match="outside of the registry"):
        check_outside(tmp_path / "registry" / "keys", tmp_path / "registry")
    with pytest.raises(InputError, match="outside of any checkout"):
        check_outside(tmp_path / "checkout" / "keys", tmp_path / "registry")
    with pytest.raises(InputError, match="got one that is there already"):
        make_key("root", tmp_path)
        make_key("root", tmp_path)


def test_another_registrys_key_is_refused(registry, tmp_path):
    init(tmp_path / "other", key_dir=str(tmp_path / "others"))
    with pytest.raises(InputError, match="is not one that this registry knows"):
        sign(registry, key_dir=str(tmp_path / "others"))


def test_the_entry_says_where_a_bundle_comes_from(registry):
    target = opened(registry).files["tiny_v0.10.0.zip"]
    about = target.custom
    assert target.length == (registry / "targets" / "tiny_v0.10.0.zip").stat().st_size
    assert about["licenses"] == {"code": "Apache-2.0", "weights": "Apache-2.0", "data": "Apache-2.0"}
    assert about["packages"]["monai"] == "1.6.1"
    assert about["provenance"]["commit"] == "abc123"
    assert "train.json" in about["provenance"]["training_command"]
    assert opened(registry).files[about["card"]].length == (registry / "targets" / about["card"]).stat().st_size


def test_what_people_without_this_client_read(registry):
    info = json.loads((registry / "targets" / "model_info.json").read_text())
    assert list(info) == ["tiny_v0.10.0", "tiny_v0.9.0"]
    assert os.system(f"cd {registry / 'targets'} && sha256sum --quiet -c SHA256SUMS") == 0


def test_a_published_version_never_changes(registry, tmp_path):
    other = pack(make_bundle(tmp_path / "work" / "tiny", "0.9.0", task="another"), tmp_path / "dist")
    with pytest.raises(InputError, match="this version is in the registry with other bytes"):
        add(registry, [str(other)])
    assert opened(registry).targets.signed.version == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"licenses": None},
            "metadata.json: licenses: expected what the schema says, got: None is not of type",
        ),
        ({"licenses": {"code": "MIT"}}, "'weights' is a required property .and 1 more: tools validate .*zip"),
        ({"network_data_format": {}}, "network_data_format: expected what the schema says"),
    ],
)
def test_a_bundle_with_errors_is_refused(registry, tmp_path, changes, message):
    bundle = make_bundle(tmp_path / "work" / "tiny", "0.12.0", **changes)
    with pytest.raises(InputError, match=message):
        add(registry, [str(pack(bundle, tmp_path / "dist"))])


def test_the_network_is_looked_at_too(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "check", command.check)
    bundle = make_bundle(tmp_path / "work" / "tiny", "0.12.0")
    state(lambda weights: dict(list(weights.items())[1:]))(bundle)
    with pytest.raises(InputError, match=r"models/model\.pt: .*: expected this entry, got none"):
        add(registry, [str(pack(bundle, tmp_path / "dist"))])
    assert "tiny_v0.12.0.zip" not in opened(registry).files


def test_a_bundle_without_weights_is_published_openly(registry, tmp_path, capsys):
    bundle = make_bundle(tmp_path / "work" / "tiny", "0.12.0")
    (bundle / "models" / "model.pt").unlink()
    card = bundle / "docs" / "README.md"
    card.write_text(card.read_text() + "\nno trained weights yet\n")
    archive = str(pack(bundle, tmp_path / "dist"))
    with pytest.raises(InputError, match="expected weights in it, got none; --without_weights publishes it"):
        add(registry, [archive])
    add(registry, [archive], without_weights=True)
    assert opened(registry).files["tiny_v0.12.0.zip"].custom["weights"] == "none"
    assert opened(registry).files["tiny_v0.10.0.zip"].custom["weights"] == "inside"
    list_bundles(available=True)
    assert "tiny 0.12.0, " in (out := capsys.readouterr().out) and out.count("without weights") == 1
    download("tiny")
    assert "it has no weights: train it, or tools download tiny --weights" in capsys.readouterr().out


def test_a_hostile_archive_is_refused(registry, tmp_path):
    path = tmp_path / "tiny_v0.12.0.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny/../../evil", "x")
    with pytest.raises(InputError, match="leads out of it"):
        add(registry, [str(path)])


def test_yanked_and_back(registry):
    yank(registry, "tiny==0.10.0", "wrong weights")
    assert opened(registry).files["tiny_v0.10.0.zip"].custom["yanked"] == "wrong weights"
    yank(registry, "tiny==0.10.0", "")
    assert opened(registry).files["tiny_v0.10.0.zip"].custom["yanked"] == ""
    with pytest.raises(InputError, match="expected NAME==VERSION of one of: tiny_v0"):
        yank(registry, "tiny==1.0", "why")


def test_days_are_kept(tmp_path, capsys):
    init(tmp_path / "registry", days="timestamp=7,root=400")
    repository = opened(tmp_path / "registry")
    assert repository.days == {"root": 400, "targets": 365, "snapshot": 365, "timestamp": 7}
    sign(tmp_path / "registry")
    assert "timestamp  until" in capsys.readouterr().out
    with pytest.raises(InputError, match="--days: expected such as timestamp=30"):
        init(tmp_path / "another", days="timestamp=forever")


def test_rotation(registry, tmp_path):
    before = fingerprint(registry)
    for role in ("timestamp", "root"):
        rotate(registry, role)
    assert opened(registry).root.signed.version == 3
    assert fingerprint(registry) != before
    assert (tmp_path / "keys" / "root.pem.old").is_file()
    sign(registry, root=True)
    with pytest.raises(InputError, match="registry rotate: expected one of root, targets"):
        rotate(registry, "mirror")
