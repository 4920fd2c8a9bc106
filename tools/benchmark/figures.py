"""Figures of the benchmark: Dice by structure as box plots, Dice against time. Drawn without a display."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.benchmark.peers import PEERS

COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#7f7f7f",
    "#b8a500",
    "#882255",
    "#44aa99",
    "#000000",
    "#f0a8c8",
    "#6a3d9a",
    "#8c510a",
    "#a6d854",
    "#1f3b73",
)


def draw_figures(folder: Path, records: Sequence[dict[str, Any]], structures: Mapping[int, str]) -> dict[str, str]:
    """Draw what the records allow.

    Returns:
        Description by file name. Empty without labels, or without matplotlib.
    """
    try:
        import matplotlib
    except ImportError:
        return {}
    matplotlib.use("Agg")
    if not any(record["structures"] for record in records):
        return {}
    methods = list(dict.fromkeys(record["method"] for record in records))
    colours = {method: COLOURS[n % len(COLOURS)] for n, method in enumerate(methods)}
    pictures = {}
    for number, kind in enumerate(dict.fromkeys(record["kind"] for record in records)):
        name = f"dice_by_structure_{number + 1}.png"
        draw_boxes(folder / name, [r for r in records if r["kind"] == kind], structures, colours, kind)
        pictures[name] = f"Dice by structure, {kind or 'all pairs'}: both sides and all pairs in one box"
    _against_time(folder / "dice_against_time.png", records, colours)
    pictures["dice_against_time.png"] = (
        "Mean Dice against CPU seconds a pair, process start included; large marks are means, squares classical tools"
    )
    return pictures


def merge_sides(name: str) -> str:
    """Name of a structure without its side.

    >>> merge_sides("Left-Inf-Lat-Vent"), merge_sides("3rd-Ventricle")
    ('Inf-Lat-Vent', '3rd-Ventricle')
    >>> merge_sides("left superior frontal gyrus")
    'superior frontal gyrus'
    """
    for side in ("Left-", "Right-", "left ", "right "):
        name = name.removeprefix(side)
    return name


def draw_boxes(
    path: Path,
    records: Sequence[dict[str, Any]],
    structures: Mapping[int, str],
    colours: Mapping[str, str],
    kind: str,
) -> None:
    """One group of boxes a structure, one box a method."""
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    values: dict[str, dict[str, list[float]]] = {}
    for record in records:
        for label, scores in record["structures"].items():
            name = merge_sides(structures.get(int(label), str(label)))
            values.setdefault(name, {}).setdefault(record["method"], []).append(
                np.nan if scores["dice_nearest"] is None else scores["dice_nearest"]
            )
    methods = [m for m in colours if any(r["method"] == m for r in records)]
    width = 0.8 / len(methods)
    figure, axes = pyplot.subplots(figsize=(max(8.0, 0.75 * len(values)), 5.0), layout="constrained")
    for number, method in enumerate(methods):
        data = [[v for v in group.get(method, []) if not np.isnan(v)] for group in values.values()]
        places = np.arange(len(values)) - 0.4 + width * (number + 0.5)
        boxes = axes.boxplot(data, positions=places, widths=0.9 * width, patch_artist=True, manage_ticks=False)
        for box in boxes["boxes"]:
            box.set(facecolor=colours[method], linewidth=0.5)
        for part in ("whiskers", "caps", "medians"):
            for line in boxes[part]:
                line.set(color="black", linewidth=0.5)
        for flier in boxes["fliers"]:
            flier.set(markersize=2)
    axes.set_xticks(np.arange(len(values)), list(values), rotation=45, ha="right", fontsize=8)
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.set_ylim(0, 1)
    axes.set_ylabel("Dice, nearest labels")
    axes.set_title(kind)
    axes.grid(axis="y", linewidth=0.3)
    axes.legend(handles=[Patch(color=colours[m], label=m) for m in methods], fontsize=7, ncols=3, loc="lower left")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _against_time(path: Path, records: Sequence[dict[str, Any]], colours: Mapping[str, str]) -> None:
    """A panel a kind of pair: CPU time, which other work on the machine changes little; the affine start as a line."""
    from matplotlib import pyplot

    kinds = list(dict.fromkeys(record["kind"] for record in records))
    width = 5.0 * len(kinds) + 2.5  # the legend stands beside the panels, so that it hides no point
    figure, panels = pyplot.subplots(1, len(kinds), figsize=(width, 4.0), layout="constrained", squeeze=False)
    for axes, kind in zip(panels[0], kinds, strict=True):
        for method, colour in colours.items():
            mine = [r for r in records if r["kind"] == kind and r["method"] == method and r["structures"]]
            if not mine:
                continue
            dice = [r["scores"]["dice_nearest"] for r in mine]
            if mine[0]["job"]["method"] == "none":
                axes.axhline(np.mean(dice), color=colour, linestyle="--", linewidth=1, label=method)
                continue
            seconds = [r["cpu_seconds"] for r in mine]
            marker = "s" if mine[0]["job"]["method"] in PEERS else "o"
            axes.scatter(seconds, dice, s=8, color=colour, marker=marker, alpha=0.5)
            axes.scatter(np.mean(seconds), np.mean(dice), s=50, color=colour, marker=marker, label=method)
        axes.set_xscale("log")
        axes.set_xlabel("CPU seconds a pair")
        axes.set_ylabel("mean Dice, nearest labels")
        axes.set_title(kind)
        axes.grid(linewidth=0.3)
    marks = {text: mark for axes in panels[0] for mark, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(marks.values(), marks.keys(), fontsize=7, loc="outside right upper")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
