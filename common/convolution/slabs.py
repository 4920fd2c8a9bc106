"""Running a part of a network in slabs of the volume.

At full resolution a decoder's features, not its weights, fill the memory. Where no gradient is asked for, a chain of
convolutions can be run slab by slab along the first spatial axis: every slab brings a halo as wide as the chain's
reach, and what the halo spoils is cut off. The result is that of the whole volume.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

SLAB_VOXELS = 2**20  # voxels of one slab: 64 MB for 16 channels in float32


def can_run_in_slabs(module_training: bool, voxels: int) -> bool:
    """Whether to cut a volume of ``voxels`` voxels: inference only, not while a graph is recorded, and worth it."""
    recorded = torch.is_grad_enabled() or torch.jit.is_tracing() or torch.compiler.is_compiling()
    return not (module_training or recorded) and voxels > 2 * SLAB_VOXELS


def run_in_slabs(function: Callable[..., Tensor], inputs: Sequence[Tensor], halo: int, rows: int) -> Tensor:
    """Apply ``function`` to slabs along the first spatial axis and put the results together.

    Args:
        function: takes one slab of every input, returns (B, C, x', y', z'); x' is a fixed multiple of the slab's rows.
        inputs: (B, C_i, X_i, Y_i, Z_i); the first has the fewest rows and every other X_i is a multiple of its X.
        halo: rows of the first input that a slab is widened by on both sides (less at the ends of the volume).
        rows: rows of the first input in one slab.

    Returns:
        (B, C, x, y, z), equal to ``function(*inputs)`` when nothing reaches further than the halo.
    """
    total = inputs[0].shape[2]
    out: Tensor | None = None
    for start in range(0, total, rows):
        stop = min(start + rows, total)
        low, high = max(start - halo, 0), min(stop + halo, total)
        scales = [x.shape[2] // total for x in inputs]
        slab = function(*[x[:, :, low * s : high * s] for x, s in zip(inputs, scales, strict=True)])
        scale = slab.shape[2] // (high - low)
        if out is None:
            size = (*slab.shape[:2], total * scale, *slab.shape[3:])
            out = torch.empty(size, dtype=slab.dtype, device=slab.device, memory_format=_memory_format(slab))
        out[:, :, start * scale : stop * scale] = slab[:, :, (start - low) * scale : (stop - low) * scale]
    assert out is not None
    return out


def _memory_format(x: Tensor) -> torch.memory_format:
    last = torch.channels_last_3d
    return last if x.is_contiguous(memory_format=last) else torch.contiguous_format


def slab_rows(volume: Sequence[int], scale: int = 1) -> int:
    """Rows of a grid (X, Y, Z) that make one slab when the finest features are ``scale`` times as fine."""
    return max(2, SLAB_VOXELS // (scale**3 * volume[1] * volume[2]))
