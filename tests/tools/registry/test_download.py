"""Downloads: the version that is meant, from any source, and back without a network."""

import json
import shutil
import socket

import pytest

from common.errors import InputError
from tests.tools.registry.server import serving
from tests.tools.registry.tiny import installed_version as version
from tools.download import download
from tools.installed import list_bundles, remove, verify
from tools.registry.mirror import mirror, trust
from tools.registry.publish import add, fingerprint, rotate, yank

pytestmark = pytest.mark.usefixtures("registry")


def test_the_newest_version_is_installed_and_verifies(bundles, capsys):
    download("tiny")
    assert version(bundles) == "0.10.0"
    assert (bundles / "tiny" / "common" / "errors.py").is_file()
    out = capsys.readouterr().out
    assert "tiny: installed 0.10.0, sha256 " in out and "licences: code Apache-2.0" in out
    verify()
    assert "tiny 0.10.0: whole, as installed" in capsys.readouterr().out
    download("tiny")
    assert "is installed and as its publisher signed it" in capsys.readouterr().out
    assert sorted(path.name for path in (bundles / ".staging").iterdir()) == ["lock"]


def test_upgrade_pin_and_back(bundles, registry, archives, capsys):
    download("tiny==0.9.0")
    download("tiny")
    assert version(bundles) == "0.9.0" and "stays at 0.9.0" in capsys.readouterr().out
    download("tiny", upgrade=True)
    assert version(bundles) == "0.10.0"
    add(registry, [str(archives["0.11.0"])])
    download("tiny")
    assert version(bundles) == "0.11.0" and "0.10.0 replaced by 0.11.0" in capsys.readouterr().out
    download("tiny", version="0.9")
    assert version(bundles) == "0.9.0"


def test_a_version_that_was_taken_back(bundles, registry, capsys):
    yank(registry, "tiny==0.10.0", "wrong weights")
    download("tiny")
    assert version(bundles) == "0.9.0"
    download("tiny==0.10.0")
    assert version(bundles) == "0.10.0"
    assert "warning: tiny 0.10.0 was taken back by its publisher: wrong weights" in capsys.readouterr().err
    list_bundles(available=True)
    assert "MB, taken back: wrong weights" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"as new as the installed 0\.10\.0, got 0\.9"):
        download("tiny", upgrade=True)


def test_other_sources(registry, bundles):
    for number, source in enumerate((registry.as_uri(), str(registry))):
        download("tiny", registry=source, bundle_dir=str(bundles / str(number)))
        assert version(bundles / str(number)) == "0.10.0"
    with serving(registry) as server:
        download("tiny", registry=server.url, bundle_dir=str(bundles / "http"))
    assert version(bundles / "http") == "0.10.0"


def test_an_installed_bundle_needs_no_network(bundles, registry, monkeypatch):
    download("tiny")
    shutil.rmtree(registry)

    def no_network(*words, **more):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", no_network)
    verify("tiny")
    list_bundles()
    remove("tiny")
    assert not (bundles / "tiny").exists()


def test_offline(bundles, registry, archives, tmp_path):
    with serving(registry) as server:
        url = server.url
        with pytest.raises(InputError, match=r"offline, and nothing is known of the registry .* bring a copy of it"):
            download("tiny", registry=url, offline=True)
        download("tiny==0.9.0", registry=url)
    with pytest.raises(InputError, match=r"put the registry's targets/tiny_v0\.10\.0\.zip at (\S+\.zip)") as caught:
        download("tiny==0.10.0", registry=url, offline=True)
    place = str(caught.value).split(" at ")[-1]
    shutil.copyfile(archives["0.9.0"], place)
    with pytest.raises(InputError, match="offline"):  # another file does not pass
        download("tiny==0.10.0", registry=url, offline=True)
    shutil.copyfile(archives["0.10.0"], place)
    download("tiny==0.10.0", registry=url, offline=True)
    assert version(bundles) == "0.10.0"
    download("tiny==0.9.0", registry=url, offline=True)  # the cache has it


def test_a_mirror_on_a_stick(registry, tmp_path, bundles):
    rotate(registry, "root")
    stick = tmp_path / "stick"
    mirror(str(registry), stick)
    mirror(str(registry), stick)
    shutil.rmtree(registry / "targets")
    download("tiny", registry=str(stick))
    assert version(bundles) == "0.10.0"
    assert json.loads((stick / "targets" / "model_info.json").read_text()).keys() == {"tiny_v0.9.0", "tiny_v0.10.0"}


def test_trust_comes_from_the_fingerprint(registry, monkeypatch, bundles):
    for name in ("ROOT", "REGISTRY"):
        monkeypatch.delenv(f"REGISTRATION_{name}")
    with pytest.raises(InputError, match="no registry is known"):
        download("tiny")
    with pytest.raises(InputError, match="no registry is trusted yet: get the fingerprint from its publisher"):
        download("tiny", registry=str(registry))
    with pytest.raises(InputError, match=r"expected the fingerprint 00ff, got .*nothing is trusted"):
        trust(str(registry), "00FF")
    trust(str(registry), fingerprint(registry))
    rotate(registry, "root")
    download("tiny")
    assert version(bundles) == "0.10.0"


def test_rotated_keys_are_followed(registry, bundles):
    download("tiny==0.9.0")
    for role in ("root", "targets", "snapshot", "timestamp"):
        rotate(registry, role)
    download("tiny", upgrade=True)
    assert version(bundles) == "0.10.0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bundle": "tinny"}, "no bundle tinny in the registry; did you mean tiny?"),
        ({"bundle": "other"}, "no bundle other in the registry; it has: tiny"),
        ({"bundle": "tiny==2"}, r"no version 2 of tiny in the registry; it has 0\.9\.0, 0\.10\.0"),
        ({"bundle": "tiny==x"}, "version: expected such as 1.2.3, got 'x'"),
        ({"bundle": "tiny==1", "version": "2"}, "expected one version, got 1 and 2"),
        ({"bundle": "../tiny"}, "expected the name of a bundle, got '../tiny'"),
        ({"bundle": "tiny", "registry": "ftp://a"}, "expected http, https, file or a folder, got ftp"),
        ({"bundle": "tiny", "registry": "/no/such/folder"}, "expected a folder or a URL, got no such folder"),
    ],
)
def test_mistakes_of_the_user(arguments, message):
    with pytest.raises(InputError, match=message):
        download(**arguments)


def test_nothing_fits_the_installed_monai(monkeypatch):
    monkeypatch.setattr("tools.download._monai", lambda: "1.5.0")
    with pytest.raises(InputError, match=r"for MONAI 1\.5\.0: 0\.9\.0 was made with MONAI"):
        download("tiny")
