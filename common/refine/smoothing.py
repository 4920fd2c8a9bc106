"""Short smoothing kernels: a Gaussian's variance in as few numbers as can have it."""

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


def short_gaussian(sigma: float) -> NDArray[np.float64]:
    """Return the shortest repeated [w, 1 - 2 w, w] with w <= 1/4 whose variance is sigma squared.

    Unlike a sampled Gaussian that is cut off it has exactly this variance, and w <= 1/4 lets it damp the finest ripple
    on the grid instead of turning it round. A sampled Gaussian of 0.7 voxels needs five numbers, this one three.

    Args:
        sigma: in voxels; 0 smooths nothing.

    Returns:
        (2 n + 1,), sums to 1.

    >>> short_gaussian(1.0)
    array([0.0625, 0.25  , 0.375 , 0.25  , 0.0625])
    """
    count = math.ceil(2 * sigma**2 - 1e-9)
    if count == 0:
        return np.ones(1)
    w = sigma**2 / (2 * count)
    return reduce(np.convolve, [np.array([w, 1 - 2 * w, w])] * count)


def smooth(volumes: Tensor, taps: Sequence[float] | NDArray[np.float64]) -> Tensor:
    """Convolve along each axis with a symmetric kernel; beyond the faces the outermost voxels go on.

    Args:
        volumes: (B, C, X, Y, Z).
        taps: an odd number of weights.

    Returns:
        The same shape.
    """
    reach = len(taps) // 2
    if reach == 0:
        return volumes
    weights = torch.as_tensor(np.asarray(taps), dtype=volumes.dtype, device=volumes.device)
    for axis in (2, 3, 4):
        padding = [0] * 6
        padding[2 * (4 - axis)] = padding[2 * (4 - axis) + 1] = reach
        padded = F.pad(volumes, padding, mode="replicate")
        parts = (padded.narrow(axis, k, volumes.shape[axis]) * weights[k] for k in range(2 * reach + 1))
        volumes = reduce(torch.add, parts)
    return volumes
