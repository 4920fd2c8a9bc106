"""Orientations of array axes: the 48 ways in which a grid's axes can lie closest to the axes of the world.

A code like ``LPI`` names, axis by axis, the direction in which the index grows (Left, Posterior, Inferior), as nibabel
does. nibabel does the work; this file gives it the shape that the pipeline needs.
"""

from itertools import permutations, product

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.geometry.affines import Array

#: Every orientation code, RAS first.
ORIENTATIONS: tuple[str, ...] = tuple(
    "".join(pair[sign] for pair, sign in zip(order, signs, strict=True))
    for order in permutations(("RL", "AP", "SI"))
    for signs in product((0, 1), repeat=3)
)


def orientation_of(affine: ArrayLike) -> str:
    """Code of the world axes closest to the array axes. (4, 4) -> for example ``"LAS"``.

    >>> orientation_of([[0, 0, -2, 0], [-1, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 1]])
    'PSL'
    """
    return "".join(nib.aff2axcodes(np.asarray(affine, dtype=np.float64)))


def reorient(volume: NDArray, affine: ArrayLike, code: str) -> tuple[NDArray, Array]:
    """Permute and flip the array axes so that the volume has another orientation; no voxel value changes.

    Args:
        volume: (X, Y, Z, ...).
        affine: (4, 4) of the volume.
        code: one of ``ORIENTATIONS``.

    Returns:
        The volume, a view where possible, and its affine: every voxel stays where it is in the world.

    >>> turned, turned_affine = reorient(np.zeros((2, 3, 4)), np.eye(4), "SLA")
    >>> turned.shape, orientation_of(turned_affine)
    ((4, 2, 3), 'SLA')
    """
    matrix = np.asarray(affine, dtype=np.float64)
    change = nib.orientations.ornt_transform(nib.io_orientation(matrix), nib.orientations.axcodes2ornt(code))
    turned = nib.orientations.apply_orientation(volume, change)
    return turned, matrix @ nib.orientations.inv_ornt_aff(change, volume.shape[:3])


def ras_directions(affine: ArrayLike) -> Array:
    """Unit vectors of the array axes, reordered and flipped so that column k points as closely as can be along +RAS[k].

    Args:
        affine: (4, 4), oblique or not. Sheared axes are replaced by the closest orthogonal ones (polar decomposition).

    Returns:
        (3, 3), orthonormal columns.

    >>> ras_directions([[0, 0, -2, 0], [-1, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 1]]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    matrix = np.asarray(affine, dtype=np.float64)
    axis_of, flip = nib.io_orientation(matrix).T
    columns = matrix[:3, :3] * flip / np.linalg.norm(matrix[:3, :3], axis=0)
    ordered = columns[:, np.argsort(axis_of)]
    left, _, right = np.linalg.svd(ordered)
    closest = left @ right
    return np.where(np.abs(closest - np.round(closest)) < 1e-12, np.round(closest), closest) + 0.0
