"""The authors' CUDA kernel (mamba-ssm) behind the seam, where it is installed and works.

Imported when it is first asked for. Installations of it break in many ways (no ``selective_scan_cuda``, one built for
another torch, no ``triton`` or ``transformers`` for its own ``__init__``): each is reported as the reason why the
backend is unavailable. The kernel has no initial state and no gradient of the last state; those go to plain torch.
"""

import functools
import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from common.scan import chunked
from common.scan.operator import state_dtype

INSTALL = "pip install mamba-ssm --no-build-isolation (needs nvcc and the torch that it will run with)"


@functools.cache
def _kernel() -> Callable[..., Tensor]:
    """The authors' function; whatever its import raises."""
    return importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn


def availability(device: str) -> tuple[bool, str]:
    """CUDA tensors only, and the import of mamba-ssm must survive."""
    if device != "cuda":
        return False, f"computes on NVIDIA GPUs only, the tensors are on {device}"
    return imports()


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


def supports(dtype: torch.dtype, states: int, groups: int) -> bool:
    """Everything but float64; up to 256 states."""
    return dtype != torch.float64 and states <= 256


def saved_shape(batch: int, channels: int, length: int, states: int) -> tuple[int, ...]:
    """Nothing is saved: the backward runs the forward kernel again."""
    return (0,)


def _scan(u, delta, A, B, C, D, z, delta_bias, *, delta_softplus):
    """Call the kernel with the dtypes that it insists on: one for the sequences, float32 for the parameters."""
    delta, B, C = (t.to(u.dtype) for t in (delta, B, C))
    D, delta_bias = (None if t is None else t.float() for t in (D, delta_bias))
    z = None if z is None else z.to(u.dtype)
    return _kernel()(u, delta, A.float(), B, C, D, z, delta_bias, delta_softplus, True)


@torch.no_grad()
def forward(u, delta, A, B, C, D, z, delta_bias, initial_state, *, delta_softplus, save):
    """The seam's forward; see ``common.scan.selection``."""
    if initial_state is not None:
        options = {"delta_softplus": delta_softplus, "save": False}
        return chunked.forward(u, delta, A, B, C, D, z, delta_bias, initial_state, **options)
    out, last_state = _scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus=delta_softplus)
    return out, last_state.float(), u.new_empty(0, dtype=state_dtype(u))


def backward(grad_out, grad_last_state, saved, *inputs, delta_softplus):
    """The seam's backward, in a thread of its own since the calling operator switched autograd off here."""
    if grad_last_state is not None or inputs[-1] is not None:
        return chunked.backward(grad_out, grad_last_state, saved, *inputs, delta_softplus=delta_softplus)
    device = inputs[0].device

    def run() -> list[Tensor | None]:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        leaves = [None if t is None else t.detach().requires_grad_() for t in inputs[:-1]]
        wanted = [t for t in leaves if t is not None]
        found = iter(torch.autograd.grad(_scan(*leaves, delta_softplus=delta_softplus)[0], wanted, grad_out))
        return [None if t is None else next(found) for t in leaves] + [None]

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(run).result()
