"""Between our arrays (X, Y, Z; RAS) and SimpleITK's images and transforms (LPS). SimpleITK is imported when needed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.geometry import Grid, spacing_of, swap_ras_lps
from common.geometry.affines import Array


def to_image(values: NDArray, grid: Grid) -> Any:
    """A ``SimpleITK.Image`` on a grid with orthogonal axes, of voxels (X, Y, Z) or of vectors (3, X, Y, Z)."""
    import SimpleITK

    spacing, lps = spacing_of(grid.affine), swap_ras_lps(grid.affine)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.T), isVector=values.ndim == 4)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def grid_of_image(image: Any) -> Grid:
    """The grid of a ``SimpleITK.Image``."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    x, y, z = image.GetSize()
    return Grid((x, y, z), swap_ras_lps(affine))


def matrix_of(transform: Any) -> Array:
    """(4, 4) in LPS millimetres of a linear ``SimpleITK.Transform`` of any kind, its centre resolved."""
    corners = np.array([transform.TransformPoint(point) for point in np.vstack([np.zeros(3), np.eye(3)]).tolist()])
    matrix = np.eye(4)
    matrix[:3, :3] = (corners[1:] - corners[0]).T
    matrix[:3, 3] = corners[0]
    return matrix
