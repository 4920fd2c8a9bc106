"""The settings of a run: what changes a result changes them, and nothing else does."""

import hashlib

import pytest

from common.bundle import Bundle
from common.bundle.settings import settings_of
from common.sample import sample_pair
from tests.common.bundle.test_run import write_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle(write_bundle(tmp_path_factory.mktemp("settings") / "bundle", 1, "0.9.1"))


@pytest.fixture(scope="module")
def plain(bundle, tmp_path_factory):
    return bundle.check(sample_pair(), tmp_path_factory.mktemp("out"))


def test_they_say_what_makes_a_result(bundle, plain):
    digest = hashlib.sha256((bundle.root / "models" / "model.pt").read_bytes()).hexdigest()
    assert plain["weights"] == digest[:12] and plain["version"] == "0.9.1"
    assert (plain["passes"], plain["refine"], plain["amp"], plain["outputs"]) == ([1], "off", False, ["transform"])
    assert len(plain["preprocessing"]) == 12
    assert not {"fixed", "moving", "output_dir", "report", "device"} & set(plain)


@pytest.mark.parametrize(
    "options",
    [
        *({"report": True}, {"console": True}, {"resume": "true"}, {"device": "cpu"}, {"dataloader#num_workers": 1}),
        *({"amp": "False"}, {"passes": (1,)}, {"outputs": "transform"}),
    ],
)
def test_what_changes_no_result_leaves_them(bundle, plain, options, tmp_path):
    assert bundle.check(sample_pair(), tmp_path / "elsewhere", **options) == plain


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"passes": [2]}, "passes"),
        ({"refine": "fast"}, "refine"),
        ({"load_pretrain": False}, "weights"),
        ({"outputs": "all"}, "outputs"),
        ({"preprocessing#transforms#0#keys": ["fixed"]}, "preprocessing"),
    ],
)
def test_what_changes_a_result_changes_its_own(bundle, plain, options, key, tmp_path):
    found = bundle.check(sample_pair(), tmp_path, **options)
    assert {name for name in found if found[name] != plain[name]} == {key}


def test_a_configuration_without_metadata_or_weights_has_settings_too():
    assert settings_of({"amp": True})["amp"] is True
    assert settings_of({"amp": True}, "/nowhere.pt")["weights"] is None
