"""Where a pair is worked on: a box around both foregrounds, and weights that fall to zero towards its faces."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

from common.geometry.foreground import foreground_mask

#: Voxels of the coarse grid on which distances are measured.
COARSE = 4


@dataclass(frozen=True)
class Box:
    """A box of voxels that may reach beyond the grid: first index and size along each axis.

    >>> Box((-1, 0, 2), (4, 4, 4)).cut(torch.arange(4.0).view(1, 1, 4, 1, 1).expand(1, 1, 4, 4, 8))[0, 0, :, 0, 0]
    tensor([0., 0., 1., 2.])
    """

    first: tuple[int, int, int]
    size: tuple[int, int, int]

    def cut(self, volumes: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> (B, C, *size); beyond the grid its outermost voxels go on."""
        for axis, (first, size) in enumerate(zip(self.first, self.size, strict=True)):
            index = torch.arange(first, first + size, device=volumes.device).clamp(0, volumes.shape[axis + 2] - 1)
            volumes = volumes.index_select(axis + 2, index)
        return volumes

    def coarser(self, factor: int) -> "Box":
        """The same box on a grid whose voxels are ``factor`` times as large; its first indices have to divide."""
        x, y, z = (first // factor for first in self.first)
        a, b, c = (size // factor for size in self.size)
        return Box((x, y, z), (a, b, c))

    def paste(self, part: Tensor, volumes: Tensor) -> Tensor:
        """Return a copy of (B, C, X, Y, Z) in which the box holds ``part``, as far as it lies in the grid."""
        out = volumes.clone()
        inside, within = [slice(None)] * 2, [slice(None)] * 2
        for first, size, whole in zip(self.first, self.size, volumes.shape[2:], strict=True):
            start, stop = max(first, 0), min(first + size, whole)
            inside.append(slice(start, stop))
            within.append(slice(start - first, stop - first))
        out[tuple(inside)] = part[tuple(within)]
        return out


def foreground(images: Tensor) -> Tensor:
    """Where any channel shows something. (1, C, X, Y, Z) -> (1, 1, X, Y, Z), boolean."""
    masks = [foreground_mask(channel.float().cpu().numpy()) for channel in images[0]]
    return torch.from_numpy(np.any(masks, axis=0))[None, None].to(images.device)


def box_around(mask: Tensor, margin: int, multiple: int, step: int = 1) -> Box:
    """Return the smallest box around a mask (1, 1, X, Y, Z) with a margin and sides that ``multiple`` divides.

    Its first indices are multiples of ``step``, which divides ``multiple``.
    """
    first, size = [], []
    for axis in range(3):
        others = [d + 2 for d in range(3) if d != axis]
        index = mask.amax(dim=others, keepdim=True).flatten().nonzero().flatten()
        low, high = (int(index[0]), int(index[-1]) + 1) if len(index) else (0, mask.shape[axis + 2])
        span = -(-(high - low + 2 * (margin + step - 1)) // multiple) * multiple
        first.append((low - (span - (high - low)) // 2) // step * step)
        size.append(span)
    return Box((first[0], first[1], first[2]), (size[0], size[1], size[2]))


def nearness(mask: Tensor, inner: float, outer: float) -> Tensor:
    """Weight that is 1 up to ``inner`` voxels from a mask and falls smoothly to 0 at ``outer`` and at the faces.

    Distances are taken on a grid four times as coarse: they only have to be smooth, and cost 2 s on the fine one.

    Args:
        mask: (1, 1, X, Y, Z), sides divisible by four.
        inner: in voxels.
        outer: in voxels.

    Returns:
        (1, 1, X, Y, Z) float32.
    """
    coarse = F.max_pool3d(mask.float(), COARSE)
    away = distance_transform_edt(coarse[0, 0].cpu().numpy() == 0) * COARSE
    distance = torch.from_numpy(np.asarray(away, np.float32))[None, None].to(mask.device)
    distance = F.interpolate(distance, scale_factor=COARSE, mode="trilinear", align_corners=False)
    share = ((outer - distance) / (outer - inner)).clamp(0, 1)
    return share * share * (3 - 2 * share) * _inside(distance)


def _inside(volume: Tensor) -> Tensor:
    """0 on the outermost two voxels of each axis, 1 elsewhere."""
    inside = torch.zeros_like(volume)
    inside[..., 2:-2, 2:-2, 2:-2] = 1
    return inside
