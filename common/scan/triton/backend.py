"""Triton backend of the selective scan: any GPU that Triton compiles for (NVIDIA, AMD), forward, backward and 3D walks.

The kernels are in ``forward`` and ``backward``, what they share in ``tiles``, the choice of tile
shapes in ``plan``, the launches in ``launch``. This module plugs them into the seam of
``common.scan.selection``; ``triton`` is imported when the first scan runs. With ``TRITON_INTERPRET=1`` set before that,
Triton's interpreter runs the kernels on the CPU, for tests.

State, decays and all sums are float32 whatever the inputs' dtype is (float16, bfloat16, float32; no float64). Gradients
are sums in a fixed order: the same inputs give the same bits. Extra memory: one state per chunk (kept for the
backward), and in the backward a scratch area of a fixed number of programs, a slice of dB and dC per block of channels
and a slice of dA per chunk.
"""

import importlib.util
import os
import shutil

import torch

from common.scan.operator import empty_like_sequence
from common.scan.triton.launch import Job, first_states, on_device, saved_shape, write_gradients, write_outputs
from common.scan.triton.plan import walk_over

__all__ = [
    "availability",
    "backward",
    "cross_backward",
    "cross_forward",
    "cross_saved_shape",
    "forward",
    "interpreting",
    "saved_shape",
    "supports",
]


def interpreting() -> bool:
    """Whether Triton's interpreter is switched on by its environment variable."""
    return os.environ.get("TRITON_INTERPRET", "0") in ("1", "true", "on")


def availability(device: str) -> tuple[bool, str]:
    """On GPUs with ``triton`` and a C compiler (its launcher needs one); on the CPU for the interpreter alone."""
    if importlib.util.find_spec("triton") is None:
        return False, "triton is not installed; pip install triton"
    import triton

    found = f"triton {triton.__version__}"
    if interpreting():
        return True, f"{found}, interpreted on the CPU: for tests"
    if device != "cuda":
        return False, f"{found} compiles for GPUs only, the tensors are on {device}"
    if not torch.cuda.is_available():
        return False, f"{found}, but torch {torch.__version__} sees no GPU"
    major, minor = torch.cuda.get_device_capability()
    if torch.version.hip is None and (major, minor) < (7, 5):
        return False, f"{found} needs compute capability 7.5, this GPU has {major}.{minor}"
    if "CC" not in os.environ and not (shutil.which("gcc") or shutil.which("clang")):
        return False, f"{found} needs a C compiler for its launcher; install gcc or set CC"
    return True, f"{found} on {torch.cuda.get_device_name()}"


def supports(dtype: torch.dtype, states: int, groups: int) -> bool:
    """Everything but float64; up to 256 states."""
    return dtype != torch.float64 and states <= 256


