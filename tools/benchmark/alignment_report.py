"""The page and the tables of ``benchmark alignment``."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.machine import processor, versions
from common.writing import write_csv
from tools.benchmark.alignment_cases import DISTURBANCES
from tools.benchmark.alignment_methods import METHODS

#: Mean error in millimetres below which a pose counts as found.
FOUND = 3.0


def write_alignment_report(
    folder: Path,
    poses: Sequence[Mapping[str, Any]],
    records: Sequence[Mapping[str, Any]],
    methods: Sequence[str],
    seed: int,
    threads: int,
) -> None:
    """Write ``table.md``, ``cases.csv`` (a row a case and method) and ``poses.csv`` (the pairs as they are).

    Args:
        folder: where.
        poses: of each pair ``pair``, ``kind``, ``closest`` (the two methods whose mean is the known pose) and
            ``distances`` by names of two methods, mm.
        records: ``pair``, ``kind``, ``case``, ``method``, ``error_mm``, ``cpu_seconds``, ``seconds``, ``flags``.
        methods: their names.
        seed: of the misalignments.
        threads: of each method.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(records, folder / "cases.csv", 4)
    write_csv(
        [{"pair": pose["pair"], "kind": pose["kind"], **pose["distances"]} for pose in poses], folder / "poses.csv", 4
    )
    parts = [_head(records, seed, threads), _totals(records, methods)]
    parts += [_counts(records, methods, "case", "By what was done"), _counts(records, methods, "pair", "By pair")]
    parts += [_misses(records), _poses(poses), _protocol(methods)]
    (folder / "table.md").write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def _head(records: Sequence[Mapping[str, Any]], seed: int, threads: int) -> str:
    pairs, cases = (len({record[key] for record in records}) for key in ("pair", "case"))
    return (
        "# Misalignments\n\n"
        f"{pairs * cases} misalignments: {cases} kinds of {pairs} pairs, seed {seed}, {threads} thread(s), "
        f"{processor()}. Found: less than {FOUND:g} mm from the known pose on average over the fixed brain."
    )


def _totals(records: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> str:
    lines = [
        "| method | found | median error mm | mean error of those found mm | CPU s, mean | CPU s, most |",
        "|---|---|---|---|---|---|",
    ]
    for name in methods:
        mine = [record for record in records if record["method"] == name]
        errors, seconds = ([record[key] for record in mine] for key in ("error_mm", "cpu_seconds"))
        good = [error for error in errors if error < FOUND]
        figures = np.median(errors), np.mean(good) if good else math.nan, np.mean(seconds), max(seconds)
        cells = " | ".join(f"{figure:.{digits}f}" for figure, digits in zip(figures, (2, 2, 1, 1), strict=True))
        share = f"{len(good)} of {len(mine)} ({100 * len(good) / len(mine):.0f} %)"
        lines.append(f"| {METHODS[name].title} | {share} | {cells} |")
    return "\n".join(lines)


def _counts(records: Sequence[Mapping[str, Any]], methods: Sequence[str], key: str, title: str) -> str:
    """Found of tried, a row a value of ``key``, a column a method."""
    lines = [f"## {title}", "", f"| {key} | " + " | ".join(METHODS[name].title for name in methods) + " |"]
    lines.append("|---" * (len(methods) + 1) + "|")
    for value in dict.fromkeys(record[key] for record in records):
        rows = [record for record in records if record[key] == value]
        text = DISTURBANCES[value].__doc__ if key == "case" else rows[0]["kind"]
        cells = []
        for name in methods:
            errors = [record["error_mm"] for record in rows if record["method"] == name]
            cells.append(f"{sum(error < FOUND for error in errors)} of {len(errors)}")
        lines.append(f"| {value}: {(text or '').rstrip('.')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _misses(records: Sequence[Mapping[str, Any]]) -> str:
    missed = [record for record in records if not record["error_mm"] < FOUND]
    lines = ["## Not found", "", "| pair | case | method | error mm | what it said |", "|---|---|---|---|---|"]
    lines += [
        f"| {one['pair']} | {one['case']} | {METHODS[one['method']].title} | {one['error_mm']:.1f} | {one['flags']} |"
        for one in missed
    ]
    return "\n".join(lines) if missed else ""


def _poses(poses: Sequence[Mapping[str, Any]]) -> str:
    """How far the methods are apart on the pairs as they are."""
    columns = list(dict.fromkeys(name for pose in poses for name in pose["distances"]))
    lines = [
        "## The known poses",
        "",
        "The pairs as they are, aligned by each method; mean distance of two poses in the fixed brain, mm. The known "
        "pose is the mean of the two poses of different programs that are closest to each other.",
        "",
        "| pair | " + " | ".join(columns) + " | known pose |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for pose in poses:
        cells = " | ".join(f"{pose['distances'][name]:.2f}" if name in pose["distances"] else "" for name in columns)
        used = "none: left out" if pose["matrix"] is None else " and ".join(pose["closest"])
        lines.append(f"| {pose['pair']} | {cells} | {used} |")
    return "\n".join(lines)


def _protocol(methods: Sequence[str]) -> str:
    lines = [f"- {METHODS[name].title}: {METHODS[name].settings}." for name in methods]
    found = versions(("SimpleITK", "torch", *{METHODS[name].distribution for name in methods if METHODS[name].module}))
    text = ", ".join(f"{name} {number}" for name, number in found.items())
    return "\n".join(["## Methods", "", *lines, "", f"Versions: {text}."])
