import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from common.evaluation import write_evaluation
from common.evaluation.tables import (
    comparisons,
    markdown_table,
    pair_rows,
    record_name,
    structure_summary,
    summary_rows,
)


def record(method: str, pair: str, dice: float, kind: str = "a", **more: float) -> dict:
    structures = {1: {"dice_nearest": dice - 0.1}, 2: {"dice_nearest": dice + 0.1}}
    return {
        "method": method,
        "pair": pair,
        "kind": kind,
        "scores": {"dice_nearest": dice, **more},
        "structures": structures,
        "seconds": 2.0,
    }


RECORDS = [
    record("x", "p1", 0.5),
    record("x", "p2", 0.7),
    record("x", "p3", 0.2, kind="b"),
    record("y", "p1", 0.8, folds_percent=0.25),
    record("y", "p2", 0.75, folds_percent=0.0),
    record("y", "p3", 0.6, kind="b", folds_percent=1.0),
]


def test_summary_by_method_and_kind() -> None:
    rows = {(r["method"], r["kind"]): r for r in summary_rows(RECORDS)}
    assert len(rows) == 4
    assert rows["x", "a"]["dice_nearest"] == pytest.approx(0.6)
    assert rows["x", "a"]["dice_nearest_sd"] == pytest.approx(math.sqrt(0.02))
    assert rows["x", "a"]["pairs"] == 2 and rows["x", "a"]["seconds"] == 2
    assert math.isnan(rows["x", "a"]["folds_percent"]) and rows["y", "a"]["folds_percent"] == 0.125
    assert [r["pairs"] for r in summary_rows(RECORDS, by_kind=False)] == [3, 3]


def test_structures() -> None:
    rows = structure_summary(RECORDS, {1: "Left"}, "dice_nearest")
    first = next(r for r in rows if r["method"] == "x" and r["kind"] == "a" and r["label"] == 1)
    assert first["structure"] == "Left" and first["mean"] == pytest.approx(0.5) and first["pairs"] == 2
    assert next(r for r in rows if r["label"] == 2)["structure"] == ""


def test_comparisons_use_common_pairs_and_keep_kinds_apart() -> None:
    found = comparisons([*RECORDS, record("y", "p4", 0.1)])
    assert list(found) == ["a", "b"] and "note" in found["b"]  # one pair alone
    assert found["a"]["pairs"] == ["p1", "p2"]
    assert found["a"]["paired_t_tests"][0]["difference"] == pytest.approx(np.mean([0.5, 0.7]) - np.mean([0.8, 0.75]))
    assert "note" in comparisons(RECORDS[:3])["a"] and comparisons([]) == {}


def test_ours_are_compared_with_the_others_and_corrected_for_that_number() -> None:
    records = [*RECORDS, *(record("z", pair, dice) for pair, dice in (("p1", 0.6), ("p2", 0.65)))]
    rows = comparisons(records, ours=["y"])["a"]["paired_t_tests"]
    assert [(row["first"], row["second"]) for row in rows] == [("y", "x"), ("y", "z")]
    assert rows[1]["p_bonferroni"] == pytest.approx(min(1.0, 2 * rows[1]["p"]))
    assert len(comparisons(records)["a"]["paired_t_tests"]) == 3


def test_files(tmp_path: Path) -> None:
    write_evaluation(tmp_path, RECORDS, {1: "Left", 2: "Right"}, {"threads": 1})
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["protocol"] == {"threads": 1} and len(content["pairs"]) == 6
    assert content["pairs"][0]["folds_percent"] is None  # NaN is no JSON
    with (tmp_path / "structures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and rows[0] == {
        "method": "x",
        "pair": "p1",
        "kind": "a",
        "label": "1",
        "structure": "Left",
        "dice_nearest": "0.4",
    }
    assert json.loads((tmp_path / "records" / "x__p1.json").read_text())["structures"]["2"] == {"dice_nearest": 0.6}
    assert not list(tmp_path.glob("**/.*"))


def test_names_of_files_are_safe() -> None:
    assert record_name("ANTs SyN, full", "../a b") == "ANTs_SyN__full__.._a_b.json"


def test_markdown() -> None:
    rows = [{"method": "x", "dice": 0.5, "dice_sd": 0.01, "n": 2}, {"method": "y", "dice": float("nan")}]
    text = markdown_table(rows, {"method": "method", "dice": "Dice", "n": "pairs"}, {"dice": 2})
    assert text == "| method | Dice | pairs |\n|---|---|---|\n| x | 0.50 ± 0.01 | 2 |\n| y | – |  |\n"


def test_costs_only_where_measured() -> None:
    assert "cpu_seconds" not in pair_rows(RECORDS)[0] and pair_rows(RECORDS)[0]["seconds"] == 2
