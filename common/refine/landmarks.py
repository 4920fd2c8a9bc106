"""Corresponding points as a further pull: each step takes away a share of each point's error."""

from dataclasses import dataclass

import torch
from torch import Tensor

#: Share of a point's error that a step takes away, and the spread of its pull in voxels of the finest grid.
SHARE, SPREAD = 0.2, 6.0


@dataclass(frozen=True)
class Landmarks:
    """Points of one level.

    Attributes:
        fixed: (N, 3) voxel indices of the level.
        moving: (N, 3), where they belong in the moving image.
        spread: standard deviation of the pull in voxels of the level.
    """

    fixed: Tensor
    moving: Tensor
    spread: float

    def pull(self, field: Tensor, force: Tensor, scale: float) -> None:
        """Add to a force, in place, what moves the points when the force is multiplied by ``scale``.

        Args:
            field: (3, X, Y, Z) in voxels.
            force: likewise.
            scale: see above.
        """
        reach = max(round(3 * self.spread), 1)
        for point, target in zip(self.fixed, self.moving, strict=True):
            centre = [int(c) for c in point.round()]
            if any(not 0 <= c < n for c, n in zip(centre, field.shape[1:], strict=True)):
                continue
            error = target - point - field[:, centre[0], centre[1], centre[2]].to(target)
            part = tuple(slice(max(c - reach, 0), c + reach + 1) for c in centre)
            axes = (
                torch.arange(s.start, min(s.stop, n), dtype=field.dtype, device=field.device) - float(p)
                for s, n, p in zip(part, field.shape[1:], point, strict=True)
            )
            x, y, z = (torch.exp(-0.5 * (axis / self.spread) ** 2) for axis in axes)
            bump = x[:, None, None] * y[:, None] * z
            pulled = force[:, part[0], part[1], part[2]]
            pulled += bump * (SHARE / scale * error.to(field))[:, None, None, None]

    def error(self, field: Tensor) -> Tensor:
        """Distance of each point from where it belongs, (N,) in voxels, the field (3, X, Y, Z) taken at its voxel."""
        index = self.fixed.round().long()
        inside = [index[:, axis].clamp(0, n - 1) for axis, n in enumerate(field.shape[1:])]
        there = field[:, inside[0], inside[1], inside[2]].T.to(self.moving)
        return (self.moving - self.fixed - there).norm(dim=1)
