"""Running the CPU kernels on a ``Problem``: loaded once, the work shared out to threads, each call's arguments by name.

What the arguments are, in which order and of which size stands in ``common.scan.cpu.sizes``.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from common.compiled.compiling import load_kernel
from common.compiled.jobs import run_jobs
from common.compiled.width import WIDTH
from common.scan.cpu.problem import Problem, Sequence, Sizes, grouped_sequence
from common.scan.cpu.sizes import (
    STEPS,
    BackwardArguments,
    BackwardPlaces,
    Extent,
    Flags,
    Floats,
    ForwardArguments,
    ForwardPlaces,
    Place,
    backward_layout,
    forward_layout,
)

KERNELS = "common.scan.cpu.kernels"  # imported when the first of them is needed
_SMALL = 1 << 17  # channels * steps * states below which a second thread costs more than it brings


class TileRange(NamedTuple):
    """The work of one kernel call: some tiles of one group of one batch entry."""

    batch: int
    group: int
    first: int
    number: int
    part: int  # ranges of equal part share the array of B's and C's gradients

    @property
    def channel(self) -> int:
        """The first channel in the group."""
        return self.first * WIDTH


def share_out(sizes: Sizes, threads: int, groups_in_turn: bool) -> list[list[TileRange]]:
    """Share the work out to lists of ranges that may run at the same time; the ranges of one list run in turn.

    ``groups_in_turn``: all groups write to the same channels, so that one list holds all of them.
    """
    lists = sizes.batch * (1 if groups_in_turn else sizes.groups)
    if sizes.groups * sizes.width * sizes.length * sizes.states < _SMALL:
        threads = 1
    parts = min(sizes.tiles, -(-threads // lists))
    edges = [sizes.tiles * part // parts for part in range(parts + 1)]
    shares = []
    for batch in range(sizes.batch):
        for part in range(parts):
            first, number = edges[part], edges[part + 1] - edges[part]
            ranges = [TileRange(batch, group, first, number, part) for group in range(sizes.groups)]
            shares += [ranges] if groups_in_turn else [[one] for one in ranges]
    return shares


def saved_shape(batch: int, channels: int, length: int, states: int) -> tuple[int, ...]:
    """The state before every chunk of 32 steps: 1/32 of what all the states would take."""
    return (batch, -(-length // STEPS), states, channels)


def _inputs(problem: Problem) -> dict[str, Any]:
    """The arrays that both kernels read, by argument."""
    z = problem.z or problem.u  # for what was not given the kernels get something that they never touch
    sequences = {"u": problem.u, "delta": problem.delta, "z": z, "B": problem.B, "C": problem.C}
    return {name: one.memory for name, one in sequences.items()} | problem.parameters._asdict()


def _places(problem: Problem, tiles: TileRange) -> dict[str, Place]:
    """Where the sequences that both kernels read lie for one call."""
    group, z = (tiles.batch, tiles.group), problem.z or problem.u
    return {
        "u": problem.u.place(*group, tiles.channel), "delta": problem.delta.place(*group, tiles.channel),
        "z": z.place(*group, tiles.channel), "B": problem.B.place(*group), "C": problem.C.place(*group),
    }  # fmt: skip


def _work(problem: Problem, tiles: TileRange, save: bool) -> dict[str, Any]:
    """What one call computes: walks, extent and flags."""
    sizes = problem.sizes
    tile, row, chunks = tiles.group * sizes.tiles + tiles.first, sizes.groups * sizes.width, -(-sizes.length // STEPS)
    extent = Extent(
        tile=tile,
        channels=min(tiles.number * WIDTH, sizes.width - tiles.channel),
        length=sizes.length,
        states=sizes.states,
        state=(tiles.batch * sizes.groups * sizes.tiles + tile) * sizes.states * WIDTH,
        saved=tiles.batch * chunks * sizes.states * row + tiles.group * sizes.width + tiles.channel,
        saved_row=row,
    )
    adding = problem.groups_in_turn and tiles.group > 0
    flags = Flags(gated=problem.z is not None, softplus=problem.delta_softplus, save=save, adding=adding)
    walks = {"read": problem.reads[tiles.group], "write": problem.writes[tiles.group]}
    return {"extent": extent, "flags": flags, **walks}


def run_forward(problem: Problem, out: Sequence, state: Tensor, saved: Tensor) -> None:
    """Fill ``out``, turn ``state`` (tiles) into the last state, fill ``saved`` unless it is empty."""
    kernel, inputs = load_kernel(KERNELS, "scan_forward"), _inputs(problem)
    flat_state, flat_saved = state.view(-1).numpy(), saved.view(-1).numpy()
    floats = forward_layout(problem.sizes.states).floats

    def run(tiles: TileRange) -> None:
        place = out.place(tiles.batch, tiles.group, tiles.channel)
        arguments = ForwardArguments(
            **inputs, state=flat_state, saved=flat_saved, out=out.memory,
            places=ForwardPlaces(**_places(problem, tiles), out=place), scratch=_scratch(floats),
            **_work(problem, tiles, save=flat_saved.size > 0),
        )  # fmt: skip
        kernel(*arguments)

    run_jobs(share_out(problem.sizes, torch.get_num_threads(), problem.groups_in_turn), run)


def run_backward(
    problem: Problem,
    g_out: Sequence,
    carry: Tensor,
    saved: Tensor,
    g_u: Sequence,
    g_delta: Sequence,
    g_z: Sequence | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Fill ``g_u``, ``g_delta`` and ``g_z``; turn ``carry`` (tiles) into the gradient of the first state.

    Returns the gradients of B and C (batch, groups, N, L) and the float64 sums over time (groups * tiles, N + 2, 16):
    the gradients of A, D and the bias.
    """
    kernel, inputs, sizes = load_kernel(KERNELS, "scan_backward"), _inputs(problem), problem.sizes
    shares = share_out(sizes, torch.get_num_threads(), problem.groups_in_turn)
    parts = 1 + max(tiles.part for ranges in shares for tiles in ranges)
    matrices = [torch.empty(parts, sizes.batch, sizes.groups, sizes.states, sizes.length) for _ in "BC"]
    g_B, g_C = ([grouped_sequence(part) for part in matrix] for matrix in matrices)
    sums = torch.zeros(sizes.batch, sizes.groups * sizes.tiles, sizes.states + 2, WIDTH, dtype=torch.float64)
    sequences = {"g_out": g_out, "g_u": g_u, "g_delta": g_delta, "g_z": g_z or g_u}
    gradients: dict[str, Any] = {name: one.memory for name, one in sequences.items()}
    flat_carry, flat_saved = carry.view(-1).numpy(), saved.view(-1).numpy()
    floats = backward_layout(sizes.states).floats

    def run(tiles: TileRange) -> None:
        group = (tiles.batch, tiles.group)
        places = {name: one.place(*group, tiles.channel) for name, one in sequences.items()}
        places |= _places(problem, tiles) | {"g_matrix": g_B[tiles.part].place(*group)}
        arguments = BackwardArguments(
            **inputs, **gradients, saved=flat_saved, carry=flat_carry,
            g_B=g_B[tiles.part].memory, g_C=g_C[tiles.part].memory, sums=sums[tiles.batch].view(-1).numpy(),
            places=BackwardPlaces(**places), scratch=_scratch(floats), **_work(problem, tiles, save=True),
        )  # fmt: skip
        kernel(*arguments)

    run_jobs(shares, run)
    total_B, total_C = (matrix.sum(0) if parts > 1 else matrix[0] for matrix in matrices)
    return total_B, total_C, sums.sum(0)


def _scratch(floats: int) -> Floats:
    """Working memory of one call, aligned to cache lines."""
    return torch.empty(floats).numpy()
