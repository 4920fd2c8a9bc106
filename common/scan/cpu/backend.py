"""CPU backend: the compiled kernels behind the seam, for float32 state on any layout, in wheels only (numba).

Nothing is compiled at import. The first use in a fresh environment compiles the kernels (a few seconds, announced in
the log) and keeps them in the user's cache folder (``common.compiled.cache``).

Threads: each call is shared out as ranges of sixteen-channel tiles, run by ``torch.get_num_threads()`` threads of a
pool that belongs to this process alone (a forked child makes its own; the kernels release the GIL and share nothing).
"""

import functools
import math

import torch
from torch import Tensor

from common.scan.chunked import Chunked
from common.scan.cpu.launch import run_backward, run_forward, saved_shape
from common.scan.cpu.problem import (
    NO_WALK,
    Parameters,
    Problem,
    Sizes,
    grouped_sequence,
    sequence,
    shared_sequence,
)
from common.scan.cpu.sizes import Voxels
from common.scan.layout import empty_like_sequence
from common.scan.orders import walk_indices
from common.scan.seam import Backend, CrossScan, Gradients, Scan


def may_overflow(scan: Scan | CrossScan) -> bool:
    """Whether exp(d A) may leave float32's range, which the kernels do not guard: never for softplus and A <= 0."""
    highest, lowest = float(scan.A.max()), float(scan.A.min())
    if scan.delta_softplus and highest <= 0:
        return False
    shift = 0.0 if scan.delta_bias is None else float(scan.delta_bias.abs().max())
    top, bottom = float(scan.delta.max()) + shift, float(scan.delta.min()) - shift
    top, bottom = (max(top, 0) + 1, 0) if scan.delta_softplus else (top, bottom)
    return max(top * highest, top * lowest, bottom * highest, bottom * lowest) > 87


