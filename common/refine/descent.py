"""The state of one level and the moves that the optimiser makes, in PyTorch on any device and in any precision.

``common.refine.compiled_descent`` has the same moves on numba's kernels; the tests hold one to the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from common.refine.determinants import cell_determinants
from common.refine.landmarks import Landmarks
from common.refine.similarity import Part
from common.refine.smoothing import smooth
from common.spatial import warp


@dataclass
class Level:
    """What one level works on; one grid for all, (1, C, X, Y, Z) each.

    Attributes:
        parts: the similarities and the images that are warped.
        field: (1, 3, X, Y, Z) in voxels, the field at the start; the ten determinants are positive.
        drive: (1, 1, X, Y, Z) from 0 to 1, how much of a step is taken at each voxel; 0 on the outermost voxels.
        hold: likewise, how much of the field's smoothing is taken.
        force_taps: kernel that smooths the force.
        field_taps: kernel that smooths the field after each step.
        landmarks: pull points of the fixed image to points of the moving one; ``None`` without them.
    """

    parts: Sequence[Part]
    field: Tensor
    drive: Tensor
    hold: Tensor
    force_taps: NDArray
    field_taps: NDArray
    landmarks: Landmarks | None = None


class Descent(Protocol):
    """The moves: ``force``, ``propose``, ``smallest``, and ``accept`` or ``hold_back`` and ``propose`` again."""

    def force(self) -> float:
        """Compute the smoothed force at the present field; return the first part's similarity, larger is better."""

    def rms(self) -> float:
        """Root mean square length of the force over where the level is driven."""

    def pull(self, scale: float) -> None:
        """Add the landmarks' pull to a force that will be scaled."""

    def propose(self, scale: float, cap: float) -> None:
        """Compose the field with the scaled force, no vector longer than ``cap`` < 1 voxel, and smooth the result."""

    def smallest(self) -> float:
        """Smallest of the ten determinants of the proposed field; before the first proposal, of the start."""

    def hold_back(self, floor: float, reach: float, still: bool) -> None:
        """Drive the level no longer near cells of the proposed field whose determinants are below ``floor``.

        Args:
            floor: least determinant.
            reach: see ``hold_back``.
            still: keep the field near them as it is, its smoothing included.
        """

    def accept(self) -> None:
        """Take the proposed field."""

    def field(self) -> Tensor:
        """The present field, (1, 3, X, Y, Z)."""


class PlainDescent:
    """The moves in PyTorch's own operations."""

    def __init__(self, level: Level) -> None:
        self._level = level
        self._similarities = [part.similarity for part in level.parts]
        self.moved: Sequence[Tensor] = []
        self._field = level.field
        self._drive, self._hold = level.drive.clone(), level.hold.clone()
        self._driven = level.drive.sum(dtype=torch.float64)
        self._force, self._proposed = torch.zeros_like(level.field), level.field

    def force(self) -> float:
        """See ``Descent``."""
        self.warp()
        return self.follow()

    def warp(self) -> None:
        """Warp the moving images by the present field."""
        self.moved = [warp(part.moving, self._field, padding="border") for part in self._level.parts]

    def look_at(self, fixed: Sequence[Tensor]) -> None:
        """Take other fixed images, one set for each part: those that another descent has moved."""
        self._similarities = [old.against(new) for old, new in zip(self._similarities, fixed, strict=True)]

    def follow(self) -> float:
        """Compute the smoothed force from the moved images as they are; see ``Descent.force``."""
        pulls = [one.force(moved) for one, moved in zip(self._similarities, self.moved, strict=True)]
        forces, energies = zip(*pulls, strict=True)
        total = forces[0]
        if len(forces) > 1:
            total = sum(
                force * (part.weight / max(self._mean(force), 1e-30))
                for force, part in zip(forces, self._level.parts, strict=True)
            )
        self._force = smooth(total, self._level.force_taps)
        return energies[0]

    def _mean(self, force: Tensor) -> float:
        """Root mean square over where the level is driven."""
        return float(((force.square().sum(1) * self._drive[:, 0]).sum(dtype=torch.float64) / self._driven).sqrt())

    def rms(self) -> float:
        """See ``Descent``."""
        return self._mean(self._force)

    def pull(self, scale: float) -> None:
        """See ``Descent``."""
        if self._level.landmarks is not None:
            self._level.landmarks.pull(self._field[0], self._force[0], scale)

    def propose(self, scale: float, cap: float) -> None:
        """See ``Descent``."""
        length = self._force.square().sum(1, keepdim=True).sqrt().clamp_min(1e-15)
        step = self._force * (cap / length).clamp_max(scale) * self._drive
        joined = step + warp(self._field, step, padding="border")
        self._proposed = torch.lerp(joined, smooth(joined, self._level.field_taps), self._hold)

    def smallest(self) -> float:
        """See ``Descent``."""
        return float(cell_determinants(self._proposed[0]).min())

    def hold_back(self, floor: float, reach: float, still: bool) -> None:
        """See ``Descent``."""
        cells = (cell_determinants(self._proposed[0]) < floor).nonzero()
        hold_back(self._drive[0, 0], cells, reach)
        if still:
            hold_back(self._hold[0, 0], cells, reach)

    def accept(self) -> None:
        """See ``Descent``."""
        self._field = self._proposed

    def field(self) -> Tensor:
        """See ``Descent``."""
        return self._field


def hold_back(weight: Tensor, cells: Tensor, reach: float) -> None:
    """Lower a weight, in place, to 0 up to ``reach`` voxels from the middle of cells and to 1 three voxels on.

    Args:
        weight: (X, Y, Z).
        cells: (N, 3) indices of the cells' first corners.
        reach: in voxels; 1 covers the cell's corners.
    """
    span = int(reach + 3)
    line = torch.arange(-span, span + 2, dtype=torch.float32) - 0.5
    distance = (line[:, None, None] ** 2 + line[:, None] ** 2 + line**2).sqrt()
    profile = ((distance - reach) / 3).clamp(0, 1).to(weight)
    for cell in cells.tolist():
        starts = [c - span for c in cell]
        stops = [min(c + span + 2, n) for c, n in zip(cell, weight.shape, strict=True)]
        part = tuple(slice(max(a, 0), b) for a, b in zip(starts, stops, strict=True))
        own = tuple(slice(p.start - a, p.stop - a) for p, a in zip(part, starts, strict=True))
        weight[part] = torch.minimum(weight[part], profile[own])
