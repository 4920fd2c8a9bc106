"""Draw docs/pictures/refinement.png: a network's field, and the one that refinement makes of it (run from the root).

The sample pair, whose true field is known: ``python -m docs.pictures.refinement``.
"""

import tempfile
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from common.bundle import Bundle
from common.images import read_volume
from common.report.figures import blend, draw_grid, draw_log_jacobian, show
from common.report.planes import cut
from common.report.result import Result, displacement_on, read_result
from common.sample import sample_pair

BUNDLE, AXIS = "mambamorph", 1
#: The colours of the log Jacobian and of the distance to the true field end here.
LIMIT, MILLIMETRES = 1.2, 6.0


def main() -> None:
    """Write the picture."""
    figure, axes = plt.subplots(2, 4, figsize=(11, 6.2), layout="constrained")
    with tempfile.TemporaryDirectory() as scratch:
        for row, refine in zip(axes, ("off", "auto"), strict=True):
            folder = Path(scratch) / refine
            (made,) = Bundle(BUNDLE).register(sample_pair(), folder, refine=refine, keep=True, device="cpu")
            jacobian, distance = _draw(row, read_result(folder), made.metrics)
            words = "MambaMorph alone" if refine == "off" else "refined, the default"
            row[0].text(-0.05, 0.5, words, rotation=90, va="center", ha="right", transform=row[0].transAxes)
    figure.colorbar(jacobian, ax=axes[:, 2], location="bottom", shrink=0.9, label="log Jacobian; folds are black")
    figure.colorbar(distance, ax=axes[:, 3], location="bottom", shrink=0.9, label="distance to the true field, mm")
    figure.savefig("docs/pictures/refinement.png", dpi=85)


def _draw(row: np.ndarray, result: Result, metrics: dict[str, Any]) -> tuple[Any, Any]:
    """Overlay, deformed grid, log Jacobian, distance to the true field; returns what the colour bars show."""
    index = result.centre[AXIS]
    moved, fixed = (cut(result.images[name], result, AXIS, index) for name in ("moved", "fixed"))
    show(row[0], blend(moved, fixed), result, AXIS)
    draw_grid(row[1], result, AXIS, index)
    row[1].set_axis_off()
    row[1].set_aspect("equal")
    jacobian = draw_log_jacobian(row[2], result, AXIS, index, LIMIT)
    truth = displacement_on(sample_pair()["true_field"], read_volume(sample_pair()["fixed"], "fixed"))
    error = np.linalg.norm((result.ddf - truth) * result.spacing[:, None, None, None], axis=0) * (
        result.images["fixed"] > 0
    )
    distance = show(row[3], cut(error, result, AXIS, index), result, AXIS, cmap="viridis", vmin=0, vmax=MILLIMETRES)
    figures = metrics["field"]
    titles = (
        "moved: orange, fixed: blue",
        "grid, 6 mm",
        f"folds {figures['folds_foreground_percent']:.3f} %, SD {figures['sd_log_jacobian_foreground']:.2f}",
        f"mean {metrics['tre_mm']['after']['mean']:.2f} mm (before {metrics['tre_mm']['before']['mean']:.2f})",
    )
    for panel, title in zip(row, titles, strict=True):
        panel.set_title(title, fontsize=9)
    return jacobian, distance


if __name__ == "__main__":
    main()
