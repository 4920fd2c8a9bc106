"""Displacement fields between grids and worlds: from the network's voxels to the fixed image's, and to ITK's LPS.

A ddf is (3, X, Y, Z) in voxels of its own grid, channel k along array axis k. A world field is (3, X, Y, Z) in
millimetres, RAS or LPS. Both point from a fixed position to the moving position that belongs there.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from common.geometry.affines import Array, index_map, swap_ras_lps
from common.geometry.grids import Grid
from common.geometry.sampling import positions, row_ranges, sample_at


def _turn(matrix: Array, field: Tensor) -> Tensor:
    return torch.einsum("ab,bxyz->axyz", torch.from_numpy(matrix).to(field.dtype), field)


def ddf_to_lps(ddf: Tensor, affine: ArrayLike) -> Tensor:
    """Voxel displacements to LPS millimetres: ``diag(-1, -1, 1) A[:3, :3] ddf``.

    Args:
        ddf: (3, X, Y, Z) in voxels.
        affine: (4, 4) of its grid, RAS.

    Returns:
        (3, X, Y, Z) in millimetres, what ``itk.WarpImageFilter`` and ``antsApplyTransforms`` add to a position.

    >>> ddf_to_lps(torch.ones(3, 1, 1, 1), np.diag([-2.0, 3.0, 4.0, 1.0])).flatten().tolist()
    [2.0, -3.0, 4.0]
    """
    return _turn(swap_ras_lps(affine)[:3, :3], ddf)


def lps_to_ddf(field: Tensor, affine: ArrayLike) -> Tensor:
    """LPS millimetres to voxels of the grid with this affine, the inverse of ``ddf_to_lps``. (3, X, Y, Z) -> same.

    >>> lps_to_ddf(torch.tensor([2.0, -3.0, 4.0]).view(3, 1, 1, 1), np.diag([-2.0, 3.0, 4.0, 1.0])).flatten().tolist()
    [1.0, 1.0, 1.0]
    """
    return _turn(np.linalg.inv(swap_ras_lps(affine)[:3, :3]), field)


def lengths(field: Tensor) -> Tensor:
    """Length of each vector. (3, X, Y, Z) -> (X, Y, Z). Five times faster than ``vector_norm`` over the first axis.

    >>> lengths(torch.tensor([3.0, 0.0, 4.0]).view(3, 1, 1, 1)).item()
    5.0
    """
    return field[0].square().addcmul_(field[1], field[1]).addcmul_(field[2], field[2]).sqrt_()


def displacement_mm(ddf: Tensor, affine: ArrayLike) -> Tensor:
    """Length of each displacement in millimetres. (3, X, Y, Z) in voxels -> (X, Y, Z)."""
    return lengths(ddf_to_lps(ddf, affine))


def carry_ddf(ddf: Tensor, affine: ArrayLike, fixed: Grid, alignment: ArrayLike | None = None) -> Tensor:
    """Bring the network's field onto the fixed image's own grid, and join an affine alignment to it.

    The vectors are interpolated linearly and turned into voxels of the fixed image. Beyond the network's grid the
    outermost vectors go on: the field stays continuous and no fold can arise there.

    Args:
        ddf: (3, X, Y, Z) in voxels of the network grid.
        affine: (4, 4) of the network grid.
        fixed: the fixed image's grid.
        alignment: (4, 4) from the fixed image's world to the moving image's, applied after the field; identity without.

    Returns:
        (3, *fixed.shape) in voxels of the fixed image: the total displacement.
    """
    to_network = index_map(fixed.affine, affine)
    to_fixed = np.linalg.inv(to_network)
    out = torch.empty((3, *fixed.shape), dtype=torch.float32)
    for rows in row_ranges(fixed.shape):
        vectors = sample_at(ddf, positions(to_network, fixed.shape, rows))
        out[:, rows] = _turn(to_fixed[:3, :3], vectors)
        if alignment is not None:
            out[:, rows] = _join(out[:, rows], fixed, rows, alignment)
    return out


def _join(ddf: Tensor, fixed: Grid, rows: slice, alignment: ArrayLike) -> Tensor:
    """``A^-1 alignment A (i + u) - i``, in voxels of the fixed image."""
    matrix = index_map(fixed.affine, fixed.affine, alignment)
    return positions(matrix - np.eye(4), fixed.shape, rows) + _turn(matrix[:3, :3], ddf)
