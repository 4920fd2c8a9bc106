"""The benchmark's page: every section from records that are known, and what stands there when something is missing."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tools.benchmark.records import METHODS, STRUCTURES, make_records
from tools.benchmark.peers import PEERS, Peer
from tools.benchmark.report import QUOTED, write_report

PROTOCOL = {
    "pairs": 4, "datalist": "list.json", "section": "validation", "grid": [20, 18, 22], "spacing_mm": [2.0, 2.0, 2.5],
    "structures": STRUCTURES, "threads": 1, "start": "aligned", "surface": "voxel faces", "mean": "over structures",
    "methods": {title: f"settings of {title}" for title in [*METHODS.values(), "Absent tool"]},
    "versions": {"torch": "2.13.0"}, "tools": {"antspyx": "0.6.3"}, "definitions": {"dice_nearest": "overlap"},
}  # fmt: skip


def page(folder: Path, records: list[dict[str, Any]], missing: tuple = (), failures: tuple = ()) -> str:
    write_report(folder, records, STRUCTURES, PROTOCOL, missing, failures)
    return (folder / "table.md").read_text()


def test_tables_are_sorted_by_dice_and_apart_by_kind(tmp_path: Path):
    text = page(tmp_path, make_records())
    head, first, second = text.split("## T1 to ")[:3]
    assert "4 pairs of `list.json` (validation), 20x18x22 voxels of 2, 2, 2.5 mm, 3 structures, 1 CPU thread(s)" in head
    assert first.startswith("T1\n") and second.startswith("CT\n")
    rows = [line.split(" | ")[0].strip("| ") for line in first.splitlines() if line.startswith("| ")]
    assert rows[-3:] == ["ANTs SyN", "MambaMorph", "affine start only"]
    assert "HD95" not in first and "peak MB" in first  # columns that nobody measured are left out
    assert "![" in text and "dice_against_time.png" in text


def test_structures_and_statistics(tmp_path: Path):
    text = page(tmp_path, make_records())
    assert "## Dice by structure (nearest)" in text and "| Left-Cortex | 0.6" in text
    assert "Paired t-tests of every two methods, each kind of pair by itself" in text and "are not independent" in text
    assert text.count("2 pairs, 3 tests; one-way analysis of variance of all methods: F(2, 3) = ") == 2
    assert text.count("| affine start only – MambaMorph |") == 2 and "| 95 % interval | effect size |" in text


def test_ours_is_compared_with_the_others_alone(tmp_path: Path):
    write_report(tmp_path, make_records(), STRUCTURES, PROTOCOL, (), (), ["MambaMorph"])
    text = (tmp_path / "table.md").read_text()
    assert "Paired t-tests of MambaMorph against each other method" in text and text.count("2 pairs, 2 tests") == 2
    assert text.count("| MambaMorph – ANTs SyN |") == 2 and "affine start only – ANTs SyN" not in text


def test_a_single_method_has_no_statistics(tmp_path: Path):
    text = page(tmp_path, make_records()[:4])
    assert "no comparison: fewer than two methods" in text and "## Statistics on mean Dice (nearest)" in text


def test_without_labels_the_field_is_still_scored(tmp_path: Path):
    text = page(tmp_path, make_records(labels=False))
    assert "Dice by structure" not in text and "folds %" in text


def test_what_is_missing_and_what_failed_is_said(tmp_path: Path):
    absent = Peer("absent", "Absent tool", "-", PEERS["none"].register, "no_such_module", "no-such-package")
    failure = {"method": "ANTs SyN", "pair": "pair3", "error": "out of memory"}
    text = page(tmp_path, make_records(), (absent,), (failure,))
    assert "- Absent tool: not installed (`pip install no-such-package`)" in text
    assert "settings of Absent tool" not in text and "- MambaMorph: settings of MambaMorph" in text
    assert "- ANTs SyN failed on pair3: out of memory" in text
    assert "Versions: torch 2.13.0, antspyx 0.6.3." in text and "- `dice_nearest`: overlap" in text


def test_what_papers_printed_is_marked_as_quoted(tmp_path: Path):
    text = page(tmp_path, make_records())
    assert "Quoted, not measured here" in text
    assert all(table["title"] in text for table in json.loads(QUOTED.read_text()))


@pytest.mark.parametrize("table", json.loads(QUOTED.read_text()), ids=lambda table: table["title"])
def test_quoted_tables_are_complete_rows(table: dict[str, Any]):
    assert {len(row) for row in table["rows"]} == {len(table["rows"][0])}
