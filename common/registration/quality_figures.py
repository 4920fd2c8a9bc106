"""What a field and its start are judged by: measured on the network's grid, on the same voxels for both."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from common.geometry import foreground_mask
from common.refine.choice import contrasts_of
from common.refine.correlation import correlation, windows_of
from common.registration.measures import BINS, jacobian_map, similarity
from common.spatial import sd_log_jacobian, warp

#: Millimetres of the blocks whose change of volume is looked at: a lobe's part, a ventricle.
REGION = 24.0
#: Windows of the local correlation: radius in voxels of a grid twice as coarse, and least variance.
RADIUS, EPSILON = 2, 1e-4
#: Share of a Jacobian's voxels that is left out at either end of its range.
TAIL = 0.001


@dataclass(frozen=True, eq=False)
class Regions:
    """Where a pair is looked at, (x, y, z) each: the same voxels for the start and for every result.

    Attributes:
        fixed: where the fixed image shows something.
        either: where it or the moving image, as it starts, does.
        both: where both do.
        counted: where neither image is excluded, in the foreground or not; None where nothing is.
    """

    fixed: NDArray[np.bool_]
    either: NDArray[np.bool_]
    both: NDArray[np.bool_]
    counted: NDArray[np.bool_] | None = None

    @property
    def overlap(self) -> float:
        """Share of the smaller foreground that lies in the other one."""
        smaller = min(int(self.fixed.sum()), int(self.moving.sum()))
        return float(self.both.sum()) / max(smaller, 1)

    @property
    def volume_ratio(self) -> float:
        """Volume of the moving foreground, as it starts, over that of the fixed one."""
        return float(self.moving.sum()) / max(int(self.fixed.sum()), 1)

    def within(self, counted: NDArray[np.bool_]) -> "Regions":
        """What is left of them within a mask (x, y, z)."""
        return Regions(self.fixed & counted, self.either & counted, self.both & counted, counted)

    @property
    def moving(self) -> NDArray[np.bool_]:
        """Where the moving image, as it starts, shows something."""
        return (self.either & ~self.fixed) | self.both


def regions_of(image: Tensor, counted: Tensor | None = None) -> Regions:
    """The regions of a pair, less what is excluded of either image.

    Args:
        image: (2, x, y, z), moving first.
        counted: (2, x, y, z), 0 where an image is excluded; see ``counted_on``.
    """
    moving, fixed = (foreground_mask(channel.numpy()) for channel in image)
    regions = Regions(fixed, fixed | moving, fixed & moving)
    return regions if counted is None else regions.within(counts(counted))


def counts(counted: Tensor, ddf: Tensor | None = None) -> NDArray[np.bool_]:
    """Where both images count, the moving one also where a displacement brings it from. (2, x, y, z) -> (x, y, z)."""
    mask = (counted > 0.5).all(dim=0)
    if ddf is not None:
        mask &= warp(counted[None, :1], ddf[None])[0, 0] > 0.5
    return mask.numpy()


def contrasts(image: Tensor, regions: Regions) -> tuple[int, float]:
    """How many contrasts a pair (2, x, y, z) has, 1 or 2, and the correlation of its intensities where both show any.

    T1 with T1 and CT with CT have one; T1 with T2 has two, and the correlation is negative.
    """
    inside = torch.from_numpy(regions.both)[None, None]
    number, _ = contrasts_of(image[None, :1], image[None, 1:], inside)
    correlation_inside = similarity(image[1], image[0], regions.both)["ncc"] if regions.both.any() else 0.0
    return number, correlation_inside


def likeness(image: Tensor, regions: Regions, ddf: Tensor | None = None) -> dict[str, float]:
    """Similarity of a pair (2, x, y, z) after a displacement (3, x, y, z) in voxels; at the start without one.

    Returns:
        ``mutual_information`` over the fixed foreground, ``mutual_information_either`` over both foregrounds joined,
        ``mutual_information_both`` where both start, less what chance gives so few voxels; ``local_correlation`` (mean
        squared, windows of 5 voxels of half the resolution) over the fixed foreground.
    """
    moved = image[:1] if ddf is None else warp(image[None, :1], ddf[None])[0]
    half = F.avg_pool3d(torch.stack([image[1:], moved]), 2)
    centres = (F.avg_pool3d(torch.from_numpy(regions.fixed)[None, None].float(), 2) > 0.5).float()
    mask = None
    if regions.counted is not None:
        mask = (F.avg_pool3d(torch.from_numpy(regions.counted)[None, None].float(), 2) == 1).float()
        centres = centres * mask
    windows = windows_of(half[:1], centres, mask, RADIUS, EPSILON)
    local = correlation(half[:1], half[1:], windows).sum(dtype=torch.float64) / centres.sum().clamp_min(1)
    return {
        "mutual_information": similarity(image[1], moved[0], regions.fixed)["mutual_information"],
        "mutual_information_either": similarity(image[1], moved[0], regions.either)["mutual_information"],
        "mutual_information_both": _shared(image[1], moved[0], regions.both),
        "local_correlation": float(local),
    }


def _shared(fixed: Tensor, moved: Tensor, mask: NDArray[np.bool_]) -> float:
    """Mutual information over a mask less its bias of (bins - 1)^2 / 2N nats (Miller 1955), large for few voxels."""
    count = int(mask.sum())
    if not count:
        return 0.0
    return max(similarity(fixed, moved, mask)["mutual_information"] - (BINS - 1) ** 2 / (2 * count), 0.0)


def deformation(ddf: Tensor, regions: Regions, spacing: float) -> dict[str, float]:
    """How a displacement (3, x, y, z), in voxels of ``spacing`` millimetres, deforms the fixed foreground.

    Returns:
        ``sd_log_jacobian``, ``folds_percent``, the ends of the Jacobian's range but for 0.1 % of the voxels at either
        (``jacobian_low``, ``jacobian_high``), and ``region_smallest`` and ``region_largest``: by what factor the volume
        of a block of 24 mm changes at the least and at the most.
    """
    jacobian = jacobian_map(ddf)
    inside = jacobian[torch.from_numpy(regions.fixed)]
    low, high = np.quantile(inside.numpy(), [TAIL, 1 - TAIL])
    size = min(max(1, round(REGION / spacing)), max(1, min(jacobian.shape) // 4))  # small animals have smaller blocks
    smallest, largest = _region_change(jacobian, regions.fixed, size)
    return {
        "sd_log_jacobian": float(sd_log_jacobian(inside.view(1, 1, -1, 1, 1))),
        "folds_percent": 100 * float((inside <= 0).double().mean()),
        "jacobian_low": float(low),
        "jacobian_high": float(high),
        "region_smallest": smallest,
        "region_largest": largest,
    }


def _region_change(jacobian: Tensor, mask: NDArray[np.bool_], size: int) -> tuple[float, float]:
    """Least and largest mean Jacobian of the blocks that the mask fills by half at least; 1 where there are none."""
    weight = torch.from_numpy(mask)[None, None].float()
    share = F.avg_pool3d(weight, size, ceil_mode=True)
    mean = F.avg_pool3d(jacobian[None, None] * weight, size, ceil_mode=True) / share.clamp_min(1e-6)
    filled = mean[share > 0.5]
    return (float(filled.min()), float(filled.max())) if len(filled) else (1.0, 1.0)
