"""The table of a cohort: a row a pair, from ``metrics.json`` and the notes of failures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.report import flags
from common.writing import write_csv
from tools.cohort.state import Cohort, Pair

TABLE = "cohort.csv"
#: Grades of a row, the worst first: no result, then the worst flag of a result.
GRADES = ("failed", "missing", "serious", "warning", "note", "fine")
#: Those of pairs that have none.
NO_RESULT = GRADES[:2]
_DIGITS = 6


def rows(cohort: Cohort) -> list[dict[str, Any]]:
    """A row a pair, in the datalist's order."""
    return [_row(cohort, pair) for pair in cohort.pairs]


def write_table(table: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """Write ``cohort.csv``."""
    write_csv(table, folder / TABLE, _DIGITS)
    return folder / TABLE


def _row(cohort: Cohort, pair: Pair) -> dict[str, Any]:
    metrics = cohort.metrics(pair)
    row: dict[str, Any] = {"pair": pair["name"], "kind": pair.get("kind", "")}
    if metrics is None:
        reason = cohort.failure(pair)
        row |= {"grade": "missing" if reason is None else "failed", "error": reason or ""}
    else:
        found = flags(metrics)
        row |= {"grade": found[0].level if found else "fine", "error": ""}
        row["flags"] = " ".join(flag.text for flag in found)
        row |= _figures(metrics)
    return row | {"fixed": pair["fixed"], "moving": pair["moving"]}


def _figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of a pair that compare from pair to pair."""
    out: dict[str, Any] = {}
    for when in ("before", "after"):
        for name, value in metrics.get("similarity", {}).get(when, {}).items():
            out[f"{name}_{when}"] = value
        if "dice" in metrics:
            out[f"dice_{when}"] = metrics["dice"][when]["mean"]
    out |= metrics.get("field", {})
    out["alignment"] = metrics.get("alignment", {}).get("kind", "")
    out["seconds"] = metrics.get("stage_seconds", {}).get("total")
    out["peak_memory_mb"] = metrics.get("peak_memory_mb")
    return out
