"""The causal convolution in front of a scan: the authors' CUDA kernel (causal-conv1d) where it is installed and works.

The environment variable ``CAUSAL_CONV1D=off`` keeps to PyTorch's convolution.
"""

import functools
import importlib
import os
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from common.switches import switch

INSTALL = "pip install causal-conv1d --no-build-isolation (needs nvcc and the torch that it will run with)"
WIDTHS = (2, 3, 4)  # of the kernel
TYPES = (torch.float32, torch.float16, torch.bfloat16)


@functools.cache
def _kernel() -> Callable[..., Tensor]:
    """The authors' function; whatever its import raises."""
    return importlib.import_module("causal_conv1d").causal_conv1d_fn


def imports() -> tuple[bool, str]:
    """Whether causal-conv1d can be imported, and what came in the way."""
    try:
        _kernel()
        version = getattr(importlib.import_module("causal_conv1d"), "__version__", "of unknown version")
    except Exception as error:  # ImportError, OSError, RuntimeError of an ABI mismatch, SyntaxError of half a file
        return False, f"causal-conv1d cannot be imported ({type(error).__name__}: {error}); {INSTALL}"
    return True, f"causal-conv1d {version}"


def availability(device: str) -> tuple[bool, str]:
    """Whether the authors' kernel computes on a device type, and why."""
    if device != "cuda":
        return False, f"causal-conv1d computes on NVIDIA GPUs only, the tensors are on {device}"
    if not switch(os.environ.get("CAUSAL_CONV1D", "on"), "CAUSAL_CONV1D"):
        return False, "CAUSAL_CONV1D forbids causal-conv1d"
    return imports()


def causal_convolution(u: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """SiLU of a depth-wise convolution in which a token sees itself and the tokens before it.

    Args:
        u: (batch, channels, L).
        weight: (channels, 1, width); the last tap is the token itself.
        bias: (channels,).

    Returns:
        (batch, channels, L).
    """
    length, width = u.shape[-1], weight.shape[-1]
    if width in WIDTHS and u.dtype in TYPES and availability(u.device.type)[0]:
        if u.stride(2) != 1 and (u.shape[1] % 8 or u.stride(0) % 8 or u.stride(2) % 8):
            u = u.contiguous()  # the kernel reads channel-last tokens in steps of eight
        return _kernel()(u, weight.squeeze(1), bias, activation="silu")
    return F.silu(F.conv1d(u, weight, bias, padding=width - 1, groups=u.shape[1])[..., :length])
