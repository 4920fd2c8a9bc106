"""Triton backend of the selective scan: any GPU that Triton compiles for (NVIDIA, AMD), forward, backward and 3D walks.

The kernels are in ``forward`` and ``backward``, what they share in ``tiles``, the choice of tile
shapes in ``plan``, the launches in ``launch``. This module plugs them into the seam of
``common.scan.seam``; ``triton`` is imported when the first scan runs. With ``TRITON_INTERPRET=1`` set before that,
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
from torch import Tensor

from common.scan.layout import empty_like_sequence
from common.scan.seam import Backend, CrossScan, Gradients, Scan
from common.scan.triton.launch import WalkedScan, first_states, on_device, saved_shape, write_gradients, write_outputs
from common.scan.triton.plan import walk_over


def interpreting() -> bool:
    """Whether Triton's interpreter is switched on by its environment variable."""
    return os.environ.get("TRITON_INTERPRET", "0") in ("1", "true", "on")


def _walked_scans(scan: CrossScan) -> list[WalkedScan]:
    """One scan per walk; the tensors stay in the volume's order, as views where their strides allow."""
    channels = scan.u.shape[1]
    u, delta, B, C = scan.u.flatten(2), scan.delta.flatten(3), scan.B.flatten(3), scan.C.flatten(3)
    walked = []
    for k, order in enumerate(scan.orders):
        rows, one = slice(k * channels, (k + 1) * channels), slice(k, k + 1)
        D, bias = (None if t is None else t[rows] for t in (scan.D, scan.delta_bias))
        inputs = Scan(
            u, delta[:, k], scan.A[rows], B[:, one], C[:, one], D, delta_bias=bias, delta_softplus=scan.delta_softplus
        )
        walked.append(WalkedScan(inputs, walk_over(order.read, scan.shape), walk_over(order.write, scan.shape)))
    return walked


def _sum_buffer(u: Tensor) -> Tensor:
    """Where the results of several walks are added up, in float32, laid out as u."""
    return torch.empty_like(empty_like_sequence(u), dtype=torch.float32)


class Triton(Backend):
    """The Triton kernels behind the seam."""

    def availability(self, device: str) -> tuple[bool, str]:
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

    def supports(self, dtype: torch.dtype, states: int, groups: int) -> bool:
        """Everything but float64; up to 256 states."""
        return dtype != torch.float64 and states <= 256

    def saved_shape(self, batch: int, channels: int, length: int, states: int) -> tuple[int, ...]:
        """The state before every chunk and after the last, channels last."""
        return saved_shape(batch, channels, length, states)

    @torch.no_grad()
    def forward(self, scan: Scan, save: bool) -> tuple[Tensor, Tensor, Tensor]:
        """States before the chunks first, then every chunk from its own."""
        walked, out = WalkedScan(scan), empty_like_sequence(scan.u)
        with on_device(scan.u):
            states = first_states(walked, scan.initial_state)
            write_outputs(walked, states, out)
        last_state = states[:, -1].transpose(1, 2).clone(memory_format=torch.contiguous_format)
        return out, last_state, states if save else scan.u.new_empty(0, dtype=torch.float32)

    @torch.no_grad()
    def backward(self, scan: Scan, saved: Tensor, grad_out: Tensor, grad_last_state: Tensor | None) -> Gradients:
        """What every chunk gets from the one behind it first, then every chunk from its own state and that."""
        walked, z = WalkedScan(scan), scan.z
        found = {"u": empty_like_sequence(scan.u), "delta": empty_like_sequence(scan.delta)}
        found |= {} if z is None else {"z": empty_like_sequence(z)}
        grad_out = grad_out.contiguous() if 0 in grad_out.stride() else grad_out  # expanded, from a plain sum
        with on_device(scan.u):
            states = saved if saved.numel() else first_states(walked, scan.initial_state)
            written = (found["u"], found["delta"], found.get("z"))
            return found | write_gradients(walked, states, grad_out, grad_last_state, *written)

    def cross_saved_shape(self, batch: int, channels: int, length: int, states: int, walks: int) -> tuple[int, ...]:
        """As ``saved_shape``, for each walk."""
        return (walks, *saved_shape(batch, channels, length, states))

    @torch.no_grad()
    def cross_forward(self, scan: CrossScan, save: bool) -> tuple[Tensor, Tensor]:
        """Walk after walk over the volume as it lies, adding up in place."""
        walks = _walked_scans(scan)
        total, kept = _sum_buffer(walks[0].scan.u), []
        with on_device(scan.u):
            for walked in walks:
                states = first_states(walked, None)
                write_outputs(walked, states, total, add=walked is not walks[0])
                kept += [states] if save else []
        saved = torch.stack(kept) if save else scan.u.new_empty(0, dtype=torch.float32)
        return total.to(scan.u.dtype).unflatten(2, scan.shape), saved

    @torch.no_grad()
    def cross_backward(self, scan: CrossScan, saved: Tensor, grad_out: Tensor) -> Gradients:
        """Walk after walk, gradients of u added up in place."""
        walks, delta = _walked_scans(scan), scan.delta
        du = _sum_buffer(walks[0].scan.u)
        ddelta = torch.empty_like(delta, memory_format=torch.contiguous_format).flatten(3)
        parts = []
        with on_device(scan.u):
            for k, walked in enumerate(walks):
                states = saved[k] if saved.numel() else first_states(walked, None)
                written = (du, ddelta[:, k], None)
                parts.append(write_gradients(walked, states, grad_out.flatten(2), None, *written, add=k > 0))
        found = {"u": du.unflatten(2, scan.shape), "delta": ddelta.view(delta.shape)}
        found |= {name: torch.cat([part[name] for part in parts]) for name in ("A", "D", "delta_bias")}
        matrices = {name: torch.cat([part[name] for part in parts], dim=1) for name in ("B", "C")}
        return found | {name: matrix.reshape(scan.B.shape) for name, matrix in matrices.items()}
