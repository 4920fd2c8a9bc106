"""Chunked scan in plain torch with its own gradients: any device, any float dtype, memory linear in L and small.

The sequence is cut in chunks of ``CHUNK`` steps. Inside a chunk the recurrence h = a h + b is solved by doubling
(after pass k every step holds the composition of its last 2^k steps), which never divides by a decaying product and so
never overflows. Only the state at each chunk's start is saved; the backward solves each chunk again.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from common.scan.layout import empty_like_sequence, state_dtype
from common.scan.seam import Backend, Gradients, Scan

CHUNK = 64


class _Chunk(NamedTuple):
    """One chunk of the inputs in the state's dtype; G groups of W channels, T steps."""

    raw: Tensor  # (B, G, W, T) delta + bias
    d: Tensor  # (B, G, W, T) step sizes, after softplus
    u: Tensor  # (B, G, W, T)
    B: Tensor  # (B, G, N, T)
    C: Tensor  # (B, G, N, T)


def _read(scan: Scan, steps: slice) -> _Chunk:
    """Read one chunk of steps."""
    kind, groups = state_dtype(scan.u), scan.B.shape[1]
    raw = scan.delta[:, :, steps].to(kind)
    if scan.delta_bias is not None:
        raw = raw + scan.delta_bias.to(kind)[:, None]
    raw = raw.unflatten(1, (groups, -1))
    d = F.softplus(raw) if scan.delta_softplus else raw
    u = scan.u[:, :, steps].to(kind).unflatten(1, (groups, -1))
    return _Chunk(raw, d, u, scan.B[..., steps].to(kind), scan.C[..., steps].to(kind))


def _solve(a: Tensor, b: Tensor) -> Tensor:
    """Turn b into h with h_t = a_t h_(t-1) + b_t along the last axis, h_0 = 0. Overwrites a and b."""
    shift = 1
    while shift < a.shape[-1]:
        b[..., shift:] += a[..., shift:] * b[..., :-shift]
        a[..., shift:] = a[..., shift:] * a[..., :-shift]
        shift *= 2
    return b


def _solve_reversed(a: Tensor, b: Tensor) -> Tensor:
    """The same from the end: g_t = b_t + a_t g_(t+1). Overwrites a and b."""
    shift = 1
    while shift < a.shape[-1]:
        b[..., :-shift] += a[..., :-shift] * b[..., shift:]
        a[..., :-shift] = a[..., :-shift] * a[..., shift:]
        shift *= 2
    return b


