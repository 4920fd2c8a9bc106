"""Scaling and squaring through the compiled kernel: inference on the CPU, a third of PyTorch's time."""

from collections.abc import Callable
from functools import partial

import torch
from numpy.typing import NDArray
from torch import Tensor

from common.compiled import importable, run_jobs

#: Rows of one job; a volume of 96 rows keeps two threads evenly busy.
ROWS = 8


def can_square_compiled(field: Tensor) -> bool:
    """Whether the kernel applies: a float32 field on the CPU that nobody differentiates or records."""
    recording = torch.jit.is_tracing() or torch.compiler.is_compiling()
    wanted = torch.is_grad_enabled() and field.requires_grad
    return field.device.type == "cpu" and field.dtype == torch.float32 and not (recording or wanted or not importable())


def square_compiled(velocity: Tensor, steps: int) -> Tensor:
    """Compose ``velocity / 2**steps`` with itself ``steps`` times, zero outside of the grid.

    Args:
        velocity: (B, 3, X, Y, Z) float32 in voxels.
        steps: number of squarings.

    Returns:
        (B, 3, X, Y, Z), equal to ``integrate`` up to rounding.
    """
    from common.spatial.kernels import square_rows

    # Channels last: the eight corners of a sampling are eight short reads instead of twenty-four.
    field = (velocity / float(2**steps)).permute(0, 2, 3, 4, 1).contiguous()
    other = torch.empty_like(field)
    for _ in range(steps):
        for source, target in zip(field.numpy(), other.numpy(), strict=True):
            run_jobs([[n] for n in range(0, source.shape[0], ROWS)], partial(_square, square_rows, source, target))
        field, other = other, field
    return field.permute(0, 4, 1, 2, 3).contiguous()


def _square(kernel: Callable[..., None], source: NDArray, target: NDArray, row: int) -> None:
    kernel(source, target, row, row + ROWS)
