"""Voxels whose values are not to count, replaced by what lies around them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt


def fill_from_surroundings(volume: NDArray, region: NDArray[np.bool_], spacing: ArrayLike = (1.0, 1.0, 1.0)) -> NDArray:
    """Give every voxel of a region the value of the nearest voxel outside of it: nothing in it counts any more.

    Args:
        volume: (X, Y, Z).
        region: (X, Y, Z).
        spacing: (3,), voxel sizes, for what is nearest.

    Returns:
        (X, Y, Z) of the volume's type; the volume itself where the region is empty or everything.

    >>> row = np.array([1.0, 2.0, 99.0, 99.0, 5.0]).reshape(5, 1, 1)
    >>> fill_from_surroundings(row, row > 9).ravel().tolist()
    [1.0, 2.0, 2.0, 5.0, 5.0]
    """
    if not region.any() or region.all():
        return volume
    # Only a box around the region is looked at: a lesion is small, and the whole volume would take seconds.
    axes = [np.flatnonzero(region.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    box = tuple(_reaching(region, slice(int(a[0]), int(a[-1]) + 1), axis) for axis, a in enumerate(axes))
    inside = region[box]
    nearest = distance_transform_edt(inside, np.asarray(spacing, dtype=np.float64), False, True)
    out = volume.copy()
    out[box][inside] = volume[box][tuple(nearest[:, inside])]
    return out


def _reaching(region: NDArray[np.bool_], ends: slice, axis: int) -> slice:
    """The range with a voxel more on either side, as far as there are any."""
    return slice(max(ends.start - 1, 0), min(ends.stop + 1, region.shape[axis]))
