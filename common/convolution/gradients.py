"""Gradients through the compiled kernels: doubling a grid and pooling it, on channels-last memory as it lies.

PyTorch's gradient of a trilinear doubling copies to the default layout and back and takes ten times as long. Both
operations are linear: a gradient of the gradient is taken of PyTorch's own.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from common.compiled.jobs import run_jobs
from common.convolution.base import INTERPOLATION, compiled_kernels, fits, flat_view, pool, split


def doubled(x: Tensor, mode: str) -> Tensor:
    """Double the grid of (B, C, X, Y, Z), ``mode`` "trilinear" (align_corners False) or "nearest"."""
    if torch.is_grad_enabled() and x.requires_grad and fits(x, x.shape[1]):
        return _Doubling.apply(x, mode)
    return _double(x, mode)


def average_pooled(x: Tensor) -> Tensor:
    """Mean of 3x3x3 at every second voxel of channels-last (B, C, X, Y, Z), even sides and a width that fits."""
    return _AveragePool.apply(x)


def _double(x: Tensor, mode: str) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode=mode)


def _average(x: Tensor) -> Tensor:
    return F.avg_pool3d(x, 3, stride=2, padding=1)


class _Doubling(torch.autograd.Function):
    """``F.interpolate`` by two with a compiled gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mode: str) -> Tensor:
        ctx.mode, ctx.shape = mode, x.shape
        return _double(x, mode)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        if torch.is_grad_enabled():
            return _of_linear(lambda x: _double(x, ctx.mode), ctx.shape, gradient), None
        return _doubling_gradient(gradient, ctx.mode), None


class _AveragePool(torch.autograd.Function):
    """The mean of 3x3x3 at every second voxel, of channels-last (B, C, X, Y, Z) with even sides."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return pool(x, "average_pool")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        if torch.is_grad_enabled():
            return _of_linear(_average, ctx.shape, gradient)
        batch, channels, *sizes = ctx.shape
        kernels = compiled_kernels(gradient.dtype)
        out = torch.empty(batch, *sizes, channels, dtype=gradient.dtype)
        for volume, target in zip(gradient.permute(0, 2, 3, 4, 1).contiguous(), out, strict=True):
            flat, flat_out = flat_view(volume), flat_view(target)

            def run(planes: tuple[int, int], flat: Any = flat, flat_out: Any = flat_out) -> None:
                kernels.average_pool_backward(flat, tuple(sizes), channels, *planes, flat_out)

            run_jobs([[planes] for planes in split(sizes[0] // 2, 4 * torch.get_num_threads())], run)
        return out.permute(0, 4, 1, 2, 3)


def _of_linear(function: Callable[[Tensor], Tensor], shape: torch.Size, gradient: Tensor) -> Tensor:
    """Gradient to the input of a linear function, itself differentiable."""
    x = gradient.new_zeros(shape).requires_grad_()
    return torch.autograd.grad(function(x), x, gradient, create_graph=True)[0]


def _doubling_gradient(gradient: Tensor, mode: str) -> Tensor:
    """Gradient to the coarse volume (B, C, X, Y, Z) of that to the fine one (B, C, 2X, 2Y, 2Z)."""
    near, far = INTERPOLATION[mode]
    batch, channels, *fine = gradient.shape
    sizes = tuple(n // 2 for n in fine)
    kernels = compiled_kernels(gradient.dtype)
    out = torch.empty(batch, *sizes, channels, dtype=gradient.dtype)
    for volume, target in zip(gradient.permute(0, 2, 3, 4, 1), out, strict=True):
        flat, pitch = _with_pitch(volume)
        flat_out = flat_view(target)

        def run(planes: tuple[int, int], flat: Any = flat, pitch: int = pitch, flat_out: Any = flat_out) -> None:
            kernels.doubled_backward(flat, sizes, pitch, channels, *planes, near, far, flat_out)

        run_jobs([[planes] for planes in split(sizes[0], 4 * torch.get_num_threads())], run)
    return out.permute(0, 4, 1, 2, 3)


def _with_pitch(volume: Tensor) -> tuple[Any, int]:
    """View (X, Y, Z, C) as a flat array with a fixed distance from voxel to voxel.

    The gradient of a concatenation's first part is such a slice of a wider volume, and needs no copy.
    """
    nx, ny, nz, channels = volume.shape
    pitch = volume.stride(2)
    if volume.stride() != (ny * nz * pitch, nz * pitch, pitch, 1) or pitch < channels:
        return flat_view(volume.contiguous()), channels
    return flat_view(volume.as_strided(((nx * ny * nz - 1) * pitch + channels,), (1,))), pitch
