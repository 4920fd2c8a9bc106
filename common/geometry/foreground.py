"""Where an image shows something: its background value, its foreground, and how far that reaches in the world.

A few voxels far beyond all others, such as metal, change none of it. In CT air is no foreground, whatever the padding.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.geometry.affines import Array, transform_points

#: Share of the value range within which a voxel counts as background.
TOLERANCE = 0.01
#: Share of the outermost voxels that have to agree for their value to be called the background.
AGREEMENT = 0.5
#: The background has to lie in this lowest share of the value range: a crop inside of tissue has no background.
LOWEST = 0.25

#: Quantiles that an image's bulk lies between, and how many times their distance from the median still counts as range.
BULK, REACH = (0.001, 0.999), 2.0
#: Voxels that quantiles are taken from.
MANY = 500_000
#: Hounsfield units: a CT has voxels below the first, most of its tissue within the second, air below the third.
CT_PADDING, CT_SOFT, CT_AIR = -900.0, (-150.0, 100.0), -300.0


def bulk_range(values: NDArray, bulk: tuple[float, float] = BULK, reach: float = REACH) -> tuple[float, float]:
    """Least and greatest value, but for outliers: those beyond ``reach`` times the bulk's distance from the median.

    For values without outliers these are the minimum and the maximum themselves.

    Args:
        values: of any shape.
        bulk: quantiles that the bulk lies between.
        reach: see above.

    >>> bulk_range(np.array([*range(100), 60000.0]), (0.05, 0.95))
    (0.0, 99.0)
    """
    low, high = float(values.min()), float(values.max())
    first, median, last = (float(q) for q in np.quantile(_some(values), [bulk[0], 0.5, bulk[1]]))
    if last > median and high > median + reach * (last - median):
        high = float(values[values <= median + reach * (last - median)].max())
    if first < median and low < median - reach * (median - first):
        low = float(values[values >= median - reach * (median - first)].min())
    return low, high


def looks_like_ct(volume: NDArray) -> bool:
    """Whether values (X, Y, Z) are Hounsfield units: air or padding below -900, and most else near that of water.

    >>> head = np.full((8, 8, 8), -1024.0); head[2:6, 2:6, 2:6] = np.linspace(0, 80, 64).reshape(4, 4, 4)
    >>> looks_like_ct(head), looks_like_ct(head * 3)
    (True, False)
    """
    if float(volume.min()) > CT_PADDING:
        return False
    values = _some(volume)
    tissue = values[values > CT_AIR]
    if not len(tissue):
        return False
    soft = tissue[(tissue > CT_SOFT[0]) & (tissue < CT_SOFT[1])]
    return bool(len(soft) >= len(tissue) / 2 and np.ptp(np.quantile(soft, [0.1, 0.9])) >= 2)


def _some(values: NDArray) -> NDArray:
    """At most ``MANY`` of the values, at even distances."""
    return values.ravel()[:: max(1, values.size // MANY)]


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
    low, high = bulk_range(volume)
    faces = np.concatenate([np.take(volume, side, axis=axis).ravel() for axis in range(3) for side in (0, -1)])
    median = float(np.median(faces))
    agree = np.abs(faces - median) <= TOLERANCE * (high - low)
    if agree.mean() < AGREEMENT or median > low + LOWEST * (high - low):
        return None
    return median


def foreground_mask(volume: NDArray) -> NDArray[np.bool_]:
    """True where the image differs from its background by over 1 % of its range; everywhere if it has no background.

    In CT it is what is denser than -300 HU: air around a head is no foreground even where the padding is another value.

    Args:
        volume: (X, Y, Z).

    Returns:
        (X, Y, Z), never empty unless the image is constant.
    """
    return differs_from(volume, background_value(volume))


def differs_from(volume: NDArray, background: float | None) -> NDArray[np.bool_]:
    """``foreground_mask`` of an image whose background is known; None says that it has none."""
    if looks_like_ct(volume):
        return volume > CT_AIR
    if background is None:
        return np.ones(volume.shape, dtype=bool)
    low, high = bulk_range(volume)
    reach = TOLERANCE * (high - low)
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