def _states(chunk: _Chunk, A: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Return the decay a and the states h, both (B, G, W, N, T), from the state (B, G, W, N) before the chunk."""
    a = torch.exp(chunk.d.unsqueeze(3) * A[..., None])
    b = (chunk.d * chunk.u).unsqueeze(3) * chunk.B.unsqueeze(2)
    b[..., 0] += a[..., 0] * start
    return a, _solve(a.clone(), b)


def _start_state(scan: Scan, initial_state: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return A as (G, W, N) and the first state as (B, G, W, N), both in the state's dtype."""
    groups = scan.B.shape[1]
    A = scan.A.to(state_dtype(scan.u)).unflatten(0, (groups, -1))
    if initial_state is None:
        return A, A.new_zeros(scan.u.shape[0], *A.shape)
    return A, initial_state.to(A.dtype).unflatten(1, (groups, -1))


def _read_out(chunk: _Chunk, states: Tensor, D: Tensor | None) -> Tensor:
    """Return y (B, channels, T) = C h + D u, before the gate."""
    y = torch.einsum("bgwnt,bgnt->bgwt", states, chunk.C).flatten(1, 2)
    return y if D is None else y + D.to(y.dtype)[:, None] * chunk.u.flatten(1, 2)


def _gate_gradients(g_out: Tensor, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of y silu(z) with respect to y and z."""
    sigmoid = torch.sigmoid(z)
    return g_out * z * sigmoid, g_out * y * sigmoid * (1 + z * (1 - sigmoid))


def _chunk_gradients(
    scan: Scan,
    steps: slice,
    A: Tensor,
    start: Tensor,
    grad_out: Tensor,
    carry: Tensor,
    grad: dict[str, Tensor],
    sums: dict[str, Tensor],
) -> Tensor:
    """Write one chunk's gradients, add to the sums over time, and return the gradient of the state before the chunk.

    ``g`` is the gradient of h; everything that h_t = a_t h_(t-1) + d_t u_t B_t and y_t = C_t h_t + D u_t holds follows.
    """
    chunk, D = _read(scan, steps), scan.D
    a, h = _states(chunk, A, start)
    g_y = grad_out[:, :, steps].to(h.dtype)
    if scan.z is not None:
        g_y, grad["z"][:, :, steps] = _gate_gradients(g_y, scan.z[:, :, steps].to(h.dtype), _read_out(chunk, h, D))
    split = g_y.unflatten(1, (chunk.B.shape[1], -1))  # (B, G, W, T)
    g = split.unsqueeze(3) * chunk.C.unsqueeze(2)
    g[..., -1] += carry
    g = _solve_reversed(torch.cat([a[..., 1:], torch.zeros_like(a[..., :1])], dim=-1), g)
    before = torch.cat([start[..., None], h[..., :-1]], dim=-1)
    through_a = g * a * before  # gradient of d A
    g_du = torch.einsum("bgwnt,bgnt->bgwt", g, chunk.B)
    g_d = torch.einsum("bgwnt,gwn->bgwt", through_a, A) + g_du * chunk.u
    g_raw = (g_d * torch.sigmoid(chunk.raw) if scan.delta_softplus else g_d).flatten(1, 2)
    g_u = (g_du * chunk.d).flatten(1, 2)
    grad["u"][:, :, steps] = g_u if D is None else g_u + g_y * D.to(g_y.dtype)[:, None]
    grad["delta"][:, :, steps] = g_raw
    grad["B"][..., steps] = torch.einsum("bgwnt,bgwt->bgnt", g, chunk.d * chunk.u)
    grad["C"][..., steps] = torch.einsum("bgwnt,bgwt->bgnt", h, split)
    sums["A"] += torch.einsum("bgwnt,bgwt->gwn", through_a, chunk.d)
    sums["D"] = sums["D"] + torch.einsum("bct,bct->c", g_y, chunk.u.flatten(1, 2))
    sums["delta_bias"] = sums["delta_bias"] + g_raw.sum((0, 2))
    return g[..., 0] * a[..., 0]


class Chunked(Backend):
    """The chunks behind the seam."""

    def availability(self, device: str) -> tuple[bool, str]:
        """Always available."""
        return True, f"plain torch, {CHUNK} steps at a time"

    def saved_shape(self, batch: int, channels: int, length: int, states: int) -> tuple[int, ...]:
        """The state before every chunk."""
        return (-(-length // CHUNK), batch, channels, states)

    @torch.no_grad()
    def forward(self, scan: Scan, save: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Chunk after chunk."""
        u, z, length = scan.u, scan.z, scan.u.shape[2]
        A, h = _start_state(scan, scan.initial_state)
        out = empty_like_sequence(u)
        saved = A.new_empty(self.saved_shape(u.shape[0], u.shape[1], length, A.shape[-1]) if save else (0,))
        for index, begin in enumerate(range(0, length, CHUNK)):
            steps = slice(begin, begin + CHUNK)
            if save:
                saved[index] = h.flatten(1, 2)
            chunk = _read(scan, steps)
            _, states = _states(chunk, A, h)
            y = _read_out(chunk, states, scan.D)
            out[:, :, steps] = y if z is None else y * F.silu(z[:, :, steps].to(y.dtype))
            h = states[..., -1].clone()
        return out, h.flatten(1, 2), saved

    @torch.no_grad()
    def backward(self, scan: Scan, saved: Tensor, grad_out: Tensor, grad_last_state: Tensor | None) -> Gradients:
        """Chunks from the last to the first, each solved again from its saved first state."""
        saved = saved if saved.numel() else self.forward(scan, save=True)[2]
        A, carry = _start_state(scan, grad_last_state)
        grad = {"u": empty_like_sequence(scan.u), "delta": empty_like_sequence(scan.delta)}
        if scan.z is not None:
            grad["z"] = empty_like_sequence(scan.z)
        grad |= {"B": torch.empty_like(scan.B), "C": torch.empty_like(scan.C)}
        sums = {"A": torch.zeros_like(A, dtype=torch.float64)}
        sums["D"] = sums["delta_bias"] = sums["A"].new_zeros(scan.u.shape[1])
        for index in reversed(range(saved.shape[0])):
            steps = slice(index * CHUNK, (index + 1) * CHUNK)
            start = saved[index].unflatten(1, (scan.B.shape[1], -1))
            carry = _chunk_gradients(scan, steps, A, start, grad_out, carry, grad, sums)
        return grad | sums | {"A": sums["A"].flatten(0, 1), "initial_state": carry.flatten(1, 2)}
