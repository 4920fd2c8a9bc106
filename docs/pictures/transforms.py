"""Draw ``transforms.png``: the spaces of a registration and which way points and images go between them.

Run from the repository root: ``python docs/pictures/transforms.py``.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

INK, POINTS, IMAGES = "#222222", "#2a8a3e", "#b2481f"
SPACES = (
    ("fixed", "the grid of\nmoved.nii.gz"),
    ("aligned", "the moving head\nlaid on the fixed"),
    ("moving", "as the scanner\nput it"),
)
STEPS = ("field", "affine")


def main() -> None:
    """Draw and save the picture."""
    figure, axes = plt.subplots(figsize=(9, 2.8))
    for place, (name, words) in enumerate(SPACES):
        axes.text(4 * place, 0.15, name, ha="center", va="center", fontsize=14, color=INK, weight="bold")
        axes.text(4 * place, -0.32, words, ha="center", va="center", fontsize=9, color=INK)
        axes.add_patch(plt.Rectangle((4 * place - 1.1, -0.65), 2.2, 1.2, fill=False, edgecolor=INK))
    for place, name in enumerate(STEPS):
        left, right = 4 * place + 1.15, 4 * place + 2.85
        axes.annotate("", (right, 0.25), (left, 0.25), arrowprops={"arrowstyle": "->", "color": POINTS, "lw": 2})
        axes.annotate("", (left, -0.35), (right, -0.35), arrowprops={"arrowstyle": "->", "color": IMAGES, "lw": 2})
        axes.text(4 * place + 2, 0.38, name, ha="center", fontsize=9, color=INK)
    axes.text(4, 0.95, "points go this way; with the inverse, the other way", ha="center", color=POINTS, fontsize=11)
    axes.text(4, -1.1, "images and labels are pulled this way", ha="center", color=IMAGES, fontsize=11)
    axes.set(xlim=(-1.4, 9.4), ylim=(-1.3, 1.25))
    axes.axis("off")
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
