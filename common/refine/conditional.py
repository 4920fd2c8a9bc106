"""The conditional mean: what the fixed image would show where the moving one has a given intensity.

Under the present alignment, E[fixed | moving] is read off voxel by voxel and replaces the moving image's intensities.
After that both images have one contrast, so that the local correlation can be taken.
Source: the correlation ratio's regression (Roche et al., MICCAI 1998), used to remap rather than to score.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

BINS = 48
#: Standard deviation, in bins, of the smoothing of the curve; thinly populated bins lean on their neighbours.
SPREAD = 1.0


def conditional_mean(moved: Tensor, fixed: Tensor, weight: Tensor) -> NDArray[np.float64]:
    """Return the mean fixed intensity at ``BINS`` moving intensities from 0 to 1.

    Args:
        moved: (1, 1, X, Y, Z), intensities held to [0, 1].
        fixed: likewise.
        weight: (1, 1, X, Y, Z), how much a voxel counts.

    Returns:
        (BINS,), the curve at (k + 0.5) / BINS.
    """
    some = weight > 0
    bins = (moved[some].clamp(0, 1) * BINS).long().clamp_max(BINS - 1).cpu().numpy()
    values, counted = fixed[some].double().cpu().numpy(), weight[some].double().cpu().numpy()
    number = np.bincount(bins, counted, BINS)
    total = np.bincount(bins, counted * values, BINS)
    number, total = (gaussian_filter1d(part, SPREAD, mode="nearest") for part in (number, total))
    filled = number > 1e-6 * max(float(number.sum()), 1e-30)
    if not filled.any():
        return np.full(BINS, float(values.mean()) if len(values) else 0.0)
    index = np.arange(BINS)
    return np.interp(index, index[filled], total[filled] / number[filled])


def remap(image: Tensor, curve: NDArray[np.float64]) -> Tensor:
    """Send intensities (any shape) through a curve of ``conditional_mean``, linear between its points."""
    table = torch.as_tensor(curve, dtype=image.dtype, device=image.device)
    position = (image.clamp(0, 1) * len(curve) - 0.5).clamp(0, len(curve) - 1)
    low = position.floor().clamp_max(len(curve) - 2).long()
    return torch.lerp(table[low], table[low + 1], position - low)
