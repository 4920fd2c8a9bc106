"""Inference on a CPU: a 3x3x3 convolution of a doubled volume, without the doubled volume.

Exact up to rounding, and no approximation: the convolution is linear in the coarse volume. Along the first axis
interpolation and taps are folded into the weights, one matrix for each of the two fine planes of a coarse one. Along
the other axes the products of weights and coarse rows are interpolated and shifted straight into the result, one axis
after the other, while they are in cache: a fifth of the multiplications, and neither the doubled nor the joined volume
ever exists.
"""

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.compiled.jobs import run_jobs
from common.convolution.base import INTERPOLATION, compiled_kernels, flat_view, split

_CACHED = 2**18  # products of one block and thread: a megabyte in float32, which the second-level cache holds


def add_upsampled_conv(out: Tensor, coarse: Tensor, weight: Tensor, mode: str, slope: float) -> None:
    """Add the 3x3x3 convolution of the doubled ``coarse`` to ``out`` in place, then apply LeakyReLU.

    Args:
        out: (B, O, 2X, 2Y, 2Z), channels-last, float32 or bfloat16, O a multiple of 16. The products are rounded to
            its type.
        coarse: (B, C, X, Y, Z).
        weight: (O, C, 3, 3, 3).
        mode: "trilinear" (align_corners False) or "nearest".
        slope: of the LeakyReLU; 1 leaves the sum as it is.
    """
    with torch.autocast("cpu", enabled=False):
        planes = coarse.permute(0, 2, 3, 4, 1).to(out.dtype)
        for volume, target in zip(planes, out.permute(0, 2, 3, 4, 1), strict=True):
            _add_one(target, volume, weight.float(), mode, slope)


def _add_one(out: Tensor, planes: Tensor, weight: Tensor, mode: str, slope: float) -> None:
    """``add_upsampled_conv`` of one volume: out (2X, 2Y, 2Z, O), planes (X, Y, Z, C)."""
    nx, ny, nz, channels = planes.shape
    threads = torch.get_num_threads()
    rows = min(max(threads * _CACHED // (nz * 9 * weight.shape[0]), 2 * threads), ny)
    # A row and one on each side of it are needed; all of them carry the 9 taps of the other two axes.
    products = torch.empty((rows + 2) * nz, 9 * weight.shape[0], dtype=out.dtype)
    finish = _Finisher(out, products, mode, slope)
    ends = {(x == 0, x == nx - 1) for x in (0, min(1, nx - 1), nx - 1)}
    folded = {end: _folded(weight, mode, *end).to(out.dtype) for end in ends}
    for x in range(nx):
        window = [max(x - 1, 0), x, min(x + 1, nx - 1)]
        columns = torch.cat([planes[i] for i in window], dim=2).view(ny * nz, 3 * channels)
        for half, taps in enumerate(folded[x == 0, x == nx - 1]):
            # Repetition needs two of the three planes.
            needed = slice(None) if mode == "trilinear" else slice(half * channels, (half + 2) * channels)
            for begin in range(0, ny, rows):
                end = min(begin + rows, ny)
                first, last = max(begin - 1, 0), min(end + 1, ny)
                block = products[: (last - first) * nz]
                torch.mm(columns[first * nz : last * nz, needed], taps[needed], out=block)
                finish(2 * x + half, first, begin, end)


class _Finisher:
    """The kernel that interpolates and shifts the products along the last two axes into ``out``."""

    def __init__(self, out: Tensor, products: Tensor, mode: str, slope: float) -> None:
        self.kernel = compiled_kernels(out.dtype).upsampled_taps
        self.size = (out.shape[1] // 2, out.shape[2] // 2, out.shape[3])
        self.out, self.products = flat_view(out), flat_view(products)
        self.near, self.far = INTERPOLATION[mode]
        self.slope = slope

    def __call__(self, plane: int, first: int, begin: int, end: int) -> None:
        """Add coarse rows begin .. end to a fine plane; the products hold the rows from ``first`` on."""
        ny, nz, width = self.size
        start = plane * 4 * ny * nz * width

        def run(rows: tuple[int, int]) -> None:
            scratch = np.empty(3 * nz * width, np.float32)
            self.kernel(
                self.products, first, ny, nz, width, *rows, self.near, self.far, self.out, start, self.slope, scratch
            )

        jobs = [[(begin + a, begin + b)] for a, b in split(end - begin, torch.get_num_threads())]
        run_jobs(jobs, run)


def _folded(weight: Tensor, mode: str, first: bool, last: bool) -> Tensor:
    """The matrices (2, 3 C, 9 O) from coarse planes x - 1, x, x + 1 to the taps, for each fine plane of a coarse one.

    ``first`` and ``last`` say that the coarse plane is an end of the volume, beyond which the fine volume is zero.
    """
    share = torch.from_numpy(_plane_weights(mode, first, last)).to(weight)
    folded = torch.einsum("pjk,ockyz->pjcyzo", share, weight)
    return folded.reshape(2, 3 * weight.shape[1], 9 * weight.shape[0])


@functools.cache
def _plane_weights(mode: str, first: bool, last: bool) -> np.ndarray[Any, Any]:
    """Share (2, 3, 3) of coarse plane x + j in what tap k of fine plane 2x + p sees: [p, j + 1, k]."""
    near, far = INTERPOLATION[mode]
    lowest, highest = 0 if first else -1, 0 if last else 1
    share = np.zeros((2, 3, 3))
    for half in range(2):
        for tap in range(3):
            seen = half + tap - 1  # fine plane, from 2x on
            plane, neighbour = seen // 2, seen // 2 + (1 if seen % 2 else -1)
            if (first and seen < 0) or (last and seen > 1):
                continue  # the convolution's border of zeros
            share[half, min(max(plane, lowest), highest) + 1, tap] += near
            share[half, min(max(neighbour, lowest), highest) + 1, tap] += far
    return share
