"""CPU backend: the compiled kernels behind the seam, for float32 state on any layout, in wheels only (numba).

Nothing is compiled at import. The first use in a fresh environment compiles the kernels (a few seconds, announced in
the log) and keeps them on disk: in the package's ``__pycache__`` or, where that is read-only, in the user's cache
folder or ``NUMBA_CACHE_DIR``; with none of them writable it compiles once a process.

Threads: each call is cut into ranges of sixteen-channel tiles, run by ``torch.get_num_threads()`` threads of a pool
that belongs to this process alone (a forked child makes its own; the kernels release the GIL and share nothing).
"""

import functools

import numpy as np
import torch
from torch import Tensor

from common.scan import chunked
from common.scan.cpu.problem import (
    NO_WALK,
    STEPS,
    WIDTH,
    Parameters,
    Problem,
    Sequence,
    Sizes,
    first_state,
    flat,
    grouped_sequence,
    sequence,
)
from common.scan.operator import empty_like_sequence
from common.scan.orders import walk_indices

__all__ = [
    "NO_WALK", "WIDTH", "Parameters", "Problem", "Sizes", "availability", "backward", "cross_backward",
    "cross_forward", "cross_saved_shape", "first_state", "forward", "grouped_sequence", "saved_shape", "sequence",
    "supports",
]  # fmt: skip


def availability(device: str) -> tuple[bool, str]:
    """CPU tensors only, and numba must import."""
    if device != "cpu":
        return False, f"computes on the CPU only, the tensors are on {device}"
    try:
        import numba
    except Exception as error:
        return False, f"numba cannot be imported ({type(error).__name__}: {error}); pip install numba"
    return True, f"compiled by numba {numba.__version__}, {torch.get_num_threads()} thread(s)"


def supports(dtype: torch.dtype, states: int, groups: int) -> bool:
    """Everything but float64: the kernels compute in float32."""
    return dtype != torch.float64


