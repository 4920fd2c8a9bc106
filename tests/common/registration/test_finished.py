"""What counts as finished: the result of these very files and settings, whole to its last file."""

import json

import pytest

from common.registration.finished import changes, finished, unfinished

PAIR = {"fixed": "/a", "moving": "/b", "name": "one"}
SETTINGS = {"passes": [2, 1], "refine": "auto"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one").mkdir()
    metrics = {"fixed": "/a", "moving": "/b", "settings": SETTINGS}
    (tmp_path / "one" / "metrics.json").write_text(json.dumps(metrics))
    return tmp_path


def test_files_and_settings_are_compared(folder):
    assert finished(PAIR, folder)["settings"] == SETTINGS
    assert finished(PAIR, folder, SETTINGS) is not None
    assert finished(PAIR, folder, {**SETTINGS, "refine": "off"}) is None


@pytest.mark.parametrize("key", ["moving", "fixed_label", "moving_mask", "fixed_exclude", "initial"])
def test_the_result_of_another_file_is_none(folder, key):
    assert finished({**PAIR, key: "/other"}, folder, SETTINGS) is None


def test_a_file_that_is_no_longer_given_counts_too(folder):
    path = folder / "one" / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "moving_mask": "/mask"}))
    assert finished(PAIR, folder) is None


@pytest.mark.parametrize("content", ["{", "[]", "{}", "3"])
def test_what_cannot_be_read_is_none(folder, content):
    (folder / "one" / "metrics.json").write_text(content)
    assert finished(PAIR, folder) is None


def test_a_result_without_settings_differs_in_all_of_them():
    assert changes({}, SETTINGS) == ["passes was None, is [2, 1]", "refine was None, is auto"]
    assert changes({"settings": {**SETTINGS, "gone": 1}}, SETTINGS) == ["gone was 1, is None"]


def test_what_is_left_is_said(folder, caplog):
    pairs = [PAIR, {"fixed": "/a", "moving": "/c", "name": "two"}]
    assert unfinished(pairs, folder, SETTINGS) == pairs[1:]
    assert "1 of 2 pairs have results already and are left as they are" in caplog.text
    assert unfinished(pairs, folder, {**SETTINGS, "passes": [1]}) == pairs
    assert "one is done again: passes was [2, 1], is [1]" in caplog.text
    assert unfinished(pairs[:1], folder, SETTINGS) == []
    assert "all 1 pairs have results of these images and options already: all is done" in caplog.text
