"""The figures of a report: checkerboards, contours, deformed grid, field, Jacobian, curves. Drawn without a display.

Colours are told apart by people who do not see red or green: orange and blue (Okabe and Ito), a diverging map from
orange to purple with white at zero, and cividis for lengths.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.report.planes import PLANES, cut, pixel_size
from common.report.result import Result

BLUE, ORANGE = (0.34, 0.71, 0.91), (0.90, 0.62, 0.0)
#: Distance between the lines of the deformed grid, and the side of a checkerboard's squares, millimetres.
GRID_MM, SQUARE_MM = 6.0, 18.0
#: Times that label maps are enlarged, so that a contour is thinner than a voxel.
FINE = 3


@dataclass(frozen=True)
class Drawn:
    """A figure of the report: its file, what a reader sees in it, and what it says to who cannot see it."""

    title: str
    content: bytes
    caption: str
    alternative: str


def require_matplotlib() -> None:
    """Raises InputError where matplotlib is missing, before hours of work end at it."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise InputError("pictures and reports need matplotlib: pip install matplotlib") from error


def figures(result: Result) -> Iterator[Drawn]:
    """Every figure that this result has something to show in, in the order of the page."""
    yield _checkerboards(result)
    if result.labels:
        yield _contours(result)
    yield _grid(result)
    yield _colours(result)
    yield _jacobian(result)
    if result.metrics.get("refinement", {}).get("levels"):
        yield _curves(result.metrics["refinement"]["levels"])


def blend(moved: NDArray, fixed: NDArray) -> NDArray:
    """Two grey pictures in one: what only the moved one shows is orange, what only the fixed one shows is blue."""
    return np.stack([moved, 0.5 * (moved + fixed), fixed], axis=-1)


