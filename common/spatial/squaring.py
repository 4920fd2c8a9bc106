"""Scaling and squaring through the compiled kernels on the CPU: a third of PyTorch's time, forward and backward."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.compiled.compiling import importable
from common.compiled.jobs import run_jobs

#: Rows of one job; a volume of 96 rows keeps two threads evenly busy.
ROWS = 8


def can_square_compiled(field: Tensor) -> bool:
    """Whether the kernels apply: a float32 field on the CPU and no graph being recorded for export."""
    recording = torch.jit.is_tracing() or torch.compiler.is_compiling()
    return field.device.type == "cpu" and field.dtype == torch.float32 and not recording and importable()


def square_compiled(velocity: Tensor, steps: int, plain: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Compose ``velocity / 2**steps`` with itself ``steps`` times, zero outside of the grid.

    Args:
        velocity: (B, 3, X, Y, Z) float32 in voxels; may require a gradient.
        steps: number of squarings.
        plain: the same in PyTorch, of which a gradient is taken that must itself be differentiable.

    Returns:
        (B, 3, X, Y, Z), equal to ``integrate`` up to rounding.
    """
    if torch.is_grad_enabled() and velocity.requires_grad:
        return _Squaring.apply(velocity, steps, plain)
    field = _scaled(velocity, steps)
    other = torch.empty_like(field)
    for _ in range(steps):
        field, other = _square(field, other), field
    return field.permute(0, 4, 1, 2, 3).contiguous()


class _Squaring(torch.autograd.Function):
    """The squarings with their gradient; between the passes only the field before each squaring is kept."""

    @staticmethod
    def forward(ctx: Any, velocity: Tensor, steps: int, plain: Callable[[Tensor, int], Tensor]) -> Tensor:
        fields = [_scaled(velocity, steps)]
        for _ in range(steps):
            fields.append(_square(fields[-1], torch.empty_like(fields[-1])))
        ctx.save_for_backward(velocity, *fields[:-1])
        ctx.steps, ctx.plain = steps, plain
        return fields[-1].permute(0, 4, 1, 2, 3).contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        velocity, *fields = ctx.saved_tensors
        if torch.is_grad_enabled():  # the caller wants to differentiate the gradient
            ddf = ctx.plain(velocity, ctx.steps)
            return torch.autograd.grad(ddf, velocity, gradient, create_graph=True)[0], None, None
        total = gradient.float().permute(0, 2, 3, 4, 1).contiguous()
        for field in reversed(fields):
            pairs = zip(field.numpy(), total.numpy(), strict=True)
            total = torch.stack([torch.from_numpy(_square_backward(*pair)) for pair in pairs])
        return (total / float(2**ctx.steps)).permute(0, 4, 1, 2, 3), None, None


def _scaled(velocity: Tensor, steps: int) -> Tensor:
    """``velocity / 2**steps`` with channels last: a corner of a sampling is one short read instead of three."""
    return (velocity.detach() / float(2**steps)).permute(0, 2, 3, 4, 1).contiguous()


def _square(field: Tensor, target: Tensor) -> Tensor:
    """Write one squaring of (B, X, Y, Z, 3) to ``target``; return it."""
    from common.spatial.kernels import square_rows

    for source, result in zip(field.numpy(), target.numpy(), strict=True):
        run_jobs([[n] for n in range(0, source.shape[0], ROWS)], partial(_rows, square_rows, source, result))
    return target


def _rows(kernel: Callable[..., None], source: NDArray, target: NDArray, row: int) -> None:
    kernel(source, target, row, row + ROWS)


def _square_backward(field: NDArray, gradient: NDArray) -> NDArray:
    """Return the gradient to ``field`` of one squaring, all (X, Y, Z, 3).

    Displaced positions write into each other's rows: every thread has one slab of rows and its own sum, as long as its
    displacements reach; the sums are joined in order, so that the same number of threads gives the same bits.
    """
    from common.spatial.kernels import square_rows_backward

    rows = field.shape[0]
    parts = min(torch.get_num_threads(), -(-rows // ROWS))
    edges = [rows * i // parts for i in range(parts + 1)]
    sums: list[tuple[int, NDArray]] = [(0, field)] * parts

    def run(part: int) -> None:
        start, stop = edges[part], edges[part + 1]
        first, last = _reach(field, start, stop)
        sums[part] = first, np.zeros((last - first, *field.shape[1:]), np.float32)
        square_rows_backward(field, gradient, sums[part][1], start, stop, first)

    run_jobs([[part] for part in range(parts)], run)
    if parts == 1:
        return sums[0][1]
    total = np.zeros_like(field)
    for first, share in sums:
        total[first : first + len(share)] += share
    return total


def _reach(field: NDArray, start: int, stop: int) -> tuple[int, int]:
    """First and one past the last row that positions displaced from rows start .. stop read, themselves included."""
    rows = field.shape[0]
    if stop - start == rows:
        return 0, rows
    low, high = float(field[start:stop, ..., 0].min()), float(field[start:stop, ..., 0].max())
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0, rows
    # One row more on either side covers the rounding of positions in float32.
    first, last = start + math.floor(low) - 1, stop + math.floor(high) + 2
    return min(max(first, 0), start), max(min(last, rows), stop)
