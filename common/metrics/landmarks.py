"""Landmark error: how far a field carries fixed points from their moving partners."""

import numpy as np
from scipy import ndimage

from common.errors import InputError


def landmark_errors(
    ddf: np.ndarray,
    fixed_points: np.ndarray,
    moving_points: np.ndarray,
    fixed_affine: np.ndarray,
    moving_affine: np.ndarray | None = None,
) -> np.ndarray:
    """Target registration error of every landmark, in millimetres.

    A field maps fixed to moving positions, so fixed points are carried along it and compared in the moving image's
    world: ``|A_m (B (p + u(p))) - A_m q|`` with ``B`` from fixed to moving voxels.

    Args:
        ddf: (3, X, Y, Z) on the fixed grid in fixed voxels, channel k along array axis k.
        fixed_points: (N, 3) voxel indices in the fixed image; may be fractional, sampled trilinearly.
        moving_points: (N, 3) voxel indices of the same landmarks in the moving image.
        fixed_affine: (4, 4) voxel to world millimetres of the fixed image.
        moving_affine: the same of the moving image; the fixed image's without it.

    Returns:
        (N,) in millimetres.

    Raises:
        InputError: the lists do not match, or a fixed point lies outside of the field's grid.
    """
    fixed_points = np.asarray(fixed_points, dtype=np.float64)
    moving_points = np.asarray(moving_points, dtype=np.float64)
    if fixed_points.ndim != 2 or fixed_points.shape[1] != 3 or fixed_points.shape != moving_points.shape:
        raise InputError(f"two lists of N x 3 points are expected, got {fixed_points.shape} and {moving_points.shape}")
    upper = np.array(ddf.shape[1:]) - 1
    outside = np.flatnonzero(((fixed_points < 0) | (fixed_points > upper)).any(axis=1))
    if outside.size:
        first = fixed_points[outside[0]].tolist()
        raise InputError(f"{outside.size} fixed points lie outside of the grid {ddf.shape[1:]}, the first at {first}")
    moving_affine = fixed_affine if moving_affine is None else moving_affine
    displacement = np.stack([ndimage.map_coordinates(c, fixed_points.T, order=1, mode="nearest") for c in ddf], axis=1)
    carried = _world(fixed_affine, fixed_points + displacement)
    return np.linalg.norm(carried - _world(moving_affine, moving_points), axis=1)


def _world(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """World millimetres (N, 3) of voxel indices (N, 3)."""
    return points @ affine[:3, :3].T + affine[:3, 3]
