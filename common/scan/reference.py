"""The oracle: the recurrence written down step by step, in plain torch, with autograd's own gradients.

Slow by design. It is what every other backend is tested against, in float64.
"""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn import functional as F

from common.scan.operator import state_dtype


def availability(device: str) -> tuple[bool, str]:
    """Always available."""
    return True, "plain torch, one step at a time"


def saved_shape(batch: int, channels: int, length: int, states: int) -> tuple[int, ...]:
    """Nothing is saved: the backward runs the recurrence again."""
    return (0,)


def scan(u, delta, A, B, C, D=None, z=None, delta_bias=None, initial_state=None, *, delta_softplus=False):
    """Return (out, last_state); arguments as ``selective_scan`` with B and C (batch, groups, N, L). Differentiable.

    Every step is one line of the recurrence; the graph holds L steps, so keep L small where gradients are wanted.
    """
    kind = state_dtype(u)
    u_, A_ = u.to(kind), A.to(kind)
    d = delta.to(kind) if delta_bias is None else delta.to(kind) + delta_bias.to(kind)[:, None]
    d = F.softplus(d) if delta_softplus else d
    width = u.shape[1] // B.shape[1]
    B_, C_ = (matrix.to(kind).repeat_interleave(width, dim=1) for matrix in (B, C))  # (batch, channels, N, L)
    h = u_.new_zeros(u.shape[0], *A.shape) if initial_state is None else initial_state.to(kind)
    steps = []
    for step in range(u.shape[2]):
        d_l = d[:, :, step, None]
        h = torch.exp(d_l * A_) * h + d_l * B_[..., step] * u_[:, :, step, None]
        steps.append((h * C_[..., step]).sum(-1))
    y = torch.stack(steps, dim=-1)
    y = y if D is None else y + D.to(kind)[:, None] * u_
    y = y if z is None else y * F.silu(z.to(kind))
    return y.to(u.dtype), h


def forward(u, delta, A, B, C, D, z, delta_bias, initial_state, *, delta_softplus, save):
    """The seam's forward; see ``common.scan.selection``."""
    out, last_state = scan(u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus=delta_softplus)
    return out, last_state.clone(), u.new_empty(0, dtype=state_dtype(u))


def backward(grad_out, grad_last_state, saved, *inputs, delta_softplus):
    """The seam's backward: autograd through the recurrence.

    In a thread of its own, because the operator that calls this has switched autograd off for the present thread.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(_autograd, grad_out, grad_last_state, inputs, delta_softplus).result()


def _autograd(grad_out, grad_last_state, inputs, delta_softplus) -> list[Tensor | None]:
    leaves = [None if t is None else t.detach().requires_grad_() for t in inputs]
    wanted = [t for t in leaves if t is not None]
    out, last_state = scan(*leaves, delta_softplus=delta_softplus)
    outputs, upstream = [out], [grad_out]
    if grad_last_state is not None:
        outputs, upstream = [out, last_state], [grad_out, grad_last_state]
    found = iter(torch.autograd.grad(outputs, wanted, upstream, allow_unused=True))
    gradients = [None if t is None else next(found) for t in leaves]
    return [torch.zeros_like(t) if t is not None and g is None else g for t, g in zip(leaves, gradients, strict=True)]
