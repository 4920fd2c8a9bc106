"""Where an image shows something: its background value, its foreground, and how far that reaches in the world."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.geometry.affines import Array, transform_points

#: Share of the value range within which a voxel counts as background.
TOLERANCE = 0.01
#: Share of the outermost voxels that have to agree for their value to be called the background.
AGREEMENT = 0.5
#: The background has to lie in this lowest share of the value range: a crop inside of tissue has no background.
LOWEST = 0.25


def background_value(volume: NDArray) -> float | None:
    """Value of the empty surroundings, or None where the image has none.

    The median of the six outer faces, if at least half of their voxels agree with it to 1 % of the image's range and if
    it lies in the lowest quarter of that range. Air at -1024 HU, zeros after skull-stripping and zeros between the
    ringing of a spline all qualify; an image cropped inside of the head has no background.

    Args:
        volume: (X, Y, Z).

    >>> padded = np.pad(np.full((2, 2, 2), 9.0), 2, constant_values=-1.0)
    >>> background_value(padded), background_value(np.arange(27.0).reshape(3, 3, 3))
    (-1.0, None)
    """
    low, high = float(volume.min()), float(volume.max())
    faces = np.concatenate([np.take(volume, side, axis=axis).ravel() for axis in range(3) for side in (0, -1)])
    median = float(np.median(faces))
    agree = np.abs(faces - median) <= TOLERANCE * (high - low)
    if agree.mean() < AGREEMENT or median > low + LOWEST * (high - low):
        return None
    return median


def foreground_mask(volume: NDArray) -> NDArray[np.bool_]:
    """True where the image differs from its background by over 1 % of its range; everywhere if it has no background.

    Args:
        volume: (X, Y, Z).

    Returns:
        (X, Y, Z), never empty unless the image is constant.
    """
    return differs_from(volume, background_value(volume))


def differs_from(volume: NDArray, background: float | None) -> NDArray[np.bool_]:
    """True where the image differs from a background that is known by over 1 % of its range; everywhere for None."""
    if background is None:
        return np.ones(volume.shape, dtype=bool)
    reach = TOLERANCE * (float(volume.max()) - float(volume.min()))
    return (volume > background + reach) | (volume < background - reach)


def extreme_points(mask: NDArray[np.bool_], affine: ArrayLike) -> Array:
    """World positions of voxels among which are the farthest ones of the mask in every direction.

    Along each line of the last array axis only the mask's first and last voxel are kept: the convex hull stays.

    Args:
        mask: (X, Y, Z).
        affine: (4, 4), RAS.

    Returns:
        (N, 3) in RAS millimetres; N is 0 for an empty mask.

    >>> mask = np.zeros((4, 4, 4), dtype=bool); mask[1, 2, 1:4] = True
    >>> extreme_points(mask, np.eye(4)).tolist()
    [[1.0, 2.0, 1.0], [1.0, 2.0, 3.0]]
    """
    i, j = np.nonzero(mask.any(axis=2))
    lines = mask[i, j]
    first = lines.argmax(axis=1)
    last = mask.shape[2] - 1 - lines[:, ::-1].argmax(axis=1)
    indices = np.concatenate([np.stack([i, j, first], axis=1), np.stack([i, j, last], axis=1)])
    return transform_points(affine, indices)


def corner_points(shape: tuple[int, int, int], affine: ArrayLike) -> Array:
    """World positions of the eight outer corners of a grid: half a voxel beyond the end voxels. -> (8, 3)."""
    ends = [(-0.5, n - 0.5) for n in shape]
    return transform_points(affine, [(x, y, z) for x in ends[0] for y in ends[1] for z in ends[2]])