@torch.no_grad()
def forward(u, delta, A, B, C, D, z, delta_bias, initial_state, *, delta_softplus, save):
    """The seam's forward; see ``common.scan.selection``."""
    job = Job(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    out = empty_like_sequence(u)
    with on_device(u):
        states = first_states(job, initial_state)
        write_outputs(job, states, out)
    last_state = states[:, -1].transpose(1, 2).clone(memory_format=torch.contiguous_format)
    return out, last_state, states if save else u.new_empty(0, dtype=torch.float32)


@torch.no_grad()
def backward(grad_out, grad_last_state, saved, u, delta, A, B, C, D, z, delta_bias, initial_state, *, delta_softplus):
    """The seam's backward; see ``common.scan.selection``."""
    job = Job(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    du, ddelta = empty_like_sequence(u), empty_like_sequence(delta)
    dz = None if z is None else empty_like_sequence(z)
    grad_out = grad_out.contiguous() if 0 in grad_out.stride() else grad_out  # expanded, from a plain sum
    with on_device(u):
        states = saved if saved.numel() else first_states(job, initial_state)
        rest = write_gradients(job, states, grad_out, grad_last_state, du, ddelta, dz)
    found = (du, ddelta, rest.A, rest.B, rest.C, rest.D, dz, rest.bias, rest.initial_state)
    inputs = (u, delta, A, B, C, D, z, delta_bias, initial_state)
    return _cast(inputs, found)


def _cast(inputs, found):
    """Gradients in the dtype of their inputs, None for inputs that were not given."""
    return [None if t is None else g.to(t.dtype) for t, g in zip(inputs, found, strict=True)]


def _volume_jobs(u, delta, A, B, C, D, delta_bias, orders, delta_softplus) -> list[Job]:
    """One scan per walk; the tensors stay in the volume's order, as views where their strides allow."""
    shape, channels = u.shape[2:], u.shape[1]
    u, delta, B, C = u.flatten(2), delta.flatten(3), B.flatten(3), C.flatten(3)
    jobs = []
    for k, order in enumerate(orders):
        rows = slice(k * channels, (k + 1) * channels)
        D_k, bias_k = (None if t is None else t[rows] for t in (D, delta_bias))
        walks = (walk_over(order.read, shape), walk_over(order.write, shape))
        one = slice(k, k + 1)
        jobs.append(Job(u, delta[:, k], A[rows], B[:, one], C[:, one], D_k, None, bias_k, delta_softplus, *walks))
    return jobs


def _sum_buffer(u: torch.Tensor) -> torch.Tensor:
    """Where the results of several walks are added up, in float32, laid out as u."""
    return torch.empty_like(empty_like_sequence(u), dtype=torch.float32)


def cross_saved_shape(batch: int, channels: int, length: int, states: int, walks: int) -> tuple[int, ...]:
    """The shape of what ``cross_forward`` saves."""
    return (walks, *saved_shape(batch, channels, length, states))


@torch.no_grad()
def cross_forward(u, delta, A, B, C, D, delta_bias, orders, *, delta_softplus, save):
    """Scan a volume along several walks without permuting it; arguments as ``cross_scan``. Returns (out, saved)."""
    jobs = _volume_jobs(u, delta, A, B, C, D, delta_bias, orders, delta_softplus)
    total, kept = _sum_buffer(jobs[0].u), []
    with on_device(u):
        for job in jobs:
            states = first_states(job, None)
            write_outputs(job, states, total, add=job is not jobs[0])
            kept += [states] if save else []
    saved = torch.stack(kept) if save else u.new_empty(0, dtype=torch.float32)
    return total.to(u.dtype).unflatten(2, u.shape[2:]), saved


@torch.no_grad()
def cross_backward(grad_out, saved, u, delta, A, B, C, D, delta_bias, orders, *, delta_softplus):
    """Gradients of u, delta, A, B, C, D and delta_bias (None where not given); ``saved`` may be empty."""
    jobs = _volume_jobs(u, delta, A, B, C, D, delta_bias, orders, delta_softplus)
    du, ddelta = _sum_buffer(jobs[0].u), torch.empty_like(delta, memory_format=torch.contiguous_format).flatten(3)
    parts = []
    with on_device(u):
        for k, job in enumerate(jobs):
            states = saved[k] if saved.numel() else first_states(job, None)
            parts.append(write_gradients(job, states, grad_out.flatten(2), None, du, ddelta[:, k], None, add=k > 0))
    dA, dD, dbias = (torch.cat([getattr(part, name) for part in parts]) for name in ("A", "D", "bias"))
    dB, dC = (torch.cat([getattr(part, name) for part in parts], dim=1) for name in ("B", "C"))
    found = (
        du.unflatten(2, u.shape[2:]),
        ddelta.view(delta.shape),
        dA,
        dB.reshape(B.shape),
        dC.reshape(C.shape),
        dD,
        dbias,
    )
    inputs = (u, delta, A, B, C, D, delta_bias)
    return _cast(inputs, found)
