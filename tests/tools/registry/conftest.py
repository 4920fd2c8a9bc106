"""A registry with two versions of a tiny bundle, and a user of its own who trusts it."""

import shutil
from pathlib import Path

import pytest

from tests.tools.registry.tiny import make_bundle
from tools.package import pack
from tools.registry import client, publish
from tools.registry.publish import add, init
from tools.validate.command import read_and_check
from tools.validate.finding import Finding


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """Version to archive: 0.9.0 and 0.10.0 of the bundle tiny."""
    folder = tmp_path_factory.mktemp("archives")
    return {v: pack(make_bundle(folder / v / "tiny", v), folder) for v in ("0.9.0", "0.10.0", "0.11.0")}


@pytest.fixture(autouse=True)
def user(tmp_path, monkeypatch):
    """Nobody's own settings, caches, keys and bundles are touched."""
    for name in ("SETTINGS", "CACHE", "KEYS", "BUNDLES"):
        monkeypatch.setenv(f"REGISTRATION_{name}", str(tmp_path / name.lower()))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "REGISTRATION_REGISTRY", "REGISTRATION_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def first_state(tmp_path_factory, archives) -> Path:
    """A registry with tiny 0.9.0 and 0.10.0, and the keys beside it."""
    folder = tmp_path_factory.mktemp("first")
    keys = str(folder / "keys")
    init(folder / "registry", key_dir=keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish, "check", static)
        add(folder / "registry", [str(archives[v]) for v in ("0.9.0", "0.10.0")], key_dir=keys, commit="abc123")
    return folder


def static(archive: Path) -> list[Finding]:
    """The part of ``validate`` that builds no network: a process each, one test has it."""
    return read_and_check(archive)[1]


@pytest.fixture
def registry(tmp_path, first_state, monkeypatch) -> Path:
    """A test's own copy of that registry and its keys; the environment trusts it."""
    folder = tmp_path / "registry"
    for name in ("registry", "keys"):
        shutil.copytree(first_state / name, tmp_path / name)
    monkeypatch.setenv("REGISTRATION_ROOT", str(folder / "metadata" / "1.root.json"))
    monkeypatch.setenv("REGISTRATION_REGISTRY", str(folder))
    return folder


@pytest.fixture
def bundles(tmp_path) -> Path:
    """Where this test's user installs bundles."""
    return tmp_path / "bundles"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A client that loses patience at once, and a publisher who builds no network."""
    monkeypatch.setattr(publish, "check", static)
    patient = client.Fetcher
    monkeypatch.setattr(client, "Fetcher", lambda: patient(timeout=0.5, tries=3, pause=0.0, grace=1.0))
