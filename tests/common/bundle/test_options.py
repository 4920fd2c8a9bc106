"""Typing errors among the options of a run."""

import json

import pytest

from common.bundle.options import check_options, known_keys
from common.errors import InputError

CONFIG = {
    "fixed": None,
    "passes": [1],
    "network_def": {"_target_": "common.networks.VoxelMorph", "feature_extractor": False},
    "handlers": [{"_target_": "common.registration.StageProgress"}],
}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.json").write_text(json.dumps(CONFIG))
    (tmp_path / "configs" / "overlay.json").write_text(json.dumps({"+imports": [], "dataset#data": 1, "section": ""}))
    (tmp_path / "configs" / "broken.json").write_text("{")
    return tmp_path


def test_keys_are_known_from_every_configuration(root):
    assert known_keys(root) == {*CONFIG, "imports", "dataset", "section"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pases": "[2]"}, r"unknown option --pases \(did you mean --passes\?\)"),
        ({"quite_another": 1}, r"unknown option --quite_another$"),
        (
            {"network_def": {**CONFIG["network_def"], "feature_extracter": True}},
            r"unknown option --network_def#feature_extracter \(did you mean --network_def#feature_extractor\?\)",
        ),
        (
            {"handlers": [{"_target_": "common.registration.StageProgress", "dellay": 1}]},
            r"unknown option --handlers#0#dellay \(did you mean --handlers#0#delay\?\)",
        ),
        ({"network_def": {"_target_": "common.networks.Nothing"}}, "expected a class or function, got common.networks"),
    ],
)
def test_what_nothing_reads_is_refused(root, change, message):
    with pytest.raises(InputError, match=message):
        check_options({**CONFIG, **change}, root)


def test_what_something_refers_to_is_no_typing_error(root):
    check_options({**CONFIG, "_meta_": {}, "my_share": 0.5, "passes": "$[round(@my_share)]"}, root)
