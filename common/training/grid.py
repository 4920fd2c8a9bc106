"""The training grid: one spacing and one size for all subjects, framed around everything that is anatomy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from common.errors import InputError
from common.switches import reads_switches


@reads_switches
@dataclass(frozen=True)
class TrainingGrid:
    """Voxels that a network is trained on.

    Attributes:
        spacing: side of a voxel in mm.
        size: voxels on each axis.
        multiple: what the network needs each side to be a multiple of.
        cube: whether it needs equal sides.
        factor: how much finer this grid is than the one that the configuration names.

    Raises:
        InputError: the network cannot take this size.
    """

    spacing: float
    size: Sequence[int]
    multiple: int = 1
    cube: bool = False
    factor: int = 1

    def __post_init__(self) -> None:
        whole = all(isinstance(n, int) and n > 0 for n in self.size) and len(self.size) == 3
        if not whole or any(n % self.multiple for n in self.size) or (self.cube and len(set(self.size)) > 1):
            wanted = f"three {'equal ' if self.cube else ''}multiples of {self.multiple}"
            raise InputError(f"size: this network expects {wanted}, got {list(self.size)}")

    def finer(self, factor: int) -> "TrainingGrid":
        """Return the grid of the same extent whose voxels are ``factor`` times as small."""
        return replace(
            self,
            spacing=self.spacing / factor,
            size=[n * factor for n in self.size],
            multiple=self.multiple * factor,
            factor=self.factor * factor,
        )

    def start_around(self, volumes: Sequence[Tensor]) -> list[int]:
        """Return the corner of this grid around everything in (X, Y, Z) volumes that is not zero.

        Raises:
            InputError: it needs more room; the text names a size that has it.
        """
        occupied = torch.stack([volume > 0 for volume in volumes]).any(dim=0)
        bounds = [_bounds(occupied, axis) for axis in range(3)]
        needed = [high - low for low, high in bounds]
        if any(n > width for n, width in zip(needed, self.size, strict=True)):
            axis = next(a for a in range(3) if needed[a] > self.size[a])
            raise InputError(
                f"the training size {list(self.size)} cuts the foreground: axis {axis} needs {needed[axis]} voxels at "
                f'{self.spacing:g} mm; it fits into --size "{self._size_for(needed)}"'
            )
        return [(low + high - width) // 2 for (low, high), width in zip(bounds, self.size, strict=True)]

    def _size_for(self, needed: Sequence[int]) -> list[int]:
        """The least size of the configuration's grid that holds so many voxels of this one."""
        enough = [max(n, math.ceil(k / self.multiple) * self.multiple) for n, k in zip(self.size, needed, strict=True)]
        return [(max(enough) if self.cube else n) // self.factor for n in enough]

    def framed(self, volume: Tensor, start: Sequence[int]) -> Tensor:
        """Return this grid's part of a volume (X, Y, Z), from the corner ``start``, zeros where it reaches outside."""
        padding: list[int] = []
        for n, begin, width in reversed(list(zip(volume.shape, start, self.size, strict=True))):
            padding += [-begin, begin + width - n]
        return F.pad(volume, padding).contiguous()


def _bounds(occupied: Tensor, axis: int) -> tuple[int, int]:
    others = tuple(a for a in range(3) if a != axis)
    index = torch.nonzero(occupied.any(dim=others[1]).any(dim=others[0])).flatten()
    return int(index[0]), int(index[-1]) + 1
