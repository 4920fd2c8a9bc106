"""Options: as Slicer shows them, and as requests bring them."""

import json

import pytest

from common.bundle.folder import find_bundle, read_json
from tools.monailabel_app.options import (
    PROTOCOL,
    Option,
    bundle_names,
    overrides_of,
    read_options,
    registration_options,
)
from tools.monailabel_app.refused import RefusedError

OPTIONS = (Option("atlas", ("one", "two"), "whose labels"), Option("box", True, "a switch"))


def test_defaults_are_the_first_values():
    assert read_options(OPTIONS, {}) == {"atlas": "one", "box": True}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"atlas": "two"}, {"atlas": "two", "box": True}),
        ({"atlas": ["two"], "box": "false"}, {"atlas": "two", "box": False}),
        ({"box": 0, "client_id": "me", "result_extension": ".nrrd"}, {"atlas": "one", "box": False}),
        ({"save_label": True, "label_tag": "auto"}, {"atlas": "one", "box": True}),
    ],
)
def test_what_requests_bring(given: dict, read: dict):
    assert read_options(OPTIONS, given) == read


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"atlas": "three"}, "atlas: expected one of one, two, got 'three'"),
        ({"atlas": 1}, "atlas: expected one of one, two, got '1'"),
        ({"atlas": ["one", "two"]}, "atlas: expected one of one, two"),
        ({"atlas": {"one": 1}}, "atlas: expected one of one, two"),
        ({"atlas": None}, "atlas: expected one of one, two, got 'None'"),
        ({"box": "perhaps"}, "expected box to be true or false"),
        ({"atals": "one"}, r"unknown parameter 'atals' \(did you mean atlas\?\)"),
        ({"x" * 500: 1}, "unknown parameter 'xxx"),
    ],
)
def test_what_cannot_be_read_is_refused(given: dict, reason: str):
    with pytest.raises(RefusedError, match=reason) as raised:
        read_options(OPTIONS, given)
    assert raised.value.status == 400 and len(str(raised.value)) < 300


def test_an_option_with_nothing_to_choose():
    with pytest.raises(RefusedError, match="moving: expected one of none, got 'none, because there is nothing"):
        read_options((Option("moving", (), "another image"),), {})


def test_slicer_can_show_them():
    """Strings in a list become a drop-down, a boolean a box; anything else becomes a line of text."""
    for option in registration_options():
        assert isinstance(option.config, bool) or all(isinstance(value, str) for value in option.config)
        assert option.help and json.dumps(option.config)
    assert PROTOCOL.isdisjoint(option.name for option in registration_options())


def test_the_smallest_bundle_comes_first():
    names = bundle_names()
    assert names[:2] == ("voxelmorph", "mambamorph") and len(names) == len(set(names)) >= 9


def test_installed_bundles_are_offered(tmp_path, monkeypatch):
    for part in ("configs/inference.json", "models/model.pt"):
        (tmp_path / "mine" / part).parent.mkdir(parents=True)
        (tmp_path / "mine" / part).write_text("{}")
    (tmp_path / "untrained" / "configs").mkdir(parents=True)
    (tmp_path / "untrained" / "configs" / "inference.json").write_text("{}")
    monkeypatch.setenv("REGISTRATION_BUNDLES", str(tmp_path))
    assert "mine" in bundle_names() and "untrained" not in bundle_names()


@pytest.mark.parametrize("contrast", ["auto", "same", "different"])
def test_overrides_are_keys_of_the_bundles(contrast: str):
    values = read_options(registration_options(), {"contrast": contrast, "alignment": "rigid", "refinement": "off"})
    overrides = overrides_of(values)
    assert overrides["align"] == "rigid" and overrides["refine"] == "off"
    keys = read_json(find_bundle("voxelmorph") / "configs" / "inference.json")
    assert set(overrides) <= set(keys) and overrides["brain"] == keys["brain"] == "auto"
    assert overrides["refine_similarity"] == {"auto": "auto", "same": "correlation", "different": "mind"}[contrast]
