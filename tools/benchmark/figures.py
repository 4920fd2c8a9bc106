"""Figures of the benchmark: Dice by structure as box plots, Dice against time and against smoothness; no display."""

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
#: Methods whose boxes fit beside each other.
MOST_BOXES = 8


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
    colours = method_colours(records)
    pictures = {}
    for number, kind in enumerate(dict.fromkeys(record["kind"] for record in records)):
        name = f"dice_by_structure_{number + 1}.png"
        best = best_methods([r for r in records if r["kind"] == kind])
        draw_boxes(folder / name, best, structures, colours, kind)
        pictures[name] = (
            f"Dice by structure, {kind or 'all pairs'}: both sides and all pairs in one box"
            + f"; the {MOST_BOXES} best methods" * (len(colours) > MOST_BOXES)
        )
    marks = "large marks are means; squares: classical tools, rings: networks alone, discs: refined"
    draw_against(folder / "dice_against_time.png", records, colours, "cpu_seconds", "CPU seconds a pair")
    pictures["dice_against_time.png"] = f"Mean Dice against CPU seconds a pair, process start included; {marks}"
    roughness = "sd_log_jacobian"
    if all(roughness in record["scores"] for record in records):
        draw_against(folder / "dice_against_smoothness.png", records, colours, roughness, "SD of the log Jacobian")
        pictures["dice_against_smoothness.png"] = (
            f"Mean Dice against the standard deviation of the log Jacobian, to the left is smoother; {marks}"
        )
    return pictures


def method_colours(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """A colour for each method; a bundle's network and its refined field share one."""
    families: dict[str, str] = {}
    colours = {}
    for record in records:
        name = record["job"]["method"]
        family = name if name in PEERS else name.partition("+")[0] + "+"
        colours[record["method"]] = families.setdefault(family, COLOURS[len(families) % len(COLOURS)])
    return colours


def best_methods(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records of the methods with the highest mean Dice, as many as a picture has room for."""
    scores: dict[str, list[float]] = {}
    for record in records:
        scores.setdefault(record["method"], []).append(record["scores"].get("dice_nearest", np.nan))
    chosen = sorted(scores, key=lambda method: -np.nan_to_num(np.mean(scores[method])))[:MOST_BOXES]
    return [record for record in records if record["method"] in chosen]


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


def draw_against(
    path: Path, records: Sequence[dict[str, Any]], colours: Mapping[str, str], across: str, label: str
) -> None:
    """A panel a kind of pair: mean Dice against another figure of the records.

    Squares are classical tools, rings networks alone, discs refined fields; the affine start is a line.

    Args:
        path: PNG to write.
        records: of the benchmark.
        colours: by method.
        across: what goes to the right, a figure of the records or of their scores.
        label: its name and unit.
    """
    from matplotlib import pyplot

    kinds = list(dict.fromkeys(record["kind"] for record in records))
    width = 5.0 * len(kinds) + 3.0  # the legend stands beside the panels, so that it hides no point
    figure, panels = pyplot.subplots(1, len(kinds), figsize=(width, 4.6), layout="constrained", squeeze=False)
    for axes, kind in zip(panels[0], kinds, strict=True):
        for method, colour in colours.items():
            mine = [r for r in records if r["kind"] == kind and r["method"] == method and r["structures"]]
            if not mine:
                continue
            dice = [r["scores"]["dice_nearest"] for r in mine]
            name = mine[0]["job"]["method"]
            if name == "none":
                axes.axhline(np.mean(dice), color=colour, linestyle="--", linewidth=1, label=method)
                continue
            values = [r[across] if across in r else r["scores"][across] for r in mine]
            marker = "s" if name in PEERS else "o"
            filled = colour if name in PEERS or "+" in name else "none"
            axes.scatter(values, dice, s=8, color=colour, marker=marker, alpha=0.5)
            axes.scatter(
                np.mean(values), np.mean(dice), s=50, facecolors=filled, edgecolors=colour, marker=marker, label=method
            )
        if across == "cpu_seconds":
            axes.set_xscale("log")
            for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
                ticks("{x:g}")  # 20 rather than 2 x 10^1
        axes.set_xlabel(label)
        axes.set_ylabel("mean Dice, nearest labels")
        axes.set_title(kind)
        axes.grid(linewidth=0.3)
    marks = {text: mark for axes in panels[0] for mark, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(marks.values(), marks.keys(), fontsize=7, loc="outside right upper")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
