"""Learning curves of runs: Dice of each kind of pair and roughness over the CPU seconds, from their logs."""

from collections.abc import Mapping
from pathlib import Path

from common.writing import write_atomically, write_csv
from tools.weights.training import rows_of

#: Columns of a log that a curve keeps, by their start.
KEPT = ("step", "seconds", "cpu_seconds", "val")


def write_curve(log: Path, path: Path) -> list[dict[str, str]]:
    """Write the validations of a run's log as CSV: step, seconds, CPU seconds, scores; returns the rows."""
    rows = [
        {name: text for name, text in row.items() if name.startswith(KEPT)}
        for row in rows_of(log)
        if row.get("val_dice")
    ]
    if rows:
        write_csv(rows, path)
    return rows


def draw_curves(curves: Mapping[str, list[dict[str, str]]], path: Path, seconds: str = "cpu_seconds") -> bool:
    """Draw the curves of runs in one picture; a panel for each kind of pair and one for the roughness.

    Args:
        curves: name of a run -> its rows.
        path: of the PNG.
        seconds: column of the abscissa; ``seconds`` on a GPU, whose work no CPU second counts.

    Returns:
        Whether there was anything to draw, and matplotlib to draw it.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    names = [name for rows in curves.values() for row in rows[:1] for name in row if name.startswith("val ")]
    panels = [name for name in dict.fromkeys(names) if "folds" not in name]
    if not panels:
        return False
    figure = Figure(figsize=(3.4 * len(panels), 2.8))
    FigureCanvasAgg(figure)
    for axis, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for run, rows in curves.items():
            points = [(float(row[seconds]), float(row[panel])) for row in rows if row.get(panel)]
            axis.plot(*zip(*points, strict=True), marker=".", label=run)
        axis.set_title(panel.removeprefix("val ").replace("sd_log_jacobian", "SD of log Jacobian"), fontsize=9)
        axis.set_xlabel(seconds.replace("_", " ").replace("cpu", "CPU"), fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=7)
    figure.tight_layout()
    write_atomically(path, lambda file: figure.savefig(file, dpi=80, format="png"))
    return True
