"""What a person sees at the end of a run: what was written where, and how good it is."""

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from common.behind import Behind
from common.streams import LastingStream
from common.switches import switch


class Summary:
    """Handler for MONAI's evaluator: a few lines on stdout for every pair that is done.

    Args:
        console: false prints nothing.
        behind: where the files are written, so that the lines come after them.
    """

    def __init__(self, console: bool | str = True, behind: Behind | None = None) -> None:
        self.console, self._behind = switch(console), behind or Behind()

    def attach(self, engine: Engine) -> None:
        """Register on the evaluator."""
        if self.console:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._print)

    def _print(self, engine: Engine) -> None:
        outputs: Any = engine.state.output
        self._behind.do(lambda: self._print_all(outputs))

    @staticmethod
    def _print_all(outputs: Any) -> None:
        for output in outputs:
            lines = summary_lines(output["metrics"], [Path(file) for file in output["output_files"]])
            print("\n".join(lines), file=LastingStream(sys.stdout), flush=True)


def summary_lines(metrics: Mapping[str, Any], files: list[Path]) -> list[str]:
    """The lines of one pair.

    Args:
        metrics: content of ``metrics.json``.
        files: what was written, all in one folder.
    """
    field, seconds = metrics["field"], metrics["stage_seconds"]
    peak = metrics["peak_memory_mb"]
    memory = "" if math.isnan(peak) else f"; peak memory {peak / 1000:.1f} GB"
    refinement = f", refinement {seconds['refine']:.1f} s" if "refine" in seconds else ""
    lines = [
        f"{Path(metrics['moving']).name} onto {Path(metrics['fixed']).name} with {metrics['network']}",
        *([f"  {metrics['brain']['word']}"] if metrics.get("brain", {}).get("word") else []),
        *([f"  {metrics['alignment']['word']}"] if "alignment" in metrics else []),
        *_before_and_after(metrics),
        f"  folds {field['folds_percent']:.3g} % of the voxels, smoothness (SD of log Jacobian) "
        f"{field['sd_log_jacobian_foreground']:.3f}, displacement up to {field['displacement_mm_max']:.1f} mm",
        f"  {seconds['total']:.1f} s, of which network {seconds['network']:.1f} s{refinement}{memory}",
        f"  written to {files[-1].parent}: {', '.join(file.name for file in files)}",
    ]
    return [*lines, *_doubts(metrics), *([f"  note: {metrics['note']}"] if "note" in metrics else [])]


def _doubts(metrics: Mapping[str, Any]) -> list[str]:
    """A fallback and the flags, a line each."""
    lines = [f"  warning: {flag['word']}; {flag['what_to_do']}" for flag in metrics.get("quality", [])]
    if "fallback" in metrics:
        fallback = metrics["fallback"]
        lines.insert(0, f"  the result is {fallback['to']}, since {'; '.join(fallback['because'])}")
    return lines


def _before_and_after(metrics: Mapping[str, Any]) -> list[str]:
    """Scores that have a start to compare with."""
    rows = [
        ("correlation", *(metrics["similarity"][when]["ncc"] for when in ("before", "after"))),
        ("mutual information", *(metrics["similarity"][when]["mutual_information"] for when in ("before", "after"))),
    ]
    if "dice" in metrics:
        rows.append(("mean Dice", *(metrics["dice"][when]["mean"] for when in ("before", "after"))))
    lines = ["  " + ", ".join(f"{name} {before:.3f} to {after:.3f}" for name, before, after in rows)]
    if "before" in metrics.get("points_mm", {}):
        before, after = (metrics["points_mm"][when]["mean"] for when in ("before", "after"))
        lines.append(f"  distance of the points: mean {before:.2f} to {after:.2f} mm")
    if "tre_mm" in metrics:
        before, after = (metrics["tre_mm"][when]["mean"] for when in ("before", "after"))
        lines.append(f"  distance to the true field: mean {before:.2f} to {after:.2f} mm")
    return lines
