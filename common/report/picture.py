"""One picture of a finished registration: both images, the result, what changed, and the deformed grid."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import InputError
from common.geometry import Grid, lps_to_ddf, resample
from common.images import Volume, read_field, read_volume

#: Columns of the picture.
COLUMNS = ("fixed", "moving", "moved", "moved in red, fixed in green", "grid and Jacobian")
#: Distance between the lines of the deformed grid, millimetres.
GRID_MM = 6.0


def draw_registration(fixed: str | Path, moving: str | Path, result: str | Path, output: str | Path) -> Path:
    """Draw three orthogonal slices through the middle of the fixed image's foreground.

    The images are shown in RAS order, the way radiologists do not look at them: the left side of the picture is the
    left side of the patient. The last column is the field, as lines 6 mm apart that were straight in the fixed image
    and as colours for the Jacobian determinant (blue shrinks, red grows).

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
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("pictures need matplotlib: pip install matplotlib") from error
    volumes = _volumes(Path(fixed), Path(moving), Path(result))
    inside = np.argwhere(volumes["fixed"] > 0.1)
    centre = [int(c) for c in (inside.min(axis=0) + inside.max(axis=0)) // 2]
    figure = Figure(figsize=(2.2 * len(COLUMNS), 2.3 * 3), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, len(COLUMNS))
    for row in range(3):
        _draw_row(axes[row], volumes, row, centre[row])
    for column, title in enumerate(COLUMNS):
        axes[0, column].set_title(title, fontsize=8)
    figure.tight_layout(pad=0.3)
    path = Path(output)
    figure.savefig(path)
    return path


def _volumes(fixed: Path, moving: Path, result: Path) -> dict[str, NDArray]:
    """The images in [0, 1], the displacement (3, X, Y, Z) in voxels and the Jacobian, all in RAS order."""
    missing = [name for name in ("moved", "warp", "jacobian") if not (result / f"{name}.nii.gz").is_file()]
    if missing:
        raise InputError(f"{result}: expected the result of a registration, got no {missing[0]}.nii.gz")
    images = {"fixed": read_volume(fixed, "fixed")}
    images |= {name: read_volume(result / f"{name}.nii.gz", name) for name in ("moved", "jacobian")}
    grid = images["fixed"].grid
    if images["moved"].grid.shape != grid.shape:
        raise InputError(f"{result}: expected the grid of {fixed}, {grid.shape}, got {images['moved'].grid.shape}")
    images["moving"] = _onto(grid, read_volume(moving, "moving"))
    out: dict[str, Any] = {name: np.asarray(image.in_ras().voxels, np.float32) for name, image in images.items()}
    for name in ("fixed", "moving", "moved"):
        out[name] = np.clip(out[name] / max(float(np.percentile(out[name], 99.8)), 1e-6), 0, 1)
    field, own = read_field(result / "warp.nii.gz")
    turned = np.stack([Volume(component, own.affine).in_ras().voxels for component in field.numpy()])
    canonical = images["fixed"].in_ras().grid
    out["ddf"] = lps_to_ddf(torch.from_numpy(turned), canonical.affine).numpy()
    out["spacing"] = canonical.spacing
    return out


def _onto(grid: Grid, image: Volume) -> Volume:
    """The image on another grid, 0 outside of its own."""
    voxels = torch.from_numpy(np.ascontiguousarray(image.voxels, np.float32))
    return Volume(resample(voxels[None], image.affine, grid)[0].numpy(), grid.affine)


def _draw_row(axes: NDArray, volumes: dict[str, NDArray], axis: int, index: int) -> None:
    slices = {name: np.take(volumes[name], index, axis).T for name in ("fixed", "moving", "moved", "jacobian")}
    first, second = (k for k in range(3) if k != axis)
    aspect = volumes["spacing"][second] / volumes["spacing"][first]
    overlay = np.stack([slices["moved"], slices["fixed"], 0.5 * (slices["moved"] + slices["fixed"])], axis=-1)
    for panel, content in zip(axes, (slices["fixed"], slices["moving"], slices["moved"], overlay), strict=False):
        panel.imshow(content, origin="lower", cmap="gray", vmin=0, vmax=1, aspect=aspect)
    panel = axes[4]
    panel.imshow(slices["jacobian"], origin="lower", cmap="coolwarm", vmin=0, vmax=2, aspect=aspect)
    displacement = [np.take(volumes["ddf"][k], index, axis) for k in (first, second)]
    size = displacement[0].shape
    grid = np.meshgrid(np.arange(size[0]), np.arange(size[1]), indexing="ij")
    lines = [g + d for g, d in zip(grid, displacement, strict=True)]
    steps = [max(1, round(GRID_MM / volumes["spacing"][k])) for k in (first, second)]
    panel.plot(lines[0][:: steps[0]].T, lines[1][:: steps[0]].T, color="black", lw=0.35)
    panel.plot(lines[0][:, :: steps[1]], lines[1][:, :: steps[1]], color="black", lw=0.35)
    for each in axes:
        each.set_axis_off()
        each.set_xlim(-0.5, size[0] - 0.5)
        each.set_ylim(-0.5, size[1] - 0.5)
