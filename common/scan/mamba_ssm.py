"""The authors' CUDA kernel (mamba-ssm) behind the seam, where it is installed and works.

Imported when it is first asked for. Installations of it break in many ways (no ``selective_scan_cuda``, one built for
another torch, no ``triton`` or ``transformers`` for its own ``__init__``): each is reported as the reason why the
backend is unavailable. The kernel has no initial state and no gradient of the last state; those go to plain torch.
"""

import functools
import importlib
from collections.abc import Callable

import torch
from torch import Tensor

from common.scan.autograd import gradients_in_a_thread
from common.scan.chunked import Chunked
from common.scan.layout import state_dtype
from common.scan.seam import Backend, Gradients, Scan

INSTALL = "pip install mamba-ssm --no-build-isolation (needs nvcc and the torch that it will run with)"


@functools.cache
def _kernel() -> Callable[..., tuple[Tensor, Tensor]]:
    """The authors' function; whatever its import raises."""
    return importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn


def imports() -> tuple[bool, str]:
    """Whether mamba-ssm can be imported, and what came in the way."""
    try:
        _kernel()
        version = getattr(importlib.import_module("mamba_ssm"), "__version__", "of unknown version")
    except (
        Exception
    ) as error:  # ImportError, OSError, RuntimeError of an ABI mismatch, SyntaxError of a half-copied file
        return False, f"mamba-ssm cannot be imported ({type(error).__name__}: {error}); {INSTALL}"
    return True, f"mamba-ssm {version}"


def scan_with_kernel(scan: Scan) -> tuple[Tensor, Tensor]:
    """Call the kernel with the dtypes that it insists on: one for the sequences, float32 for the parameters."""
    u = scan.u
    delta, B, C = (t.to(u.dtype) for t in (scan.delta, scan.B, scan.C))
    D, delta_bias = (None if t is None else t.float() for t in (scan.D, scan.delta_bias))
    z = None if scan.z is None else scan.z.to(u.dtype)
    out, last_state = _kernel()(u, delta, scan.A.float(), B, C, D, z, delta_bias, scan.delta_softplus, True)
    return out, last_state


class MambaSSM(Backend):
    """The authors' kernel behind the seam; nothing is saved, the backward runs the forward kernel again."""

    def availability(self, device: str) -> tuple[bool, str]:
        """CUDA tensors only, and the import of mamba-ssm must survive."""
        if device != "cuda":
            return False, f"computes on NVIDIA GPUs only, the tensors are on {device}"
        return imports()

    def supports(self, dtype: torch.dtype, states: int, groups: int) -> bool:
        """Everything but float64; up to 256 states."""
        return dtype != torch.float64 and states <= 256

    @torch.no_grad()
    def forward(self, scan: Scan, save: bool) -> tuple[Tensor, Tensor, Tensor]:
        """By the kernel, or by plain torch from an initial state."""
        if scan.initial_state is not None:
            return Chunked().forward(scan, save=False)
        out, last_state = scan_with_kernel(scan)
        return out, last_state.float(), scan.u.new_empty(0, dtype=state_dtype(scan.u))

    def backward(self, scan: Scan, saved: Tensor, grad_out: Tensor, grad_last_state: Tensor | None) -> Gradients:
        """By the kernel's own backward, or by plain torch where states are involved."""
        if grad_last_state is not None or scan.initial_state is not None:
            return Chunked().backward(scan, saved, grad_out, grad_last_state)
        return gradients_in_a_thread(scan_with_kernel, scan, (grad_out, None))
