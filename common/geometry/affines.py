"""Affines of voxel grids: 4x4 float64 matrices that take voxel indices to RAS millimetres, as NIfTI has them.

ITK, ANTs and Slicer count the first two world axes the other way (LPS). Nothing here knows of files.
"""

from collections.abc import Sequence

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import ArrayLike, NDArray

from common.errors import InputError

Array = NDArray[np.floating]

#: Columns closer to dependent than this (determinant over the product of the spacings) count as a singular affine.
SINGULAR = 1e-3
#: Millimetres below which a spacing counts as zero.
SMALLEST_SPACING = 1e-6


def swap_ras_lps(affine: ArrayLike) -> Array:
    """Turn a RAS affine into the LPS affine of the same grid, or back. (4, 4) -> (4, 4).

    >>> swap_ras_lps(np.diag([2.0, 3.0, 4.0, 1.0])).diagonal().tolist()
    [-2.0, -3.0, 4.0, 1.0]
    """
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(affine, dtype=np.float64)


def spacing_of(affine: ArrayLike) -> Array:
    """Millimetres between neighbouring voxels along each array axis. (4, 4) -> (3,).

    >>> spacing_of([[0, -2, 0, 5], [1, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]]).tolist()
    [1.0, 2.0, 3.0]
    """
    return voxel_sizes(np.asarray(affine, dtype=np.float64))


def transform_points(affine: ArrayLike, points: ArrayLike) -> Array:
    """Apply an affine to points. (4, 4), (N, 3) -> (N, 3).

    >>> transform_points(np.diag([2.0, 2.0, 2.0, 1.0]), [[1, 2, 3]]).tolist()
    [[2.0, 4.0, 6.0]]
    """
    matrix = np.asarray(affine, dtype=np.float64)
    return np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def index_map(source: ArrayLike, target: ArrayLike, world: ArrayLike | None = None) -> Array:
    """Voxel indices of one grid to (fractional) voxel indices of another. Twice (4, 4) -> (4, 4).

    Args:
        source: affine of the grid whose indices go in.
        target: affine of the grid whose indices come out.
        world: (4, 4) in RAS millimetres, applied in between; the identity without it.

    >>> index_map(np.diag([2.0, 2.0, 2.0, 1.0]), np.eye(4)).diagonal().tolist()
    [2.0, 2.0, 2.0, 1.0]
    """
    through = np.asarray(source, dtype=np.float64)
    if world is not None:
        through = np.asarray(world, dtype=np.float64) @ through
    return np.linalg.solve(np.asarray(target, dtype=np.float64), through)


def is_left_handed(affine: ArrayLike) -> bool:
    """Whether the array axes form a left-handed system in the world (LAS and half of all orientations do).

    >>> is_left_handed(np.eye(4)), is_left_handed(np.diag([-1.0, 1.0, 1.0, 1.0]))
    (False, True)
    """
    return bool(np.linalg.det(np.asarray(affine, dtype=np.float64)[:3, :3]) < 0)


def shear_of(affine: ArrayLike) -> float:
    """Largest cosine between two array axes; 0 where they are orthogonal. ITK reads no file above about 1e-4.

    >>> shear_of(np.diag([-1.0, 2.0, 3.0, 1.0]))
    0.0
    """
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3] / spacing_of(affine)
    gram = matrix.T @ matrix
    return float(np.abs(gram - np.diag(gram.diagonal())).max())


def check_affine(affine: ArrayLike, source: str) -> Array:
    """Return the affine as float64, or say what is wrong with it.

    Args:
        affine: (4, 4).
        source: what to call the image in the error, usually its path.

    Raises:
        InputError: not finite, a spacing of zero, or axes that do not span the space.
    """
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise InputError(f"{source}: expected a finite 4x4 affine in the header, got {matrix.tolist()}")
    spacing = spacing_of(matrix)
    if (spacing < SMALLEST_SPACING).any():
        raise InputError(f"{source}: expected a voxel spacing above zero along every axis, got {_numbers(spacing)} mm")
    if abs(np.linalg.det(matrix[:3, :3] / spacing)) < SINGULAR:
        raise InputError(
            f"{source}: expected an affine whose three axes span the space, got a singular one "
            f"with columns {', '.join(_numbers(column) for column in matrix[:3, :3].T)}"
        )
    return matrix


def _numbers(values: Sequence[float] | Array) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