def _problem(scan: Scan) -> Problem:
    """Set up a plain scan."""
    u, groups = scan.u, scan.B.shape[1]
    sizes = Sizes(u.shape[0], groups, u.shape[1] // groups, u.shape[2], scan.A.shape[1])
    return Problem(
        sizes, sequence(u.float(), groups), sequence(scan.delta.float(), groups),
        None if scan.z is None else sequence(scan.z.float(), groups),
        grouped_sequence(scan.B.float()), grouped_sequence(scan.C.float()),
        Parameters.of(sizes, scan.A, scan.D, scan.delta_bias), scan.delta_softplus,
        [NO_WALK] * groups, [NO_WALK] * groups, groups_in_turn=False,
    )  # fmt: skip


@functools.lru_cache(maxsize=32)
def _walk(letters: str, shape: tuple[int, int, int]) -> Voxels:
    """The voxel visited at each step of a walk; kept, because a network asks for the same few again and again."""
    return walk_indices(letters, shape).numpy()


def _channel_last(tensor: Tensor) -> Tensor:
    """(.., channels, X, Y, Z) as float32 (.., channels, L) with the channels of a voxel side by side."""
    tensor = tensor.float().flatten(-3)
    return tensor if tensor.stride(-2) == 1 else tensor.transpose(-1, -2).contiguous().transpose(-1, -2)


def _cross_problem(scan: CrossScan) -> Problem:
    """Set up a cross-scan: a group is a walk, and all walks read and write the same volume, one after the other."""
    shape = scan.shape
    sizes = Sizes(scan.u.shape[0], len(scan.orders), scan.u.shape[1], math.prod(shape), scan.A.shape[1])
    return Problem(
        sizes, shared_sequence(_channel_last(scan.u)), grouped_sequence(_channel_last(scan.delta)), None,
        grouped_sequence(scan.B.float().flatten(3)), grouped_sequence(scan.C.float().flatten(3)),
        Parameters.of(sizes, scan.A, scan.D, scan.delta_bias), scan.delta_softplus,
        [_walk(order.read, shape) for order in scan.orders], [_walk(order.write, shape) for order in scan.orders],
        groups_in_turn=True,
    )  # fmt: skip


def _parameter_gradients(sizes: Sizes, sums: Tensor) -> dict[str, Tensor]:
    """The gradients of A, D and the bias from the kernels' sums over time."""
    total = sizes.from_tiles(sums, 0)  # (channels, N + 2)
    return {"A": total[:, :-2], "D": total[:, -2], "delta_bias": total[:, -1]}


class Compiled(Backend):
    """The compiled kernels behind the seam. States that grow beyond float32 are left to plain torch."""

    def availability(self, device: str) -> tuple[bool, str]:
        """CPU tensors only, and numba must import."""
        if device != "cpu":
            return False, f"computes on the CPU only, the tensors are on {device}"
        try:
            import numba
        except Exception as error:
            return False, f"numba cannot be imported ({type(error).__name__}: {error}); pip install numba"
        return True, f"compiled by numba {numba.__version__}, {torch.get_num_threads()} thread(s)"

    def supports(self, dtype: torch.dtype, states: int, groups: int) -> bool:
        """Everything but float64: the kernels compute in float32."""
        return dtype != torch.float64

    def saved_shape(self, batch: int, channels: int, length: int, states: int) -> tuple[int, ...]:
        """The state before every chunk of steps."""
        return saved_shape(batch, channels, length, states)

    @torch.no_grad()
    def forward(self, scan: Scan, save: bool) -> tuple[Tensor, Tensor, Tensor]:
        """One pass over chunks of steps."""
        u = scan.u
        shape = saved_shape(u.shape[0], u.shape[1], u.shape[2], scan.A.shape[1]) if save else (0,)
        if may_overflow(scan):
            out, last_state, _ = Chunked().forward(scan, save=False)
            return out, last_state, torch.zeros(shape)
        problem, saved = _problem(scan), torch.empty(shape)
        sizes = problem.sizes
        state, out = sizes.state_tiles(scan.initial_state), empty_like_sequence(u).float()
        run_forward(problem, sequence(out, sizes.groups), state, saved)
        return out.to(u.dtype), sizes.from_tiles(state, 1), saved

    @torch.no_grad()
    def backward(self, scan: Scan, saved: Tensor, grad_out: Tensor, grad_last_state: Tensor | None) -> Gradients:
        """Chunks from the last to the first, states recomputed from those that were saved."""
        if may_overflow(scan):
            return Chunked().backward(scan, saved[:0], grad_out, grad_last_state)
        saved = saved if saved.numel() else self.forward(scan, save=True)[2]
        problem = _problem(scan)
        sizes, groups = problem.sizes, problem.sizes.groups
        carry = sizes.state_tiles(grad_last_state)
        along = {"u": scan.u, "delta": scan.delta} | ({} if scan.z is None else {"z": scan.z})
        found = {name: empty_like_sequence(tensor).float() for name, tensor in along.items()}
        written = {f"g_{name}": sequence(tensor, groups) for name, tensor in found.items()}
        g_B, g_C, sums = run_backward(problem, sequence(grad_out.float(), groups), carry, saved, **written)
        found |= {"B": g_B, "C": g_C, "initial_state": sizes.from_tiles(carry, 1)}
        return found | _parameter_gradients(sizes, sums)

    @torch.no_grad()
    def cross_forward(self, scan: CrossScan, save: bool) -> tuple[Tensor, Tensor]:
        """Walk after walk over the volume as it lies, adding up in place."""
        if may_overflow(scan):
            raise ValueError(
                "cross_scan on the CPU needs A <= 0 and delta_softplus, or exp(delta A) below float32's limit"
            )
        problem = _cross_problem(scan)
        sizes = problem.sizes
        shape = self.cross_saved_shape(sizes.batch, sizes.width, sizes.length, sizes.states, sizes.groups)
        saved = torch.empty(shape if save else (0,))
        out = torch.empty(sizes.batch, sizes.length, sizes.width).transpose(1, 2)
        run_forward(problem, shared_sequence(out), sizes.state_tiles(None), saved)
        return out.unflatten(2, scan.shape).to(scan.u.dtype), saved

    @torch.no_grad()
    def cross_backward(self, scan: CrossScan, saved: Tensor, grad_out: Tensor) -> Gradients:
        """Walk after walk, gradients of u added up in place."""
        saved = saved if saved.numel() else self.cross_forward(scan, save=True)[1]
        problem = _cross_problem(scan)
        sizes, shape = problem.sizes, scan.shape
        g_u = torch.empty(sizes.batch, sizes.length, sizes.width).transpose(1, 2)
        g_delta = torch.empty(sizes.batch, sizes.groups, sizes.length, sizes.width).transpose(2, 3)
        g_B, g_C, sums = run_backward(
            problem, shared_sequence(_channel_last(grad_out)), sizes.state_tiles(None), saved,
            shared_sequence(g_u), grouped_sequence(g_delta),
        )  # fmt: skip
        found = {"u": g_u.unflatten(2, shape), "delta": g_delta.unflatten(3, shape)}
        found |= {"B": g_B.unflatten(3, shape), "C": g_C.unflatten(3, shape)}
        return found | _parameter_gradients(sizes, sums)
