"""The local correlation (LNCC) and its derivative: cc = cov^2 / ((var_I + eps)(var_J + eps)) over cubic windows.

Source: Avants et al., Medical Image Analysis 2008. The exact derivative of the sum over all windows takes box sums of
three coefficients once more; the approximate one, ANTs' and greedy's, keeps the window around the voxel itself.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from common.losses import window_sum


def box_sum(volume: Tensor, radius: int) -> Tensor:
    """Sum over windows of 2 r + 1 voxels along each axis, zeros outside. (B, C, X, Y, Z) -> the same shape."""
    for axis in (2, 3, 4):
        volume = window_sum(volume, 2 * radius + 1, axis)
    return volume


@dataclass(frozen=True)
class Windows:
    """What the windows of the fixed image hold; all (B, C, X, Y, Z) or, for masks, (B, 1, X, Y, Z).

    Attributes:
        mean: of the counted voxels.
        inverse: 1 / (variance + epsilon), 0 for windows that do not count.
        usable: (B, 1, X, Y, Z), 1 for windows that count.
        count: 1 / number of counted voxels.
        mask: 1 for counted voxels; ``None`` when all of them count.
        radius: in voxels.
        epsilon: least variance, in squared intensities.
    """

    mean: Tensor
    inverse: Tensor
    usable: Tensor
    count: Tensor
    mask: Tensor | None
    radius: int
    epsilon: float


def windows_of(fixed: Tensor, centres: Tensor, mask: Tensor | None, radius: int, epsilon: float) -> Windows:
    """Measure the fixed image's windows.

    Args:
        fixed: (B, C, X, Y, Z).
        centres: (B, 1, X, Y, Z), 1 where a window around the voxel counts.
        mask: (B, 1, X, Y, Z), 1 where a voxel counts inside the windows; ``None`` for everywhere.
        radius: of the windows in voxels.
        epsilon: see ``Windows``.
    """
    counted = torch.ones_like(fixed[:, :1]) if mask is None else mask.to(fixed.dtype)
    number = box_sum(counted, radius)
    count = 1 / number.clamp_min(1)
    mean = box_sum(fixed * counted, radius) * count
    variance = (box_sum(fixed * fixed * counted, radius) * count - mean * mean).clamp_min(0)
    # A window that is mostly masked says little, and nothing certain.
    usable = centres.to(fixed.dtype) * counted * (number >= (2 * radius + 1) ** 3 / 4)
    kept = None if mask is None else counted
    return Windows(mean, usable / (variance + epsilon), usable, count, kept, radius, epsilon)


def correlation(fixed: Tensor, moved: Tensor, windows: Windows) -> Tensor:
    """Return the squared local correlation, (B, C, X, Y, Z), 0 where a window does not count."""
    covariance, j_inverse, _ = _covariance(fixed, moved, windows)
    return covariance * covariance * j_inverse * windows.inverse


def _covariance(fixed: Tensor, moved: Tensor, windows: Windows) -> tuple[Tensor, Tensor, Tensor]:
    """Covariance, 1 / (variance of the moved image + epsilon), and the moved image's mean."""
    counted = moved if windows.mask is None else moved * windows.mask
    mean, square, product = (
        box_sum(part, windows.radius) * windows.count for part in (counted, counted * moved, counted * fixed)
    )
    inverse = 1 / (square - mean * mean + windows.epsilon)
    return product - windows.mean * mean, inverse, mean


def correlation_slope(fixed: Tensor, moved: Tensor, windows: Windows, exact: bool) -> tuple[Tensor, Tensor]:
    """Derivative of the sum of cc to the moved image's values.

    Args:
        fixed, moved: (B, C, X, Y, Z).
        windows: of the fixed image.
        exact: sum over all windows that hold the voxel, divided by their size; else the window around it alone.

    Returns:
        The derivative (B, C, X, Y, Z) and the sum of cc. The approximate one is larger by the window's size.
    """
    covariance, j_inverse, j_mean = _covariance(fixed, moved, windows)
    ratio = covariance * j_inverse
    weight = ratio * windows.inverse
    energy = (weight * covariance).sum(dtype=torch.float64)
    if not exact:
        return 2 * weight * (fixed - windows.mean - ratio * (moved - j_mean)), energy
    a = 2 * weight * windows.count
    b = a * ratio
    c = b * j_mean - a * windows.mean
    a, b, c = (box_sum(part, windows.radius) for part in (a, b, c))
    slope = fixed * a - moved * b + c
    return slope if windows.mask is None else slope * windows.mask, energy


def central_gradient(image: Tensor) -> Tensor:
    """Central differences with the outermost voxels repeated beyond the faces. (B, C, X, Y, Z) -> (B, C, 3, X, Y, Z).

    Along the last axis zeros follow, as the compiled kernels have them there.
    """
    parts = []
    for axis in (2, 3, 4):
        padding = [0] * 6
        padding[2 * (4 - axis)] = padding[2 * (4 - axis) + 1] = 1
        padded = F.pad(image, padding, mode="constant") if axis == 4 else F.pad(image, padding, mode="replicate")
        size = image.shape[axis]
        parts.append(0.5 * (padded.narrow(axis, 2, size) - padded.narrow(axis, 0, size)))
    return torch.stack(parts, dim=2)
