"""One picture of a finished registration, and a thumbnail: both images, the result, what changed, the deformed grid."""

from pathlib import Path

from common.report.figures import (
    blend,
    checkerboard,
    draw_grid,
    draw_log_jacobian,
    encode,
    jacobian_limit,
    require_matplotlib,
    show,
)
from common.report.planes import PLANES, cut, jpeg, pixel_size
from common.report.result import Result, read_images, read_result
from common.writing import write_atomically

#: Columns of the picture.
COLUMNS = ("fixed", "before", "moved", "moved orange, fixed blue", "checkerboard", "grid on log Jacobian")
#: Longest side of a thumbnail in pixels.
THUMBNAIL = 160


def draw_registration(fixed: str | Path, moving: str | Path, result: str | Path, output: str | Path) -> Path:
    """Draw three orthogonal slices through the middle of the fixed image's foreground.

    The left side of the picture is the left side of the patient. The moving image is shown where the deformation
    starts from: linearly aligned, where the run did that. The last column is the field, as lines 6 mm apart that were
    straight in the fixed image and as colours for the log Jacobian (orange: less volume in the moving image than in the
    fixed one, purple: more, black: folds).

    Args:
        fixed: the fixed image.
        moving: the moving image; it is shown on the fixed image's grid.
        result: folder of ``moved.nii.gz``, ``warp.nii.gz`` and ``jacobian.nii.gz``.
        output: a ``.png``.

    Returns:
        The output's path.

    Raises:
        InputError: the folder is not the result of a registration of this fixed image, or matplotlib is missing.
    """
    require_matplotlib()
    content = overview(read_result(result, fixed, moving))
    write_atomically(output, lambda path: path.write_bytes(content))
    return Path(output)


def overview(result: Result) -> bytes:
    """The picture as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    extent = [(part.stop - part.start) * mm for part, mm in zip(result.box, result.spacing, strict=True)]
    sides = [(extent[1], extent[2]), (extent[0], extent[2]), (extent[0], extent[1])]  # width and height of each plane
    height = sum(side[1] / max(side) for side in sides)
    figure = Figure(figsize=(2.1 * len(COLUMNS), 2.1 * height + 0.2), dpi=100)
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.03)
    axes = figure.subplots(3, len(COLUMNS), height_ratios=[side[1] / max(side) for side in sides])
    for row, axis in enumerate(PLANES.values()):
        _draw_row(axes[row], result, axis)
    for panel, title in zip(axes[0], COLUMNS, strict=True):
        panel.set_title("linearly aligned" if title == "before" and result.start == "aligned" else title, fontsize=8)
    return encode(figure, "png")


def _draw_row(panels: list, result: Result, axis: int) -> None:
    index, size = result.centre[axis], pixel_size(result, axis)
    names = ("fixed", result.start, "moved")
    fixed, start, moved = (cut(result.images[name], result, axis, index) for name in names)
    pictures = (fixed, start, moved, blend(moved, fixed), checkerboard(fixed, moved, size))
    for panel, picture in zip(panels, pictures, strict=False):
        show(panel, picture, result, axis)
    draw_log_jacobian(panels[-1], result, axis, index, jacobian_limit(result))
    draw_grid(panels[-1], result, axis, index)


def thumbnail(folder: str | Path, fixed: str | Path) -> bytes:
    """The axial slice of both images in one, as JPEG of a few kilobytes: orange only moved, blue only fixed.

    Args:
        folder: the result of a registration.
        fixed: its fixed image.

    Raises:
        InputError: the folder holds no result of that image.
    """
    result, axis = read_images(folder, fixed), PLANES["axial"]
    pictures = (cut(result.images[name], result, axis, result.centre[axis]) for name in ("moved", "fixed"))
    return jpeg(blend(*pictures), pixel_size(result, axis), THUMBNAIL)
