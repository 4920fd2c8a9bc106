"""Sampling a volume at the voxels of another grid, a few rows at a time: a large image needs no coordinate volume.

Values beyond half a voxel outside of a volume are ``fill``; up to there the outermost voxels count on, as in ITK.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter
from torch import Tensor

from common.geometry.affines import index_map
from common.geometry.grids import Grid
from common.spatial import sample

#: Voxels handled at once: three coordinates and as many temporaries of 4 bytes, about 100 MB.
VOXELS_AT_ONCE = 2_000_000


def row_ranges(shape: tuple[int, int, int]) -> Iterator[slice]:
    """Cut the first axis into ranges of at most ``VOXELS_AT_ONCE`` voxels, at least one row each.

    >>> list(row_ranges((3, 1000, 1000)))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    rows = max(1, VOXELS_AT_ONCE // (shape[1] * shape[2]))
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))


def positions(matrix: ArrayLike, shape: tuple[int, int, int], rows: slice, ddf: Tensor | None = None) -> Tensor:
    """Apply an index-to-index affine to the voxels of a few rows, each first moved by a displacement.

    Args:
        matrix: (4, 4) as ``index_map`` gives it.
        shape: (X, Y, Z) of the whole grid.
        rows: their range along the first axis.
        ddf: (3, x, Y, Z) in voxels of the grid, for these rows only; none for no displacement.

    Returns:
        (3, x, Y, Z) float32, indices of the other grid. The sums run in float64 along each axis: 1e-5 voxel at 512.
    """
    turn = np.asarray(matrix, dtype=np.float64)
    steps = []
    for column, index in enumerate((np.arange(rows.start, rows.stop), np.arange(shape[1]), np.arange(shape[2]))):
        offset = turn[:3, 3] if column == 0 else np.zeros(3)
        line = torch.from_numpy(turn[:3, column, None] * index + offset[:, None]).float()
        steps.append(line.reshape([3] + [-1 if axis == column else 1 for axis in range(3)]))
    out = steps[0] + steps[1] + steps[2]
    if ddf is not None:
        out += torch.einsum("ab,bxyz->axyz", torch.from_numpy(turn[:3, :3]).float(), ddf)
    return out


def sample_at(image: Tensor, indices: Tensor, mode: str = "bilinear", fill: float | None = None) -> Tensor:
    """Sample a volume at fractional indices.

    Args:
        image: (C, X, Y, Z) float32.
        indices: (3, x, y, z), may be overwritten.
        mode: ``bilinear`` (trilinear) or ``nearest``.
        fill: value farther than half a voxel outside; None continues the outermost voxels for ever.

    Returns:
        (C, x, y, z).
    """
    limits = [n - 1 for n in image.shape[1:]]
    outside = None if fill is None else _outside(indices, limits)
    for along, last in zip(indices, limits, strict=True):
        along.mul_(2.0 / max(last, 1)).sub_(1.0)
    grid = indices.flip(0).permute(1, 2, 3, 0)[None]
    out = sample(image[None], grid, mode, "border")[0]
    if fill is not None and outside is not None:
        out.masked_fill_(outside[None], fill)
    return out


def _outside(indices: Tensor, limits: list[int]) -> Tensor | None:
    """Mask (x, y, z) of the positions over half a voxel outside; None, without a mask's cost, if there are none."""
    mask = None
    for along, last in zip(indices, limits, strict=True):
        low, high = torch.aminmax(along)
        if low < -0.5 or high > last + 0.5:
            beyond = (along < -0.5).logical_or_(along > last + 0.5)
            mask = beyond if mask is None else mask.logical_or_(beyond)
    return mask


def smooth_for(image: Tensor, affine: ArrayLike, spacing: float) -> Tensor:
    """Blur along the axes that a coarser grid is about to thin out, so that fine detail does not alias.

    The standard deviation is that of a box of the new width less that of the old, sqrt((ratio^2 - 1) / 12) voxels.

    Args:
        image: (C, X, Y, Z).
        affine: (4, 4) of the image.
        spacing: millimetres of the coarser grid. Axes that are not finer than it stay as they are.

    Returns:
        (C, X, Y, Z), the image itself where nothing is to be done.
    """
    ratio = spacing / np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    sigma = np.sqrt(np.clip(ratio**2 - 1, 0, None) / 12)
    if sigma.max() < 0.1:
        return image
    blurred = [gaussian_filter(channel, sigma, mode="nearest", truncate=3.0) for channel in image.numpy()]
    return torch.from_numpy(np.stack(blurred))


def resample(
    image: Tensor,
    affine: ArrayLike,
    grid: Grid,
    mode: str = "bilinear",
    fill: float | None = 0.0,
    alignment: ArrayLike | None = None,
    ddf: Tensor | None = None,
) -> Tensor:
    """Bring an image onto another grid by one interpolation.

    ``out(i) = image(A_image^-1 . alignment . A_grid (i + ddf(i)))``

    Args:
        image: (C, X, Y, Z) float32.
        affine: (4, 4) of the image, RAS.
        grid: where to.
        mode: ``bilinear`` (trilinear) or ``nearest`` for labels.
        fill: value outside of the image; None continues its outermost voxels.
        alignment: (4, 4) from the grid's world to the image's world, RAS millimetres; the identity without it.
        ddf: (3, *grid.shape) in voxels of the grid; none for no displacement.

    Returns:
        (C, *grid.shape) float32.
    """
    matrix = index_map(grid.affine, affine, alignment)
    out = torch.empty((image.shape[0], *grid.shape), dtype=torch.float32)
    for rows in row_ranges(grid.shape):
        moved = None if ddf is None else ddf[:, rows]
        out[:, rows] = sample_at(image, positions(matrix, grid.shape, rows, moved), mode, fill)
    return out
