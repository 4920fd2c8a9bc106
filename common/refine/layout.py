"""How the kernels' volumes lie in memory, and how kernels are run over the planes of a volume.

See ``common.refine.kernels`` for the layout. Needs no numba.
"""

import threading
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.compiled.jobs import run_jobs
from common.compiled.width import WIDTH

ROWS = 16  # planes of one job
MARGIN = 8  # zeros behind each row at least, so that a kernel may reach as far along it
EMPTY = np.zeros(0, np.float32)
_local = threading.local()
Rows = tuple[NDArray[np.int64], NDArray[np.int64]]


class Layout:
    """How volumes lie in flat arrays, see ``common.refine.kernels``."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        x, y, z = shape
        stride = -(-(z + MARGIN) // WIDTH) * WIDTH
        self.shape, self.numbers = shape, (x, y, z, stride, x * y * stride + 2 * WIDTH)
        self.valid, self.cells = np.zeros(stride, np.float32), np.zeros(stride, np.float32)
        self.valid[:z], self.cells[: z - 1] = 1, 1

    def flat(self, volumes: Tensor) -> NDArray[np.float32]:
        """(C, X, Y, Z) -> flat array of C volumes with their margins."""
        flat = self.empty(len(volumes))
        self.field(flat).copy_(volumes)
        return flat

    def volumes(self, flat: NDArray[np.float32]) -> Tensor:
        """The way back, a copy of C volumes (C, X, Y, Z)."""
        return self.field(flat).clone(memory_format=torch.contiguous_format)

    def empty(self, volumes: int) -> NDArray[np.float32]:
        """Flat zeros."""
        return np.zeros(volumes * self.numbers[4], np.float32)

    def view(self, flat: NDArray[np.float32]) -> Tensor:
        """One volume in place, (X, Y, Z)."""
        return self.field(flat)[0]

    def field(self, flat: NDArray[np.float32]) -> Tensor:
        """Volumes in place, (C, X, Y, Z)."""
        x, y, z, stride, size = self.numbers
        return torch.from_numpy(flat).view(-1, size)[:, WIDTH:-WIDTH].view(-1, x, y, stride)[..., :z]

    def planes(self, kernel: Callable[[int, int], float | None], rows: int = ROWS) -> float:
        """Run a kernel on all planes, job by job; return the sum of what it returns, in the order of the jobs."""
        size = self.shape[0]
        starts = list(range(0, size, rows))
        sums = [0.0] * len(starts)

        def run(job: int) -> None:
            sums[job] = kernel(starts[job], min(starts[job] + rows, size)) or 0.0

        run_jobs([[job] for job in range(len(starts))], run)
        return sum(sums)

    def rows(self, region: Tensor) -> Rows:
        """First and last lane of each row (x, y) that a region (X, Y, Z) touches, in multiples of sixteen."""
        flags = region.numpy().reshape(-1, region.shape[-1])
        some = flags.any(axis=1)
        first = flags.argmax(axis=1) // WIDTH * WIDTH
        last = -(-(region.shape[-1] - flags[:, ::-1].argmax(axis=1)) // WIDTH) * WIDTH
        return np.where(some, first, 0).astype(np.int64), np.where(some, last, 0).astype(np.int64)


def dilated(region: Tensor, reach: int) -> Tensor:
    """A region (X, Y, Z) and all voxels up to ``reach`` away along the axes."""
    grown = (region > 0).numpy()
    for axis in range(3):
        lines = np.moveaxis(grown, axis, 0)
        wider = grown.copy()
        out = np.moveaxis(wider, axis, 0)
        for step in range(1, min(reach, len(lines) - 1) + 1):
            out[step:] |= lines[:-step]
            out[:-step] |= lines[step:]
        grown = wider
    return torch.from_numpy(grown)


def scratch(name: str, size: int) -> NDArray[np.float32]:
    """This thread's own buffer of that name."""
    held = getattr(_local, name, None)
    if held is None or len(held) < size:
        held = np.zeros(size, np.float32)
        setattr(_local, name, held)
    return held[:size]
