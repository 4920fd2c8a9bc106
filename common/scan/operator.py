"""The operator ``registration::selective_scan`` and its gradient, registered with ``torch.library``.

One operator stands before all backends, so that tracing, scripting, ``torch.compile`` and ``torch.export`` see a single
opaque call with known shapes, and a saved program picks its backend where it runs, not where it was saved. Schemas know
no named tuples: here and in ``cross_operator`` the tensors are spelled out, everywhere else they are a ``Scan``.
"""

from typing import Any

import torch
from torch import Tensor

from common.scan.autograd import register_gradient
from common.scan.layout import empty_like_sequence, in_order, laid_out, state_dtype
from common.scan.seam import Scan
from common.scan.selection import backend_for

TENSORS = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state")
_SEQUENCES = ("u", "delta", "z")


@torch.library.custom_op("registration::selective_scan", mutates_args=())
def scan_op(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    delta_softplus: bool,
    save: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Scan with the selected backend; B and C are (batch, groups, N, L). Returns (out, last_state, saved)."""
    scan = Scan(u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus)
    out, last_state, saved = backend_for(u, A, B, backend).forward(scan, save)
    return laid_out(out, empty_like_sequence(u)), last_state.contiguous(), saved


@scan_op.register_fake
def _scan_fake(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    *values, save, backend = inputs
    scan = Scan(*values)
    (batch, channels, length), states, kind = scan.u.shape, scan.A.shape[1], state_dtype(scan.u)
    chosen = backend_for(scan.u, scan.A, scan.B, backend)
    shape = chosen.saved_shape(batch, channels, length, states) if save else (0,)
    last_state = scan.u.new_empty((batch, channels, states), dtype=kind)
    return empty_like_sequence(scan.u), last_state, scan.u.new_empty(shape, dtype=kind)


@torch.library.custom_op("registration::selective_scan_backward", mutates_args=())
def scan_backward_op(
    grad_out: Tensor | None,
    grad_last_state: Tensor | None,
    saved: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    delta_softplus: bool,
    backend: str,
) -> list[Tensor]:
    """Gradients of the nine tensors in order; an empty tensor stands for each one that was not given."""
    scan = Scan(u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus)
    upstream = torch.zeros_like(u) if grad_out is None else grad_out
    found = backend_for(u, A, B, backend).backward(scan, saved, upstream, grad_last_state)
    return in_order(found, TENSORS, scan[:-1], _like_inputs(scan))


@scan_backward_op.register_fake
def _scan_backward_fake(
    grad_out: Tensor | None, grad_last_state: Tensor | None, saved: Tensor, *inputs: Any
) -> list[Tensor]:
    return _like_inputs(Scan(*inputs[:-1]))


def _like_inputs(scan: Scan) -> list[Tensor]:
    """Uninitialised gradients of the tensors in order."""
    return [
        scan.u.new_empty(0) if t is None else empty_like_sequence(t) if name in _SEQUENCES else t.new_empty(t.shape)
        for name, t in zip(TENSORS, scan[:-1], strict=True)
    ]


register_gradient(scan_op, torch.ops.registration.selective_scan_backward, len(TENSORS))
