"""A label map over its study, as one picture."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.images import Volume, read_volume

#: Opacity of the labels over the image.
_OPACITY = 0.4


def draw_labels(study: str | Path, labels: str | Path, output: str | Path, title: str = "") -> Path:
    """Draw three orthogonal slices through the middle of the labels, in RAS order (the patient's left is on the left).

    Args:
        study: the image.
        labels: whole numbers on its grid.
        output: a ``.png``.
        title: above the picture.

    Raises:
        InputError: an image cannot be read, the grids differ, or matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("pictures need matplotlib: pip install matplotlib") from error
    image, found = (read_volume(path, role) for path, role in ((study, "study"), (labels, "label")))
    if image.voxels.shape != found.voxels.shape:
        raise InputError(f"label image {labels}: expected {image.voxels.shape}, got {found.voxels.shape}")
    grey, values = _grey(image), Volume(found.voxels, image.affine).in_ras()
    inside = np.argwhere(values.voxels > 0)
    centre = inside.mean(axis=0).astype(int) if len(inside) else np.array(values.voxels.shape) // 2
    figure = Figure(figsize=(9, 3.4), dpi=100, facecolor="black")
    FigureCanvasAgg(figure)
    for axis, panel in enumerate(figure.subplots(1, 3)):
        _draw(panel, grey, np.asarray(values.voxels), values.grid.spacing, axis, int(centre[axis]))
    figure.suptitle(title, color="white", fontsize=9)
    figure.tight_layout(pad=0.3)
    figure.savefig(output)
    return Path(output)


def _grey(image: Volume) -> NDArray[np.float32]:
    voxels = np.asarray(image.in_ras().voxels, np.float32)
    low, high = np.percentile(voxels, [1, 99.8])
    return np.clip((voxels - low) / max(float(high - low), 1e-6), 0, 1)


def _draw(panel: Any, grey: NDArray, labels: NDArray, spacing: NDArray, axis: int, index: int) -> None:
    from matplotlib.colors import hsv_to_rgb

    first, second = (k for k in range(3) if k != axis)
    aspect = spacing[second] / spacing[first]
    shown, values = np.take(grey, index, axis).T, np.take(labels, index, axis).T
    hues = values * 0.381966 % 1  # of the golden angle: neighbours in number get unlike colours
    overlay = np.dstack([hsv_to_rgb(np.stack([hues, 0 * hues + 0.8, 0 * hues + 1], axis=-1)), (values > 0) * _OPACITY])
    panel.imshow(shown, origin="lower", cmap="gray", vmin=0, vmax=1, aspect=aspect)
    panel.imshow(overlay, origin="lower", aspect=aspect, interpolation="nearest")
    panel.set_axis_off()