def saved_shape(batch: int, channels: int, length: int, states: int) -> tuple[int, ...]:
    """The state before every chunk of 32 steps: 1/32 of what all the states would take."""
    return (batch, -(-length // STEPS), states, channels)


def may_overflow(delta: Tensor, A: Tensor, delta_bias: Tensor | None, delta_softplus: bool) -> bool:
    """Whether exp(d A) may leave float32's range, which the kernels do not guard: never for softplus and A <= 0."""
    highest, lowest = float(A.max()), float(A.min())
    if delta_softplus and highest <= 0:
        return False
    shift = 0.0 if delta_bias is None else float(delta_bias.abs().max())
    top, bottom = float(delta.max()) + shift, float(delta.min()) - shift
    top, bottom = (max(top, 0) + 1, 0) if delta_softplus else (top, bottom)
    return max(top * highest, top * lowest, bottom * highest, bottom * lowest) > 87


def _problem(u, delta, A, B, C, D, z, delta_bias, delta_softplus) -> Problem:
    """Set up a plain scan."""
    groups = B.shape[1]
    sizes = Sizes(u.shape[0], groups, u.shape[1] // groups, u.shape[2], A.shape[1])
    return Problem(
        sizes, sequence(u.float(), groups), sequence(delta.float(), groups),
        None if z is None else sequence(z.float(), groups), grouped_sequence(B.float()), grouped_sequence(C.float()),
        Parameters.of(sizes, A, D, delta_bias), delta_softplus, [NO_WALK] * groups, [NO_WALK] * groups, False,
    )  # fmt: skip


@torch.no_grad()
def forward(u, delta, A, B, C, D, z, delta_bias, initial_state, *, delta_softplus, save):
    """The seam's forward; see ``common.scan.selection``. States that grow beyond float32 are left to plain torch."""
    if may_overflow(delta, A, delta_bias, delta_softplus):
        options = {"delta_softplus": delta_softplus, "save": False}
        out, last_state, saved = chunked.forward(u, delta, A, B, C, D, z, delta_bias, initial_state, **options)
        shape = saved_shape(u.shape[0], u.shape[1], u.shape[2], A.shape[1])
        return out, last_state, saved.new_zeros(shape) if save else saved
    problem = _problem(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    sizes = problem.sizes
    state = first_state(sizes, initial_state)
    saved = torch.empty(saved_shape(u.shape[0], u.shape[1], u.shape[2], A.shape[1]) if save else (0,))
    out = empty_like_sequence(u).float()
    problem.scan(sequence(out, sizes.groups), state.view(-1).numpy(), saved.view(-1).numpy())
    return out.to(u.dtype), sizes.from_tiles(state, 1), saved


@torch.no_grad()
def backward(grad_out, grad_last_state, saved, u, delta, A, B, C, D, z, delta_bias, initial_state, *, delta_softplus):
    """The seam's backward; see ``common.scan.selection``."""
    inputs = (u, delta, A, B, C, D, z, delta_bias, initial_state)
    if may_overflow(delta, A, delta_bias, delta_softplus):
        return chunked.backward(grad_out, grad_last_state, saved[:0], *inputs, delta_softplus=delta_softplus)
    if saved.numel() == 0:
        saved = forward(*inputs, delta_softplus=delta_softplus, save=True)[2]
    problem = _problem(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    sizes, groups = problem.sizes, problem.sizes.groups
    carry = first_state(sizes, grad_last_state)
    g_u, g_delta = empty_like_sequence(u).float(), empty_like_sequence(delta).float()
    g_z = None if z is None else empty_like_sequence(z).float()
    g_B, g_C, sums = problem.gradients(
        sequence(grad_out.float(), groups), carry.view(-1).numpy(), saved.view(-1).numpy(),
        sequence(g_u, groups), sequence(g_delta, groups), None if g_z is None else sequence(g_z, groups),
    )  # fmt: skip
    total = sizes.from_tiles(sums, 0)  # (channels, N + 2)
    g_A, g_D, g_bias = total[:, :-2], total[:, -2], total[:, -1]
    g_state = sizes.from_tiles(carry, 1)
    pairs: tuple[tuple[Tensor | None, Tensor | None], ...] = (
        (g_u, u),
        (g_delta, delta),
        (g_A, A),
        (g_B, B),
        (g_C, C),
        (g_D, D),
        (g_z, z),
        (g_bias, delta_bias),
    )
    pairs += ((g_state, initial_state),)
    return [None if t is None or g is None else g.to(t.dtype) for g, t in pairs]


@functools.lru_cache(maxsize=32)
def _walk(letters: str, shape: tuple[int, int, int]) -> np.ndarray:
    """The voxel visited at each step of a walk; kept, because a network asks for the same few again and again."""
    return walk_indices(letters, shape).numpy()


def _channel_last(tensor: Tensor) -> Tensor:
    """(.., channels, X, Y, Z) as float32 (.., channels, L) with the channels of a voxel side by side."""
    tensor = tensor.float().flatten(-3)
    return tensor if tensor.stride(-2) == 1 else tensor.transpose(-1, -2).contiguous().transpose(-1, -2)


def _shared(volume: Tensor) -> Sequence:
    """A volume (batch, channels, L) that every walk uses."""
    batch, channel, step = volume.stride()
    return Sequence(flat(volume), batch, 0, channel, step)


def _cross_problem(u, delta, A, B, C, D, delta_bias, orders, delta_softplus) -> Problem:
    """Set up a cross-scan: a group is a walk, and all walks read and write the same volume, one after the other."""
    shape = (u.shape[2], u.shape[3], u.shape[4])
    sizes = Sizes(u.shape[0], len(orders), u.shape[1], shape[0] * shape[1] * shape[2], A.shape[1])
    return Problem(
        sizes, _shared(_channel_last(u)), grouped_sequence(_channel_last(delta)), None,
        grouped_sequence(B.float().flatten(3)), grouped_sequence(C.float().flatten(3)),
        Parameters.of(sizes, A, D, delta_bias), delta_softplus,
        [_walk(order.read, shape) for order in orders], [_walk(order.write, shape) for order in orders], True,
    )  # fmt: skip


def cross_saved_shape(batch: int, channels: int, length: int, states: int, walks: int) -> tuple[int, ...]:
    """The shape of what ``cross_forward`` saves."""
    return saved_shape(batch, channels * walks, length, states)


@torch.no_grad()
def cross_forward(u, delta, A, B, C, D, delta_bias, orders, *, delta_softplus, save):
    """Scan a volume along several walks as it lies, adding up in place; see ``common.scan.cross_operator``."""
    if may_overflow(delta, A, None, delta_softplus):
        raise ValueError("cross_scan on the CPU needs A <= 0 and delta_softplus, or exp(delta A) below float32's limit")
    problem = _cross_problem(u, delta, A, B, C, D, delta_bias, orders, delta_softplus)
    sizes = problem.sizes
    shape = cross_saved_shape(sizes.batch, sizes.width, sizes.length, sizes.states, sizes.groups)
    saved = torch.empty(shape if save else (0,))
    out = torch.empty(sizes.batch, sizes.length, sizes.width).transpose(1, 2)
    problem.scan(_shared(out), first_state(sizes, None).view(-1).numpy(), saved.view(-1).numpy())
    return out.unflatten(2, u.shape[2:]).to(u.dtype), saved


@torch.no_grad()
def cross_backward(grad_out, saved, u, delta, A, B, C, D, delta_bias, orders, *, delta_softplus):
    """Gradients of u, delta, A, B, C, D and delta_bias, None where not given; ``saved`` may be empty."""
    if saved.numel() == 0:
        options = {"delta_softplus": delta_softplus, "save": True}
        saved = cross_forward(u, delta, A, B, C, D, delta_bias, orders, **options)[1]
    problem = _cross_problem(u, delta, A, B, C, D, delta_bias, orders, delta_softplus)
    sizes, spatial = problem.sizes, u.shape[2:]
    g_u = torch.empty(sizes.batch, sizes.length, sizes.width).transpose(1, 2)
    g_delta = torch.empty(sizes.batch, sizes.groups, sizes.length, sizes.width).transpose(2, 3)
    g_B, g_C, sums = problem.gradients(
        _shared(_channel_last(grad_out)), first_state(sizes, None).view(-1).numpy(), saved.view(-1).numpy(),
        _shared(g_u), grouped_sequence(g_delta), None,
    )  # fmt: skip
    total = sizes.from_tiles(sums, 0)
    found = (
        g_u.unflatten(2, spatial), g_delta.unflatten(3, spatial), total[:, :-2], g_B.unflatten(3, spatial),
        g_C.unflatten(3, spatial), total[:, -2], total[:, -1],
    )  # fmt: skip
    inputs = (u, delta, A, B, C, D, delta_bias)
    return [None if t is None else g.to(t.dtype) for g, t in zip(found, inputs, strict=True)]
