"""``selective_scan``: checks what came, brings it into one form and hands it to the registered operator."""

from typing import Literal, overload

import torch
from torch import Tensor

from common.scan import operator  # noqa: F401  registers torch.ops.registration.selective_scan
from common.scan.autograd import wants_gradients
from common.scan.checks import check_shapes
from common.scan.seam import Scan


@overload
def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = ..., z: Tensor | None = ...,
    delta_bias: Tensor | None = ..., delta_softplus: bool = ..., return_last_state: Literal[False] = ...,
    backend: str = ..., initial_state: Tensor | None = ...,
) -> Tensor: ...  # fmt: skip
@overload
def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = ..., z: Tensor | None = ...,
    delta_bias: Tensor | None = ..., delta_softplus: bool = ..., *, return_last_state: Literal[True],
    backend: str = ..., initial_state: Tensor | None = ...,
) -> tuple[Tensor, Tensor]: ...  # fmt: skip
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    backend: str = "auto",
    initial_state: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Run the selective state-space recurrence of Mamba (Gu and Dao, 2023, algorithm 2) along the last axis.

    With ``d = delta + delta_bias``, through softplus if ``delta_softplus``, and ``h_0 = initial_state`` or zero,
    for steps l = 1..L::

        h_l = exp(d_l A) h_(l-1) + d_l B_l u_l          one state vector of N numbers for every channel
        y_l = sum over the states of C_l h_l + D u_l
        out_l = y_l * silu(z_l)                         only where z is given

    Args:
        u, delta, z: (batch, channels, L). Any strides; the CPU and Triton backends read a channel-last tensor
            (``x.transpose(1, 2)`` of a contiguous (batch, L, channels)) as it lies, without a copy.
        A: (channels, N), real. B, C: (batch, N, L), or (batch, groups, N, L) where group g serves the g-th block of
            channels / groups consecutive channels.
        D, delta_bias: (channels,).
        delta_softplus: pass ``delta + delta_bias`` through softplus.
        return_last_state: also return ``h_L``.
        backend: "auto", or the name of one backend (see ``common.scan.selection``).
        initial_state: (batch, channels, N), the state before the first step; lets a long sequence be scanned in parts.

    Returns:
        ``out`` (batch, channels, L) in the dtype of u and laid out as u (channel-last if u is), or, with
        ``return_last_state``, ``(out, last_state)`` with last_state (batch, channels, N). The state is kept in
        float32 (float64 for a float64 u) whatever the inputs' dtype is, under autocast too.
        Differentiable once with respect to every tensor, the initial state included.

    Raises:
        ValueError: a shape disagrees; the text says what was expected and what came.
        BackendUnavailableError: the backend asked for, by argument or by ``SCAN_BACKEND``, cannot run here.
    """
    B, C = _grouped("B", B, u), _grouped("C", C, u)
    scan = Scan(u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus)
    if not torch.jit.is_tracing():  # a trace would take the checks' numbers for data
        _check(scan)
    out, last_state, _ = torch.ops.registration.selective_scan(*scan, wants_gradients(scan), backend)
    return (out, last_state) if return_last_state else out


def _grouped(name: str, matrix: Tensor, u: Tensor) -> Tensor:
    """Return B or C as (batch, groups, N, L)."""
    if matrix.dim() not in (3, 4):
        raise ValueError(
            f"selective_scan: {name} must be (batch, N, L) or (batch, groups, N, L), got {tuple(matrix.shape)} "
            f"with u {tuple(u.shape)}"
        )
    return matrix.unsqueeze(1) if matrix.dim() == 3 else matrix


def _check(scan: Scan) -> None:
    """Raise ValueError for the first shape that disagrees with u and A."""
    u, A = scan.u, scan.A
    if u.dim() != 3 or A.dim() != 2 or min(u.shape) == 0:
        raise ValueError(
            "selective_scan: u must be (batch, channels, L) and A (channels, N), none of them empty, got "
            f"{tuple(u.shape)} and {tuple(A.shape)}"
        )
    if u.is_complex() or A.is_complex():
        raise ValueError("selective_scan: complex tensors are not supported, expected a real u and A")
    batch, channels, length = u.shape
    states, groups = A.shape[1], scan.B.shape[1]
    if channels % groups:
        raise ValueError(f"selective_scan: {channels} channels do not split into the {groups} groups of B and C")
    sequence, matrix = (batch, channels, length), (batch, groups, states, length)
    shapes = {
        "delta": sequence, "A": (channels, states), "B": matrix, "C": matrix, "D": (channels,), "z": sequence,
        "delta_bias": (channels,), "initial_state": (batch, channels, states),
    }  # fmt: skip
    check_shapes("selective_scan", scan, shapes)
