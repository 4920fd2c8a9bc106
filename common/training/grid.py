"""The training grid: one spacing and one size for all subjects, framed around everything that is anatomy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from common.errors import InputError
from common.switches import reads_switches

#: Voxels that an axis has at least where the size is chosen: what the coarsest level of every network can work with.
SMALLEST = 32


@reads_switches
@dataclass(frozen=True)
class TrainingGrid:
    """Voxels that a network is trained on.

    Attributes:
        spacing: sides of a voxel in mm, one number for all three or one for each axis.
        size: voxels on each axis; ``None`` takes the least that holds everything, see ``around``.
        multiple: what the network needs each side to be a multiple of.
        cube: whether it needs equal sides.
        factor: how much finer this grid is than the one that the configuration names.
        may_cut: a size that does not hold all of the foreground takes its middle (PSMamba-Net's abdomen) instead of
            being an error.

    Raises:
        InputError: no such spacing, or the network cannot take this size.
    """

    spacing: float | Sequence[float]
    size: Sequence[int] | None
    multiple: int = 1
    cube: bool = False
    factor: int = 1
    may_cut: bool = False

    def __post_init__(self) -> None:
        if len(self.voxel) != 3 or min(self.voxel) <= 0:
            raise InputError(f"spacing: expected one number of mm or three, all above zero, got {self.spacing}")
        if self.size is None:
            return
        whole = all(isinstance(n, int) and n > 0 for n in self.size) and len(self.size) == 3
        if not whole or any(n % self.multiple for n in self.size) or (self.cube and len(set(self.size)) > 1):
            wanted = f"three {'equal ' if self.cube else ''}multiples of {self.multiple}"
            raise InputError(f"size: this network expects {wanted}, got {list(self.size)}")

    @property
    def voxel(self) -> tuple[float, ...]:
        """Sides of a voxel in mm along the three axes."""
        if isinstance(self.spacing, Sequence):
            return tuple(float(side) for side in self.spacing)
        return (float(self.spacing),) * 3

    def finer(self, factor: int) -> "TrainingGrid":
        """Return the grid of the same extent whose voxels are ``factor`` times as small."""
        return replace(
            self,
            spacing=[side / factor for side in self.voxel],
            size=None if self.size is None else [n * factor for n in self.size],
            multiple=self.multiple * factor,
            factor=self.factor * factor,
        )

    def around(self, volumes: Sequence[Tensor]) -> "Frame":
        """Return this grid's place around everything in (X, Y, Z) volumes that is not zero.

        Raises:
            InputError: it needs more room; the text names a size that has it.
        """
        occupied = torch.stack([volume > 0 for volume in volumes]).any(dim=0)
        bounds = [_bounds(occupied, axis) for axis in range(3)]
        needed = [high - low for low, high in bounds]
        size = self._least(needed, [SMALLEST * self.factor] * 3) if self.size is None else list(self.size)
        start = [(low + high - width) // 2 for (low, high), width in zip(bounds, size, strict=True)]
        if all(n <= width for n, width in zip(needed, size, strict=True)):
            return Frame(start, size)
        if self.may_cut:
            room = [max(0, n - width) for n, width in zip(occupied.shape, size, strict=True)]
            return Frame([min(max(s, 0), r) if r else s for s, r in zip(start, room, strict=True)], size)
        axis = next(a for a in range(3) if needed[a] > size[a])
        advice = [n // self.factor for n in self._least(needed, size)]
        raise InputError(
            f"the training size {size} cuts the foreground: axis {axis} needs {needed[axis]} voxels at "
            f'{self.voxel[axis]:g} mm; it fits into --size "{advice}"'
        )

    def _least(self, needed: Sequence[int], size: Sequence[int]) -> list[int]:
        """The least size that the network can take, holds ``needed`` voxels and is no less than ``size``."""
        whole = [math.ceil(max(n, k) / self.multiple) * self.multiple for n, k in zip(size, needed, strict=True)]
        return [max(whole) if self.cube else n for n in whole]


@dataclass(frozen=True)
class Frame:
    """A window of a volume, which may reach outside of it.

    Attributes:
        start: its corner's indices.
        size: its voxels on each axis.
    """

    start: Sequence[int]
    size: Sequence[int]

    def of(self, volume: Tensor) -> Tensor:
        """Return this window of a volume (X, Y, Z), zeros where it reaches outside."""
        padding: list[int] = []
        for n, begin, width in reversed(list(zip(volume.shape, self.start, self.size, strict=True))):
            padding += [-begin, begin + width - n]
        return F.pad(volume, padding).contiguous()


def _bounds(occupied: Tensor, axis: int) -> tuple[int, int]:
    others = tuple(a for a in range(3) if a != axis)
    index = torch.nonzero(occupied.any(dim=others[1]).any(dim=others[0])).flatten()
    return int(index[0]), int(index[-1]) + 1
