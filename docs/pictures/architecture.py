"""Draw ``architecture.png``: the rooms of the house in their layers, and every import between them.

The boxes, their sizes and the arrows are read from the source files (``tests/house.py``); only where a box stands and
the words in it are chosen here. Run from the repository root: ``python -m docs.pictures.architecture``.
"""

import json
import re
from collections import Counter
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from tests.house import GROUND, ROOT, arrows, modules

INK, PAPER, QUIET = "#222222", "white", "#7a7a7a"
TOOLS, BUNDLES = "▲", "●"
NETWORK, IMAGE, NUMBER, LEARN, DOOR = "#2a8a3e", "#1f6fb2", "#7a5c99", "#b2481f", "#444444"
TRADES = {"networks": NETWORK, "learning": LEARN, "images and fields": IMAGE, "numbers": NUMBER}
WIDTH, HEIGHT = 1.66, 0.74
# room: (place from left to right, storey, colour of its trade, what it is for)
ROOMS = {
    "compiled": (1.95, 1.15, NETWORK, "kernels by numba"),
    "scan": (1.0, 2.4, NETWORK, "selective scan"),
    "convolution": (2.9, 2.4, NETWORK, "fused 3D layers"),
    "blocks": (1.95, 3.6, NETWORK, "layers"),
    "networks": (1.95, 4.8, NETWORK, "one file a paper"),
    "losses": (4.75, 3.6, LEARN, "what MONAI lacks"),
    "data": (5.5, 4.8, LEARN, "lists, synthesis"),
    "training": (4.2, 6, LEARN, "learn a network"),
    "spatial": (6.9, 1.15, IMAGE, "fields and warps"),
    "geometry": (9.0, 2.4, IMAGE, "frames and grids"),
    "images": (8.7, 3.6, IMAGE, "files of images"),
    "anatomy": (10.58, 3.6, IMAGE, "a brain's structures"),
    "refine": (6.82, 3.6, IMAGE, "fit one pair's field"),
    "registration": (8.35, 4.8, IMAGE, "one pair's pipeline"),
    "bundle": (8.35, 6, DOOR, "open, check, register"),
    "sample": (6.3, 6, DOOR, "a pair to try"),
    "metrics": (10.85, 2.4, NUMBER, "Dice, folds, ..."),
    "statistics": (12.62, 2.4, NUMBER, "tests over pairs"),
    "evaluation": (10.85, 6, NUMBER, "scores and tables"),
    "report": (12.62, 4.8, NUMBER, "pictures"),
}


def configured(root: Path) -> Counter[str]:
    """How often the bundles' configurations name something of a room (``_target_`` and ``$import``)."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((root / "bundles").glob("*/configs/*.json"))]
    return Counter(room for text in texts for room in re.findall(r"\bcommon\.(\w+)", json.dumps(json.loads(text))))


def box(axes: Axes, x: float, y: float, title: str, text: str, note: str, colour: str, width: float = WIDTH) -> None:
    """One room: its name, what it is for, and a note in small letters."""
    corner = (x - width / 2, y - HEIGHT / 2)
    style = "round,pad=0,rounding_size=0.09"
    axes.add_patch(FancyBboxPatch(corner, width, HEIGHT, boxstyle=style, fc=PAPER, ec=colour, lw=1.6, zorder=3))
    axes.text(x, y + 0.17, title, color=colour, fontsize=11, weight="bold", ha="center", va="center", zorder=4)
    axes.text(x, y - 0.06, text, color=INK, fontsize=8, ha="center", va="center", zorder=4)
    axes.text(x, y - 0.25, note, color=QUIET, fontsize=6.5, ha="center", va="center", zorder=4)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], count: int, colour: str) -> None:
    """Imports of one room by another: the more, the thicker."""
    (x0, y0), (x1, y1) = start, end
    lean = 0.3 * WIDTH * max(-1.0, min(1.0, (x1 - x0) / 3))  # leaves and arrives on the side that looks at the other
    start, end = (x0 + lean, y0 - HEIGHT / 2), (x1 - lean, y1 + HEIGHT / 2)
    if abs(y1 - y0) < HEIGHT:
        side = WIDTH / 2 if x1 > x0 else -WIDTH / 2
        start, end = (x0 + side, y0), (x1 - side, y1)
    style = f"-|>,head_length={3 + count**0.5},head_width={1.6 + 0.4 * count**0.5}"
    look = {"color": colour, "lw": 0.7 + 0.45 * count**0.5, "alpha": 0.55, "shrinkA": 1, "shrinkB": 1, "zorder": 2}
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle=style, **look))


def draw(root: Path, path: Path) -> None:
    """Draw the plan of a checkout; the file's description names the arrows, for the test that it is up to date."""
    counted, named = arrows(root), configured(root)
    lines: Counter[str] = Counter()
    for module in modules("common", root).values():
        lines[module.room] += module.lines
    figure, axes = plt.subplots(figsize=(12.4, 7.9), dpi=110)
    for room, (x, y, colour, text) in ROOMS.items():
        if room in lines:
            doors = [mark for mark, count in ((TOOLS, counted.get(("tools", room))), (BUNDLES, named[room])) if count]
            box(axes, x, y, room, text, " ".join([f"{lines[room]:,} lines", *doors]), colour)
    for (who, whom), count in sorted(counted.items()):
        if who in ROOMS and whom in ROOMS:
            arrow(axes, ROOMS[who][:2], ROOMS[whom][:2], count, ROOMS[who][2])
    users = {room: len({who for who, whom in counted if whom == room}) for room in GROUND if room in lines}
    title = "      ".join(f"{room} ({count})" for room, count in users.items())
    box(axes, 6.75, 0, title, "the ground", "in brackets: how many rooms stand on it", QUIET, 13.2)
    box(axes, 4.2, 7.2, f"tools {TOOLS}", "the command line", "python -m tools", DOOR, 4.8)
    box(axes, 9.3, 7.2, f"bundles {BUNDLES}", "configurations", "python -m monai.bundle run", DOOR, 4.8)
    legend = (
        "An arrow is an import: the thicker, the more of them. None points up.    "
        f"{TOOLS} used by the command line    {BUNDLES} named by configurations"
    )
    axes.text(6.75, -0.62, legend, color=INK, fontsize=8, ha="center", va="center")
    for place, (trade, colour) in enumerate(TRADES.items()):
        axes.text(4.2 + 1.7 * place, -0.9, trade, color=colour, fontsize=8, weight="bold", ha="center", va="center")
    axes.set_xlim(0, 13.5)
    axes.set_ylim(-1.1, 7.7)
    axes.axis("off")
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.995)
    description = " ".join(sorted(f"{who}-{whom}" for who, whom in counted if who in ROOMS and whom in ROOMS))
    figure.savefig(path, metadata={"Description": description}, pil_kwargs={"optimize": True})
    plt.close(figure)


if __name__ == "__main__":
    draw(ROOT, Path(__file__).with_suffix(".png"))
