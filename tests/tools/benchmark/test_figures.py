"""Figures of the benchmark: which are drawn, from what, and when none is."""

import sys
from pathlib import Path

import pytest

from tests.tools.benchmark.records import STRUCTURES, make_records
from tools.benchmark import figures
from tools.benchmark.peers import PEERS


def test_one_figure_a_kind_one_of_time_and_one_of_smoothness(tmp_path: Path):
    drawn = figures.draw_figures(tmp_path, make_records(), STRUCTURES)
    against = ["dice_against_time.png", "dice_against_smoothness.png"]
    assert list(drawn) == ["dice_by_structure_1.png", "dice_by_structure_2.png", *against]
    assert "T1 to CT" in drawn["dice_by_structure_2.png"]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in drawn)


def test_a_structure_that_was_not_scored_leaves_a_gap(tmp_path: Path):
    records = make_records()
    records[0]["structures"][16]["dice_nearest"] = float("nan")
    assert len(figures.draw_figures(tmp_path, records, STRUCTURES)) == 4


def test_a_network_and_its_refined_field_share_a_colour():
    names = ["none", "none+refine", "mambamorph", "mambamorph+refine", "voxelmorph", "none+fast"]
    colours = figures.method_colours([{"method": name.upper(), "job": {"method": name}} for name in names])
    assert colours["MAMBAMORPH"] == colours["MAMBAMORPH+REFINE"]
    assert colours["NONE+REFINE"] == colours["NONE+FAST"]
    assert len(set(colours.values())) == 4  # the affine start is not the refinement


def test_boxes_are_drawn_of_the_best_methods_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(figures, "MOST_BOXES", 2)
    records = make_records()  # each method is better than the one before
    assert {r["method"] for r in figures.best_methods(records)} == {"MambaMorph", "ANTs SyN"}
    assert len(figures.best_methods(records)) == 8


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
