"""Inference on a CPU: what lies between two convolutions of a decoder, without the tensors in between.

Exact up to rounding, and no approximation: a convolution of an up-sampled volume is computed from the coarse one
(``upsampled``), instance normalisation and activation read the volume twice and write it once, in place.

The kernels (``kernels``) need numba. In training those of ``gradients`` serve; elsewhere (tracing, GPUs,
odd widths) plain PyTorch does the same.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from common.compiled.jobs import run_jobs
from common.convolution.base import compiled_kernels, fits, flat_view, pool, split
from common.convolution.gradients import average_pooled, doubled
from common.convolution.in_place import conv_over
from common.convolution.upsampled import add_upsampled_conv

_ROWS = 2**14  # rows of one job of the normalisation


def applies(x: Tensor, channels: int) -> bool:
    """Tell whether the kernels take over for a result of ``channels`` channels computed from ``x``."""
    return fits(x, channels) and not torch.is_grad_enabled()


def instance_norm_leaky_(x: Tensor, eps: float, slope: float) -> Tensor:
    """Instance normalisation without scale, then LeakyReLU, in place on channels-last (B, C, X, Y, Z), C % 16 == 0."""
    for volume in x:
        _normalise(volume.permute(1, 2, 3, 0), eps, slope)
    return x


def _normalise(x: Tensor, eps: float, slope: float) -> None:
    kernels = compiled_kernels(x.dtype)
    channels = x.shape[3]
    rows = x.numel() // channels
    flat, jobs = flat_view(x), split(rows, -(-rows // _ROWS))
    # Sums of deviations from a value near the mean lose no digits.
    middle = x.view(rows, channels)[:: max(rows // 256, 1)].float().mean(dim=0)
    shift, totals = (-middle).numpy(), []

    def measure(job: tuple[int, int]) -> None:
        own = np.zeros(2 * channels)
        kernels.statistics(flat, channels, *job, shift, own)
        totals.append(own)

    run_jobs([[job] for job in jobs], measure)
    deviation, square = (np.sum(totals, axis=0) / rows).reshape(2, channels)
    scale = 1.0 / np.sqrt(np.maximum(square - deviation**2, 0.0) + eps)
    offset = (-(middle.numpy() + deviation) * scale).astype(np.float32)
    factor = scale.astype(np.float32)
    run_jobs(
        [[job] for job in jobs], lambda job: kernels.scale_shift_leaky(flat, channels, *job, factor, offset, slope)
    )


def conv_on_upsampled(
    coarse: Tensor, skip: Tensor, weight: Tensor, bias: Tensor | None, mode: str, slope: float = 1.0
) -> Tensor:
    """3x3x3 convolution of [up-sampled ``coarse``, ``skip``], then LeakyReLU.

    Args:
        coarse: (B, C, X, Y, Z).
        skip: (B, S, 2X, 2Y, 2Z), may be overwritten.
        weight: (O, C + S, 3, 3, 3).
        bias: (O,) or None.
        mode: "trilinear" (align_corners False) or "nearest".
        slope: of the LeakyReLU; 1 means none.

    Returns:
        (B, O, 2X, 2Y, 2Z).
    """
    channels = coarse.shape[1]
    if applies(skip, weight.shape[0]) and coarse.dtype in (torch.float32, torch.bfloat16):
        out = conv_over(skip, weight[:, channels:], bias).contiguous(memory_format=torch.channels_last_3d)
        add_upsampled_conv(out, coarse, weight[:, :channels], mode, slope)
        return out
    joined = [doubled(coarse, mode), skip]
    if torch.is_autocast_enabled(skip.device.type):  # joined in float32, the convolution would only cast it again
        joined = [x.to(torch.get_autocast_dtype(skip.device.type)) for x in joined]
    out = F.conv3d(torch.cat(joined, dim=1), weight, bias, padding=1)
    return F.leaky_relu_(out, slope) if slope != 1.0 else out


def _poolable(x: Tensor) -> bool:
    even = all(n % 2 == 0 for n in x.shape[2:])
    return even and fits(x, x.shape[1]) and x.is_contiguous(memory_format=torch.channels_last_3d)


def max_pool(x: Tensor) -> Tensor:
    """Return the largest value of every 2x2x2 cell: (B, C, X, Y, Z) to (B, C, X/2, Y/2, Z/2)."""
    return pool(x, "max_pool") if _poolable(x) and not torch.is_grad_enabled() else F.max_pool3d(x, 2)


def average_pool(x: Tensor) -> Tensor:
    """Return the mean of 3x3x3 at every second voxel, zeros outside counted; shapes as in ``max_pool``, even sides."""
    if not _poolable(x):
        return F.avg_pool3d(x, 3, stride=2, padding=1)
    return average_pooled(x) if torch.is_grad_enabled() and x.requires_grad else pool(x, "average_pool")


def conv_from_one(image: Tensor, weight: Tensor, bias: Tensor | None, slope: float) -> Tensor:
    """3x3x3 convolution of one channel (B, 1, X, Y, Z), then LeakyReLU: (B, C, X, Y, Z), channels-last.

    PyTorch returns the default layout for a single input channel and takes several times as long.
    """
    width = weight.shape[0]
    if bias is None or not applies(image, width):
        out = F.leaky_relu_(F.conv3d(image, weight, bias, padding=1), slope)
        return out.contiguous(memory_format=torch.channels_last_3d)
    batch, _, *sizes = image.shape
    kind = torch.bfloat16 if torch.is_autocast_enabled("cpu") else image.dtype
    kernels, out = compiled_kernels(kind), torch.empty(batch, *sizes, width, dtype=kind)
    taps = weight.float().permute(1, 2, 3, 4, 0).reshape(-1).numpy()
    start = bias.float().numpy()
    for volume, target in zip(F.pad(image.float(), (1, 1, 1, 1, 1, 1)), out, strict=True):
        flat, flat_out = flat_view(volume), flat_view(target)

        def run(planes: tuple[int, int], flat: Any = flat, flat_out: Any = flat_out) -> None:
            kernels.conv_from_one(flat, tuple(sizes), width, taps, start, slope, *planes, flat_out)

        run_jobs([[planes] for planes in split(sizes[0], 4 * torch.get_num_threads())], run)
    return out.permute(0, 4, 1, 2, 3)


def conv_to_three(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """3x3x3 convolution of (B, C, X, Y, Z) to a field (B, 3, X, Y, Z), in float32 or the weights' wider type.

    Three output channels fill a fifth of the vectors of a general convolution.
    """
    channels = x.shape[1]
    fits = bias is not None and x.is_contiguous(memory_format=torch.channels_last_3d) and applies(x, channels)
    if bias is None or not fits:
        return F.conv3d(x.to(weight.dtype), weight, bias, padding=1)
    batch, _, *sizes = x.shape
    kernels, out = compiled_kernels(x.dtype), torch.empty(batch, 3, *sizes)
    taps = weight.float().permute(2, 3, 4, 0, 1).reshape(-1).numpy()
    start = bias.float().numpy()
    for volume, target in zip(x.permute(0, 2, 3, 4, 1), out, strict=True):
        flat, flat_out = flat_view(volume), target.numpy().reshape(-1)

        def run(planes: tuple[int, int], flat: Any = flat, flat_out: Any = flat_out) -> None:
            kernels.conv_to_three(flat, tuple(sizes), channels, taps, start, *planes, flat_out)

        run_jobs([[planes] for planes in split(sizes[0], 4 * torch.get_num_threads())], run)
    return out
