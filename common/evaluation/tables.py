"""Records of scored pairs as CSV and JSON, and rows of them as Markdown.

A record is what ``evaluate_pair`` returns plus ``method``, ``pair`` and ``kind`` (text) and, where measured,
``seconds``, ``cpu_seconds`` and ``peak_memory_mb``.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.evaluation.scores import Record, score_names
from common.statistics import one_way_anova, paired_t_tests, summarise, tukey_hsd
from common.writing import save_json, write_csv

COSTS = ("seconds", "cpu_seconds", "peak_memory_mb")
_IDENTITY = ("method", "pair", "kind")
#: Significant digits of every number in the files.
_DIGITS = 6


def pair_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """A flat row a record: identity, costs, mean scores."""
    names = score_names(records)
    costs = [c for c in COSTS if any(c in r for r in records)]
    return [
        {
            **{k: r.get(k, "") for k in _IDENTITY},
            **{c: r.get(c, math.nan) for c in costs},
            **{n: r["scores"].get(n, math.nan) for n in names},
        }
        for r in records
    ]


def structure_rows(records: Sequence[Record], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """A flat row a record and structure."""
    return [
        {**{k: r.get(k, "") for k in _IDENTITY}, "label": int(label), "structure": names.get(int(label), ""), **scores}
        for r in records
        for label, scores in r["structures"].items()
    ]


def summary_rows(records: Sequence[Record], by_kind: bool = True) -> list[dict[str, Any]]:
    """Mean and SD over pairs of every score and cost, a row a method (and kind of pair)."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in pair_rows(records):
        groups.setdefault((row["kind"] if by_kind else "all", row["method"]), []).append(row)
    out = []
    for (kind, method), rows in groups.items():
        entry: dict[str, Any] = {"kind": kind, "method": method, "pairs": len(rows)}
        for name in (n for n in rows[0] if n not in _IDENTITY):
            (statistic,) = summarise({method: [row[name] for row in rows]})
            entry[name], entry[f"{name}_sd"] = statistic["mean"], statistic["sd"]
        out.append(entry)
    return out


def structure_summary(records: Sequence[Record], names: Mapping[int, str], score: str) -> list[dict[str, Any]]:
    """Mean and SD over pairs of one score, a row a method, kind and structure."""
    groups: dict[tuple[str, str, int], list[float]] = {}
    for row in structure_rows(records, names):
        groups.setdefault((row["kind"], row["method"], row["label"]), []).append(row[score])
    out = []
    for (kind, method, label), values in groups.items():
        (statistic,) = summarise({method: values})
        identity = {"kind": kind, "method": method, "label": label, "structure": names.get(label, "")}
        out.append({**identity, "pairs": statistic["n"], "mean": statistic["mean"], "sd": statistic["sd"]})
    return out


def comparisons(
    records: Sequence[Record], score: str = "dice_nearest", ours: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """The papers' statistics between methods on one score, for each kind of pair by itself.

    Args:
        records: of all methods.
        score: which of their scores.
        ours: methods that are tested against all others; all against all without.

    Returns:
        By kind of pair: ``score``, ``pairs`` (those that every method has), ``paired_t_tests``, ``one_way_anova``,
        ``tukey_hsd``; only ``score`` and a ``note`` where fewer than two methods or two common pairs exist.
    """
    kinds = dict.fromkeys(record["kind"] for record in records)
    return {kind: _comparison([r for r in records if r["kind"] == kind], score, ours) for kind in kinds}


def _comparison(records: Sequence[Record], score: str, ours: Sequence[str]) -> dict[str, Any]:
    by_method: dict[str, dict[str, float]] = {}
    for record in records:
        if score in record["scores"]:
            by_method.setdefault(record["method"], {})[record["pair"]] = record["scores"][score]
    common = sorted(set.intersection(*(set(rows) for rows in by_method.values()))) if by_method else []
    if len(by_method) < 2 or len(common) < 2:
        return {"score": score, "note": "no comparison: fewer than two methods or two common pairs"}
    scores = {method: [rows[pair] for pair in common] for method, rows in by_method.items()}
    return {
        "score": score,
        "pairs": common,
        "paired_t_tests": paired_t_tests(scores, [method for method in ours if method in scores]),
        "one_way_anova": one_way_anova(scores),
        "tukey_hsd": tukey_hsd(scores),
    }


def markdown_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], digits: Mapping[str, int]) -> str:
    """A Markdown table.

    Args:
        rows: dictionaries; ``name_sd`` beside ``name`` is printed as ``mean ± SD``.
        columns: heading by name, in order.
        digits: decimals by name, 3 where not given.
    """
    lines = ["| " + " | ".join(columns.values()) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [_cell(row.get(name), row.get(f"{name}_sd"), digits.get(name, 3)) for name in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_evaluation(
    folder: Path, records: Sequence[Record], names: Mapping[int, str], protocol: Any, ours: Sequence[str] = ()
) -> None:
    """Write a run's files into ``folder``; ``ours`` as in ``comparisons``.

    ``pairs.csv`` (a row a method and pair), ``structures.csv`` (and structure), ``summary.csv`` (mean and SD over
    pairs), ``records/*.json`` (everything about one pair), ``evaluation.json`` (protocol, summary, comparisons, pairs).
    """
    for record in records:
        save_record(folder, record)
    summary, rows = summary_rows(records), pair_rows(records)
    for name, table in (("pairs", rows), ("structures", structure_rows(records, names)), ("summary", summary)):
        write_csv(table, folder / f"{name}.csv", _DIGITS)
    content = {"protocol": protocol, "summary": summary, "comparisons": comparisons(records, ours=ours), "pairs": rows}
    save_json(content, folder / "evaluation.json", _DIGITS)


def save_record(folder: Path, record: Record) -> None:
    """Write everything about one pair and method into the folder's ``records``."""
    save_json(record, folder / "records" / record_name(record["method"], record["pair"]), _DIGITS)


def record_name(method: str, pair: str) -> str:
    """File name of one record."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in f"{method}__{pair}") + ".json"


def _cell(value: Any, deviation: Any, digits: int) -> str:
    if not isinstance(value, float):
        return "" if value is None else str(value)
    if math.isnan(value):
        return "–"
    spread = f" ± {deviation:.{digits}f}" if isinstance(deviation, float) and not math.isnan(deviation) else ""
    return f"{value:.{digits}f}{spread}"