def checkerboard(first: NDArray, second: NDArray, size: tuple[float, float]) -> NDArray:
    """Squares of 18 mm of two pictures in turn."""
    squares = [np.arange(n) * mm // SQUARE_MM for n, mm in zip(first.shape, size, strict=True)]
    return np.where((squares[0][:, None] + squares[1]) % 2 == 0, first, second)


def edges(labels: NDArray) -> NDArray[np.bool_]:
    """Where the label changes, in a picture ``FINE`` times as large. (rows, columns) -> boolean."""
    large = np.kron(labels, np.ones((FINE, FINE), labels.dtype))
    out = np.zeros(large.shape, bool)
    out[1:] |= large[1:] != large[:-1]
    out[:, 1:] |= large[:, 1:] != large[:, :-1]
    return out


def log_jacobian(jacobian: NDArray) -> NDArray:
    """Natural logarithm of the determinants; folds, which have none, are masked."""
    folded = jacobian <= 0
    return np.ma.masked_array(np.log(np.where(folded, 1, jacobian)), folded)


def jacobian_limit(result: Result) -> float:
    """The absolute log Jacobian at the ends of the colour bar: nearly all of the foreground lies within."""
    values = np.abs(log_jacobian(result.jacobian)[result.images["fixed"] > 0.1])
    return max(0.1, float(np.percentile(values.compressed(), 99.5))) if values.count() else 0.1


def draw_grid(panel: Any, result: Result, axis: int, index: int, colour: str = "black") -> None:
    """Lines 6 mm apart that are straight in the fixed image, where the field carries them."""
    first, second = (k for k in range(3) if k != axis)
    lines = [cut(result.ddf[k], result, axis, index) for k in (first, second)]
    rows, columns = lines[0].shape
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    x, y = x + lines[0], y - lines[1]  # rows run downwards, the second axis upwards
    across, down = (max(1, round(GRID_MM / mm)) for mm in reversed(pixel_size(result, axis)))
    panel.plot(x[:, ::across], y[:, ::across], color=colour, lw=0.5)
    panel.plot(x[::down].T, y[::down].T, color=colour, lw=0.5)
    panel.set_xlim(-0.5, columns - 0.5)
    panel.set_ylim(rows - 0.5, -0.5)


def draw_log_jacobian(panel: Any, result: Result, axis: int, index: int, limit: float) -> Any:
    """The log Jacobian around zero in white, folds in black."""
    import matplotlib

    colours = matplotlib.colormaps["PuOr"].with_extremes(bad="black")
    picture = cut(log_jacobian(result.jacobian), result, axis, index)
    return show(panel, picture, result, axis, cmap=colours, vmin=-limit, vmax=limit)


def show(panel: Any, picture: NDArray, result: Result, axis: int, **options: Any) -> Any:
    """A slice with square millimetres; grey, where it is one of intensities."""
    height, width = pixel_size(result, axis)
    grey = {"cmap": "gray", "vmin": 0, "vmax": 1} if picture.ndim == 2 and "cmap" not in options else {}
    panel.set_axis_off()
    return panel.imshow(picture, aspect=height / width, interpolation="nearest", **grey, **options)


def _sheet(result: Result, rows: list[str]) -> tuple[Any, Any]:
    """A figure with a row for each name and a column for each plane, as wide as their slices are."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    extent = [(p.stop - p.start) * mm for p, mm in zip(result.box, result.spacing, strict=True)]
    widths, heights = [extent[1], extent[0], extent[0]], [extent[2], extent[2], extent[1]]
    scale = 11 / sum(widths)
    figure = Figure(figsize=(12, len(rows) * max(heights) * scale + 0.4), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 3, squeeze=False, width_ratios=widths)
    for column, name in enumerate(PLANES):
        axes[0, column].set_title(name, fontsize=10)
    for row, name in enumerate(rows):
        axes[row, 0].text(-0.02, 0.5, name, rotation=90, va="center", ha="right", transform=axes[row, 0].transAxes)
    return figure, axes


def encode(figure: Any, kind: str = "jpg") -> bytes:
    """The figure's file."""
    file = io.BytesIO()
    options: dict[str, Any] = {"pil_kwargs": {"quality": 85, "optimize": True}} if kind == "jpg" else {}
    figure.savefig(file, format=kind, facecolor="white", **options)
    return file.getvalue()


def _checkerboards(result: Result) -> Drawn:
    rows = {"before": result.start, "after": "moved"}
    figure, axes = _sheet(result, list(rows))
    for row, name in zip(axes, rows.values(), strict=True):
        for panel, axis in zip(row, PLANES.values(), strict=True):
            fixed, moving = (cut(result.images[image], result, axis, result.centre[axis]) for image in ("fixed", name))
            show(panel, checkerboard(fixed, moving, pixel_size(result, axis)), result, axis)
    start = "after the linear alignment" if result.start == "aligned" else "where its header puts it"
    return Drawn(
        "Checkerboard", encode(figure),
        f"Squares of {SQUARE_MM:.0f} mm of the fixed and of the moving image in turn: before ({start}) and after. "
        "Edges of the anatomy have to run on from square to square.",
        "Checkerboards of both images in three planes, before and after the registration",
    )  # fmt: skip


def _contours(result: Result) -> Drawn:
    names = {"before": result.start, "after": "moved"} if result.start in result.labels else {"after": "moved"}
    figure, axes = _sheet(result, list(names))
    for row, name in zip(axes, names.values(), strict=True):
        for panel, axis in zip(row, PLANES.values(), strict=True):
            _draw_contours(panel, result, axis, {"fixed": BLUE, name: ORANGE})
    return Drawn(
        "Label contours", encode(figure),
        "Contours of the fixed labels in blue and of the moving labels in orange, on the fixed image; white where they "
        "fall together.",
        "Contours of the labels of both images in three planes, before and after the registration",
    )  # fmt: skip


def _draw_contours(panel: Any, result: Result, axis: int, colours: dict[str, tuple[float, float, float]]) -> None:
    index = result.centre[axis]
    picture = np.kron(cut(result.images["fixed"], result, axis, index), np.ones((FINE, FINE)))
    picture = np.repeat(0.75 * picture[..., None], 3, axis=-1)
    drawn = {name: edges(cut(result.labels[name], result, axis, index)) for name in colours if name in result.labels}
    for name, where in drawn.items():
        picture[where] = colours[name]
    if len(drawn) == 2:
        picture[np.logical_and(*drawn.values())] = 1
    show(panel, picture, result, axis)


def _grid(result: Result) -> Drawn:
    length = np.linalg.norm(result.millimetres(), axis=0)
    seen = length[result.images["fixed"] > 0.1]
    highest = max(float(np.percentile(seen, 99.8)) if seen.size else 0.0, 0.1)
    figure, axes = _sheet(result, [""])
    drawn: Any = None
    for panel, axis in zip(axes[0], PLANES.values(), strict=True):
        index = result.centre[axis]
        picture = cut(length, result, axis, index)
        drawn = show(panel, picture, result, axis, cmap="cividis", vmin=0, vmax=highest)
        draw_grid(panel, result, axis, index, "white")
    figure.colorbar(drawn, ax=axes[0], shrink=0.7, label="displacement, mm")
    return Drawn(
        "Deformed grid and length of the displacement", encode(figure),
        f"Lines {GRID_MM:.0f} mm apart that are straight in the fixed image, where the field carries them, over the "
        "length of the total displacement, the linear alignment included. Lines must not cross.",
        "Grid lines as the field carries them, and the length of the displacement in millimetres",
    )  # fmt: skip


def _colours(result: Result) -> Drawn:
    field = result.millimetres()
    seen = np.abs(field[:, result.images["fixed"] > 0.1])
    highest = max(float(np.percentile(seen, 99.5)) if seen.size else 0.0, 0.1)
    picture = np.clip(0.5 + field / (2 * highest), 0, 1)
    figure, axes = _sheet(result, [""])
    for panel, axis in zip(axes[0], PLANES.values(), strict=True):
        index = result.centre[axis]
        show(panel, np.stack([cut(part, result, axis, index) for part in picture], axis=-1), result, axis)
    return Drawn(
        "Field as colours", encode(figure),
        f"Red: displacement to the right, green: to the front, blue: upwards; grey is none, full and missing colour "
        f"are {highest:.1f} mm one and the other way. A good field changes its colour slowly.",
        "The three components of the displacement as red, green and blue",
    )  # fmt: skip


def _jacobian(result: Result) -> Drawn:
    limit = jacobian_limit(result)
    folds = result.jacobian <= 0
    figure, axes = _sheet(result, [""])
    where = [int(np.argmax(folds.sum(axis=tuple(k for k in range(3) if k != axis)))) for axis in range(3)]
    within = all(result.box[axis].start <= where[axis] < result.box[axis].stop for axis in range(3))
    indices = where if folds.any() and within else list(result.centre)
    drawn: Any = None
    for panel, axis in zip(axes[0], PLANES.values(), strict=True):
        drawn = draw_log_jacobian(panel, result, axis, indices[axis], limit)
    figure.colorbar(drawn, ax=axes[0], shrink=0.7, label="log |J|", extend="both")
    count = int(folds.sum())
    found = "There is no fold." if not count else f"Folds ({count} voxels with |J| of at most 0) are black" + (
        "; the slices with most of them are shown." if within else ", none within these slices.")  # fmt: skip
    return Drawn(
        "Logarithm of the Jacobian determinant", encode(figure),
        f"White keeps its volume; purple: the moving image holds more volume there than the fixed one, orange: less. "
        f"{found}",
        f"Logarithm of the Jacobian determinant in three planes; {count} voxels fold",
    )  # fmt: skip


def _curves(levels: list[dict[str, Any]]) -> Drawn:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [level for level in levels if level.get("similarity")]
    figure = Figure(figsize=(12, 2.6), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, max(len(shown), 1), squeeze=False)[0]
    for panel, level in zip(axes, shown, strict=False):
        panel.plot(level["similarity"], color="#0072b2", marker=".", ms=3, lw=1.2)
        panel.set_title(f"{level['stage']}\n{'x'.join(map(str, level['shape']))}", fontsize=8)
        panel.set_xlabel("iteration", fontsize=8)
        panel.tick_params(labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)
    return Drawn(
        "Refinement", encode(figure, "png"),
        "Similarity after each iteration, a panel a level from coarse to fine; comparable within a panel only. "
        "Towards a level's end the steps shrink while the field is smoothed on: a little similarity is given up for "
        "smoothness.",
        "Similarity against iteration for each level of the refinement",
    )  # fmt: skip
