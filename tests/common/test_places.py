"""Where bundles are found."""

from pathlib import Path

import pytest

from common.errors import InputError
from common.places import bundle_folders, find_bundle, user_folder
from tests.bundles.conftest import ROOT
from tests.common.bundle.test_folder import write_bundle


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRATION_BUNDLES", str(tmp_path / "mine"))
    return tmp_path / "mine"


def test_by_folder_and_by_name(home):
    mine = write_bundle(home / "tiny")
    assert find_bundle("tiny") == find_bundle(mine) == find_bundle(str(mine)) == mine
    assert find_bundle("mambamorph") == ROOT / "bundles" / "mambamorph"


def test_the_checkout_comes_first(home):
    write_bundle(home / "mambamorph")
    assert bundle_folders()["mambamorph"] == ROOT / "bundles" / "mambamorph"


def test_a_bundle_that_is_nowhere_says_where_it_is_looked_for(home):
    with pytest.raises(InputError, match=r"no bundle nothing: .*mambamorph.* is unpacked into .*mine") as caught:
        find_bundle("nothing")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/registration-bundles/bundles"),
        ("linux", {}, "/home/someone/.local/share/registration-bundles/bundles"),
        ("darwin", {}, "/home/someone/Library/Application Support/registration-bundles/bundles"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/registration-bundles/bundles"),
    ],
)
def test_the_user_s_folder(monkeypatch, platform, variables, expected):
    for name in ("REGISTRATION_BUNDLES", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/someone", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert user_folder() == Path(expected)
