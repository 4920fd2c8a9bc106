"""What ``auto`` chooses, from what it measures on the pair, and the words for it."""

import torch
from torch import Tensor
from torch.nn import functional as F

COARSE = 4
QUANTILES = 16
#: The mean of one image along the other's intensities falls by at most this share of its ups and downs in pairs of one
#: contrast: at most 0.18 in 12 affinely aligned pairs of T1 or of CT, at least 0.29 in 9 of T1 and CT.
ONE_CONTRAST = 0.23
#: Between these shares of the similarity that refining the alignment gains, a network's field gets a say that rises
#: from none to half. Two contrasts only.
HEARD, EQUAL = 0.5, 0.6


def falling_share(moving: Tensor, fixed: Tensor, inside: Tensor) -> float:
    """How much of the way the mean fixed intensity goes down while the moving intensity goes up, and vice versa.

    The voxels of a grid four times as coarse are ordered by one image and cut into sixteen groups of equal size; the
    larger of both directions counts. A relation that only rises gives 0, one that only falls 1.

    Args:
        moving: (1, 1, X, Y, Z), aligned.
        fixed: likewise.
        inside: (1, 1, X, Y, Z), where both show something.
    """
    a, b, weight = (F.avg_pool3d(volume.float(), COARSE) for volume in (moving, fixed, inside))
    some = weight > 0.5
    a, b = a[some], b[some]
    if len(a) < 4 * QUANTILES:
        return 0.0
    return max(_falls(a, b), _falls(b, a))


def _falls(order: Tensor, values: Tensor) -> float:
    means = torch.stack([group.mean() for group in values[order.argsort(stable=True)].tensor_split(QUANTILES)])
    steps = means.diff()
    return float((-steps).clamp_min(0).sum() / steps.abs().sum().clamp_min(1e-12))


def contrasts_of(moving: Tensor, fixed: Tensor, inside: Tensor) -> tuple[int, str]:
    """Return 1 or 2 contrasts and the reason in words; arguments as in ``falling_share``."""
    share = falling_share(moving, fixed, inside)
    if share <= ONE_CONTRAST:
        return 1, (
            f"one contrast: where the moving image is brighter, so is the fixed one ({100 * share:.0f} % of the way"
            f" against it, limit {100 * ONE_CONTRAST:.0f} %)"
        )
    return 2, (
        f"two contrasts: {100 * share:.0f} % of the way the fixed image gets darker where the moving one gets brighter"
        f" or the other way round (limit {100 * ONE_CONTRAST:.0f} %)"
    )


def weight_of(share: float) -> float:
    """The say of a network's field that brings this share of the refined alignment's gain in similarity.

    >>> [round(weight_of(share), 2) for share in (-1.0, 0.5, 0.56, 0.7)]
    [0.0, 0.0, 0.3, 0.5]
    """
    return 0.5 * min(max((share - HEARD) / (EQUAL - HEARD), 0.0), 1.0)
