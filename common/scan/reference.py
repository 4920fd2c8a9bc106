"""The oracle: the recurrence written down step by step, in plain torch, with autograd's own gradients.

Slow by design. It is what every other backend is tested against, in float64.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from common.scan.autograd import gradients_in_a_thread
from common.scan.layout import state_dtype
from common.scan.seam import Backend, Gradients, Scan


def recurrence(scan: Scan) -> tuple[Tensor, Tensor]:
    """Return (out, last_state). Differentiable.

    Every step is one line of the recurrence; the graph holds L steps, so keep L small where gradients are wanted.
    """
    u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus = scan
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


class Reference(Backend):
    """The recurrence behind the seam; nothing is saved, the backward runs it again."""

    def availability(self, device: str) -> tuple[bool, str]:
        """Always available."""
        return True, "plain torch, one step at a time"

    def forward(self, scan: Scan, save: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Step after step."""
        out, last_state = recurrence(scan)
        return out, last_state.clone(), scan.u.new_empty(0, dtype=state_dtype(scan.u))

    def backward(self, scan: Scan, saved: Tensor, grad_out: Tensor, grad_last_state: Tensor | None) -> Gradients:
        """Autograd through the recurrence."""
        return gradients_in_a_thread(recurrence, scan, (grad_out, grad_last_state))
