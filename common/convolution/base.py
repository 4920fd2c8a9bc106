"""What the compiled passes of ``ops`` and their gradients share: when they apply, and how their kernels are run."""

import functools
import importlib
import itertools
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.compiled.compiling import compile_notice, importable
from common.compiled.jobs import run_jobs
from common.compiled.width import WIDTH

# Weights of the near and the far coarse neighbour of a fine voxel.
INTERPOLATION = {"trilinear": (0.75, 0.25), "nearest": (1.0, 0.0)}


@functools.cache
def compiled_kernels(kind: torch.dtype) -> ModuleType:
    """Return the kernels, compiled or loaded from disk for one type of volume."""
    kernels = importlib.import_module("common.convolution.kernels")
    with compile_notice(f"of decoders ({kind})"):
        for name, signature in kernels.signatures(kind == torch.bfloat16).items():
            getattr(kernels, name).compile(signature)
    return kernels


def fits(x: Tensor, channels: int) -> bool:
    """Tell whether the kernels can compute a result of ``channels`` channels from ``x``, gradients aside."""
    recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()
    kinds = (torch.float32, torch.bfloat16)
    return x.device.type == "cpu" and x.dtype in kinds and channels % WIDTH == 0 and not recorded and importable()


def flat_view(x: Tensor) -> np.ndarray[Any, Any]:
    """View a channels-last volume (X, Y, Z, C) as a flat array, bfloat16 as uint16."""
    if x.dtype == torch.bfloat16:
        return x.view(torch.int16).numpy().view(np.uint16).reshape(-1)
    return x.numpy().reshape(-1)


def split(total: int, parts: int) -> list[tuple[int, int]]:
    """Cut 0 .. total into about ``parts`` ranges of equal length."""
    edges = [total * i // parts for i in range(parts + 1)]
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a]


def pool(x: Tensor, kernel: str) -> Tensor:
    """Run a pooling kernel by name on channels-last (B, C, X, Y, Z), even sides; returns (B, C, X/2, Y/2, Z/2)."""
    kernels = compiled_kernels(x.dtype)
    batch, channels, *sizes = x.shape
    out = torch.empty(batch, *[n // 2 for n in sizes], channels, dtype=x.dtype)
    for volume, target in zip(x.permute(0, 2, 3, 4, 1), out, strict=True):
        flat, flat_out = flat_view(volume), flat_view(target)

        def run(planes: tuple[int, int], flat: Any = flat, flat_out: Any = flat_out) -> None:
            getattr(kernels, kernel)(flat, tuple(sizes), channels, *planes, flat_out)

        run_jobs([[planes] for planes in split(sizes[0] // 2, 4 * torch.get_num_threads())], run)
    return out.permute(0, 4, 1, 2, 3)
