"""The moves of a level on numba's kernels: float32 on the CPU, one pair, no allocation between two iterations.

Memory traffic is the limit. Per voxel and iteration the least is to read the field (12 bytes), write the moved image
(4), read both images and the windows' three volumes (20) and write the force (12), smooth it (24), compose (36), smooth
the field (24) and look at its determinants (12): 144 bytes, and 52 more where a written line has to be read first. Only
rows and lanes that can move are worked on.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.compiled.compiling import importable
from common.compiled.width import WIDTH
from common.refine.compiled_forces import force_of
from common.refine.descent import Level, hold_back
from common.refine.determinants import smallest_compiled
from common.refine.layout import EMPTY, MARGIN, Layout, dilated, scratch


def can_descend_compiled(level: Level) -> bool:
    """Whether the kernels apply: float32 on the CPU, numba at hand, kernels within reach, no axis of one voxel."""
    plain = level.field.device.type == "cpu" and level.field.dtype == torch.float32 and min(level.field.shape[2:]) > 1
    reach = max(len(level.force_taps), len(level.field_taps)) // 2
    return plain and reach <= MARGIN and importable()


class CompiledDescent:
    """See ``Descent``."""

    def __init__(self, level: Level) -> None:
        from common.refine import kernels

        self._kernels = kernels
        x, y, z = level.field.shape[2:]
        self._layout = layout = Layout((x, y, z))
        self._forces = [(force_of(part, layout), part.weight) for part in level.parts]
        self._landmarks = level.landmarks
        # Outside of the rows that move, the last three of these keep the field's values for ever.
        self._raw, self._force = layout.empty(3), layout.empty(3)
        self._further = layout.empty(3) if len(level.parts) > 1 else EMPTY
        self._field = layout.flat(level.field[0])
        self._joined, self._proposed = self._field.copy(), self._field.copy()
        self._drive, self._hold = layout.flat(level.drive[0]), layout.flat(level.hold[0])
        self._taps = level.force_taps.astype(np.float64), level.field_taps.astype(np.float64)
        self._least = np.ones(layout.numbers[4], np.float32)  # of each cell; 1 where none begins
        self._driven, self._squares = float(level.drive.sum(dtype=torch.float64)), 0.0
        moves = (level.drive[0, 0] > 0) | (level.hold[0, 0] > 0)
        self._rows, self._cells = layout.rows(moves), layout.rows(dilated(moves, 1))

    def force(self) -> float:
        """See ``Descent``."""
        self.warp()
        return self.follow()

    def warp(self) -> None:
        """Warp the moving images by the present field."""
        for force, _ in self._forces:
            force.warp(self._field)

    @property
    def moved(self) -> list[list[NDArray[np.float32]]]:
        """The moved images of each part."""
        return [force.moved for force, _ in self._forces]

    def look_at(self, fixed: Sequence[list[NDArray[np.float32]]]) -> None:
        """Take other fixed images, one set for each part: those that another descent has moved."""
        for (force, _), images in zip(self._forces, fixed, strict=True):
            force.look_at(images)

    def follow(self) -> float:
        """Compute the smoothed force from the moved images as they are; see ``Descent.force``."""
        energy = self._forces[0][0].pull(self._raw)
        if len(self._forces) > 1:
            self._join(self._forces[0][1])
        smooth = partial(self._smooth, self._raw, self._force, EMPTY, self._drive, self._taps[0])
        self._squares = self._layout.planes(smooth)
        return energy

    def _join(self, weight: float) -> None:
        """Bring the first part's force to its length and add the others, likewise."""
        self._raw *= np.float32(weight / self._mean(self._raw))
        for force, weight in self._forces[1:]:
            self._further[:] = 0  # each force writes its own rows
            force.pull(self._further)
            self._further *= np.float32(weight / self._mean(self._further))
            self._raw += self._further

    def _mean(self, force: NDArray[np.float32]) -> float:
        """Root mean square over where the level is driven."""
        squares = np.square(force).reshape(3, -1).sum(axis=0)
        return max(float(np.dot(squares, self._drive)) / self._driven, 1e-60) ** 0.5

    def _smooth(
        self,
        source: NDArray[np.float32],
        out: NDArray[np.float32],
        weight: NDArray[np.float32],
        sums: NDArray[np.float32],
        taps: NDArray[np.float64],
        start: int,
        stop: int,
    ) -> float:
        numbers = self._layout.numbers
        buffer = scratch("row", numbers[3] + 2 * WIDTH)
        return self._kernels.smooth_planes(source, out, weight, sums, numbers, taps, *self._rows, buffer, start, stop)

    def rms(self) -> float:
        """See ``Descent``."""
        return (self._squares / self._driven) ** 0.5

    def pull(self, scale: float) -> None:
        """See ``Descent``."""
        if self._landmarks is not None:
            self._landmarks.pull(self._layout.field(self._field), self._layout.field(self._force), scale)

    def propose(self, scale: float, cap: float) -> None:
        """See ``Descent``."""
        volumes = self._force, self._field, self._joined, self._drive, self._layout.numbers
        self._layout.planes(partial(self._kernels.compose_planes, *volumes, *self._rows, scale, cap))
        self._layout.planes(partial(self._smooth, self._joined, self._proposed, self._hold, EMPTY, self._taps[1]))

    def smallest(self) -> float:
        """See ``Descent``."""
        return smallest_compiled(self._proposed, self._layout, self._cells)

    def hold_back(self, floor: float, reach: float, still: bool) -> None:
        """See ``Descent``."""
        smallest_compiled(self._proposed, self._layout, self._cells, self._least)
        cells = (self._layout.view(self._least) < floor).nonzero()
        hold_back(self._layout.view(self._drive), cells, reach)
        if still:
            hold_back(self._layout.view(self._hold), cells, reach)

    def accept(self) -> None:
        """See ``Descent``."""
        self._field, self._proposed = self._proposed, self._field

    def field(self) -> Tensor:
        """See ``Descent``."""
        return self._layout.volumes(self._field)[None]
