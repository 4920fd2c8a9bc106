"""Figures of the benchmark: which are drawn, from what, and when none is."""

import sys
from pathlib import Path

import pytest

from tests.tools.benchmark.records import STRUCTURES, make_records
from tools.benchmark import figures
from tools.benchmark.peers import PEERS


def test_one_figure_a_kind_and_one_of_time(tmp_path: Path):
    drawn = figures.draw_figures(tmp_path, make_records(), STRUCTURES)
    assert list(drawn) == ["dice_by_structure_1.png", "dice_by_structure_2.png", "dice_against_time.png"]
    assert "T1 to CT" in drawn["dice_by_structure_2.png"]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in drawn)


def test_a_structure_that_was_not_scored_leaves_a_gap(tmp_path: Path):
    records = make_records()
    records[0]["structures"][16]["dice_nearest"] = float("nan")
    assert len(figures.draw_figures(tmp_path, records, STRUCTURES)) == 3


def test_without_labels_nothing_is_drawn(tmp_path: Path):
    assert figures.draw_figures(tmp_path, make_records(labels=False), STRUCTURES) == {}
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert figures.draw_figures(tmp_path, make_records(), STRUCTURES) == {}


@pytest.mark.parametrize(
    ("name", "merged"),
    [
        ("Left-Inf-Lat-Vent", "Inf-Lat-Vent"),
        ("Right-Cerebral-Cortex", "Cerebral-Cortex"),
        ("Brain-Stem", "Brain-Stem"),
        ("3rd-Ventricle", "3rd-Ventricle"),
    ],
)
def test_sides_are_merged(name: str, merged: str):
    assert figures.merge_sides(name) == merged


def test_no_two_methods_of_a_full_run_share_a_colour():
    assert len(set(figures.COLOURS)) == len(figures.COLOURS) >= len(PEERS)
