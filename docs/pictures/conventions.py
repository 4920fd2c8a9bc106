"""Draw ``conventions.png``: frames and directions of a displacement field, in two dimensions.

Run from the repository root: ``python docs/pictures/conventions.py``.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

INK, FIXED, MOVING, FIELD = "#222222", "#1f6fb2", "#b2481f", "#2a8a3e"


def grid(axes, origin, first, second, counts, colour):
    """Draw the voxel centres of a grid and its two index axes."""
    i, j = np.meshgrid(*[np.arange(n) for n in counts], indexing="ij")
    points = np.asarray(origin) + i[..., None] * np.asarray(first) + j[..., None] * np.asarray(second)
    axes.plot(points[..., 0].ravel(), points[..., 1].ravel(), "o", ms=3, color=colour, alpha=0.55)
    for axis, name in ((first, "axis 0"), (second, "axis 1")):
        axes.annotate(
            "",
            np.asarray(origin) + 2.2 * np.asarray(axis),
            origin,
            arrowprops={"arrowstyle": "->", "color": colour, "lw": 2},
        )
        axes.text(
            *(np.asarray(origin) + 2.6 * np.asarray(axis) - (0, 0.45 * (axis[1] == 0))),
            name,
            color=colour,
            fontsize=9,
            ha="center",
        )
    return points


def main() -> None:
    """Draw and save the picture."""
    figure, axes = plt.subplots(figsize=(10, 5.2), dpi=110)
    fixed = grid(axes, (0, 0), (1, 0), (0, 1), (7, 6), FIXED)
    turn = np.radians(25)
    step = 1.25
    grid(
        axes,
        (12.6, 0.2),
        (-step * np.sin(turn), step * np.cos(turn)),
        (step * np.cos(turn), step * np.sin(turn)),
        (5, 4),
        MOVING,
    )
    x, y = fixed[4, 3], np.array([12.9, 3.6])
    axes.annotate(
        "", y, x, arrowprops={"arrowstyle": "-|>", "color": FIELD, "lw": 2.5, "connectionstyle": "arc3,rad=-0.15"}
    )
    axes.plot(*x, "o", ms=9, color=FIXED)
    axes.plot(*y, "s", ms=9, color=MOVING)
    axes.text(x[0] - 0.2, x[1] + 0.4, "x", color=FIXED, fontsize=14, style="italic", ha="right")
    axes.text(y[0] + 0.3, y[1] - 0.5, "x + u(x)", color=MOVING, fontsize=13, style="italic")
    axes.text(8.6, 4.75, "field u: from fixed to moving", color=FIELD, fontsize=11, ha="center")
    axes.text(
        3, -1.2, "fixed image's grid\n(field, moved image and outputs live here)", color=FIXED, ha="center", va="top"
    )
    axes.text(13.6, -1.2, "moving image's grid\n(intensities are read here, once)", color=MOVING, ha="center", va="top")
    axes.text(
        8.2,
        -2.9,
        "moved(x) = moving(x + u(x))        ddf: voxels of the fixed grid, channel k along array axis k\n"
        "warp.nii.gz: LPS millimetres = diag(-1, -1, 1) · A[:3, :3] · ddf,   A the fixed image's RAS affine",
        color=INK,
        fontsize=10,
        ha="center",
        va="top",
    )
    axes.set_xlim(-1.2, 18)
    axes.set_ylim(-4.4, 7.2)
    axes.set_aspect("equal")
    axes.axis("off")
    figure.tight_layout()
    figure.savefig(Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
