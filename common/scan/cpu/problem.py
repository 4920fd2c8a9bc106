"""A scan laid out for the CPU kernels: sizes, memory with strides, parameters in tiles, and the cut into jobs.

Plain scans, cross-scans over volumes and the streamed Mamba block differ only in how they fill a ``Problem``.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.compiled.jobs import run_jobs
from common.scan.cpu.loading import load_kernel

WIDTH, STEPS = 16, 32
LOG2_E = 1.4426950408889634
NO_WALK = np.empty(0, np.int64)
_SMALL = 1 << 17  # channels * steps * states below which a second thread costs more than it brings


class Sequence(NamedTuple):
    """A (batch, groups, channels, step) tensor as the kernels see it: flat memory and four strides."""

    memory: np.ndarray
    batch: int
    group: int
    channel: int
    step: int

    def at(self, batch: int, group: int, channel: int) -> int:
        """Offset of the first step of a channel."""
        return batch * self.batch + group * self.group + channel * self.channel


def flat(tensor: Tensor) -> np.ndarray:
    """The memory that the tensor spans, as a flat array without a copy."""
    span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.as_strided((span,), (1,), tensor.storage_offset()).numpy()


def sequence(tensor: Tensor, groups: int) -> Sequence:
    """A float32 tensor (batch, channels, step) whose channels fall into groups."""
    batch, channel, step = tensor.stride()
    return Sequence(flat(tensor), batch, tensor.shape[1] // groups * channel, channel, step)


def grouped_sequence(tensor: Tensor) -> Sequence:
    """A float32 tensor (batch, groups, channels or states, step)."""
    return Sequence(flat(tensor), *tensor.stride())


class Sizes(NamedTuple):
    """What one call is made of; tiles are counted per group."""

    batch: int
    groups: int
    width: int  # channels of a group
    length: int
    states: int

    @property
    def tiles(self) -> int:
        """Tiles of sixteen channels in one group; the last may be partly filled."""
        return -(-self.width // WIDTH)

    def to_tiles(self, rows: Tensor, axis: int) -> Tensor:
        """Rows (.., groups * width at axis, k) to float32 tiles (.., groups * tiles, k, 16), filled up with zeros."""
        rows = rows.float().unflatten(axis, (self.groups, self.width))
        padded = rows.new_zeros(*rows.shape[: axis + 1], self.tiles * WIDTH, rows.shape[-1])
        padded.narrow(axis + 1, 0, self.width).copy_(rows)
        return padded.unflatten(axis + 1, (self.tiles, WIDTH)).transpose(-1, -2).flatten(axis, axis + 1).contiguous()

    def from_tiles(self, tiles: Tensor, axis: int) -> Tensor:
        """The inverse of ``to_tiles``."""
        rows = tiles.unflatten(axis, (self.groups, self.tiles)).transpose(-1, -2).flatten(axis + 1, axis + 2)
        return rows.narrow(axis + 1, 0, self.width).flatten(axis, axis + 1).contiguous()


class Parameters(NamedTuple):
    """A (times log2 e), D and the bias in tiles; absent ones are zero."""

    A2: np.ndarray
    D: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, sizes: Sizes, A: Tensor, D: Tensor | None, delta_bias: Tensor | None) -> "Parameters":
        """Bring the parameters of all channels into tiles."""
        zero = A.new_zeros(A.shape[0])
        rows = (A.float() * LOG2_E, *((zero if t is None else t)[:, None] for t in (D, delta_bias)))
        return cls(*(sizes.to_tiles(t, 0).flatten().numpy() for t in rows))


class Job(NamedTuple):
    """One kernel call: some tiles of one group of one batch entry."""

    batch: int
    group: int
    first_tile: int
    tiles: int
    part: int


def cut(sizes: Sizes, threads: int, groups_in_turn: bool) -> list[list[Job]]:
    """Cut the work into lists of jobs that may run at the same time; the jobs of one list run in turn.

    ``groups_in_turn``: all groups write to the same channels, so that one list holds all of them.
    """
    lists = sizes.batch * (1 if groups_in_turn else sizes.groups)
    if sizes.groups * sizes.width * sizes.length * sizes.states < _SMALL:
        threads = 1
    parts = min(sizes.tiles, -(-threads // lists))
    edges = [sizes.tiles * part // parts for part in range(parts + 1)]
    chains = []
    for batch in range(sizes.batch):
        for part in range(parts):
            jobs = [
                Job(batch, group, edges[part], edges[part + 1] - edges[part], part) for group in range(sizes.groups)
            ]
            chains += [jobs] if groups_in_turn else [[job] for job in jobs]
    return chains


class Problem(NamedTuple):
    """The inputs of one call, ready for the kernels: plain scans and cross-scans differ only in how this is filled."""

    sizes: Sizes
    u: Sequence
    delta: Sequence
    z: Sequence | None
    B: Sequence
    C: Sequence
    parameters: Parameters
    delta_softplus: bool
    reads: list[np.ndarray]  # by group: the voxel of each step; empty for a plain scan
    writes: list[np.ndarray]
    groups_in_turn: bool

    def scan(self, out: Sequence, state: np.ndarray, saved: np.ndarray) -> None:
        """Run forward: fills out, turns state (tiles) into the last state, fills saved unless it is empty."""
        kernel = load_kernel("scan_forward")
        s = self.sizes
        z = self.z or self.u
        strides = np.array(
            [*self.u[3:], *self.delta[3:], *z[3:], *self.B[3:], *self.C[3:], *out[3:]], np.int64
        )  # fmt: skip

        def run(job: Job) -> None:
            tile, channel, channels, at_state, at_saved = self._place(job)
            where = (job.batch, job.group)
            at = [seq.at(*where, channel) for seq in (self.u, self.delta, z)]
            at += [self.B.at(*where, 0), self.C.at(*where, 0), out.at(*where, channel), tile, at_state, at_saved]
            adding = self.groups_in_turn and job.group > 0
            flags = np.array([self.z is not None, self.delta_softplus, saved.size > 0, adding], np.int64)
            size = np.array([channels, s.length, s.states, s.groups * s.width], np.int64)
            kernel(
                self.u.memory, self.delta.memory, z.memory, self.B.memory, self.C.memory, *self.parameters,
                state, saved, out.memory, np.array(at, np.int64), strides, self.reads[job.group],
                self.writes[job.group], size, flags, scratch((5 * STEPS * WIDTH) + 2 * s.states * STEPS),
            )  # fmt: skip

        run_jobs(cut(s, torch.get_num_threads(), self.groups_in_turn), run)

    def _place(self, job: Job) -> tuple[int, int, int, int, int]:
        """Return (index of the first tile, channel in the group, channels, offsets of the state and of saved)."""
        s = self.sizes
        tile = job.group * s.tiles + job.first_tile
        channel = job.first_tile * WIDTH
        channels = min(job.tiles * WIDTH, s.width - channel)
        at_state = (job.batch * s.groups * s.tiles + tile) * s.states * WIDTH
        chunks = -(-s.length // STEPS)
        at_saved = job.batch * chunks * s.states * s.groups * s.width + job.group * s.width + channel
        return tile, channel, channels, at_state, at_saved

    def gradients(
        self,
        out: Sequence,
        carry: np.ndarray,
        saved: np.ndarray,
        g_u: Sequence,
        g_delta: Sequence,
        g_z: Sequence | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run backward from the upstream gradient ``out``: fills g_u, g_delta, g_z and turns carry (tiles) into the
        gradient of the first state. Returns the gradients of B and C (batch, groups, N, L) and the float64 sums over
        time (groups * tiles, N + 2, 16): those of A, D and the bias.
        """
        kernel = load_kernel("scan_backward")
        s = self.sizes
        z, g_z = (self.z or self.u), (g_z or g_u)
        chains = cut(s, torch.get_num_threads(), self.groups_in_turn)
        parts = 1 + max(job.part for jobs in chains for job in jobs)
        g_B, g_C = (torch.empty(parts, s.batch, s.groups, s.states, s.length) for _ in range(2))
        sums = torch.zeros(s.batch, s.groups * s.tiles, s.states + 2, WIDTH, dtype=torch.float64)
        sequences = (self.u, self.delta, z, self.B, self.C, out, g_u, g_delta, g_z)
        strides = np.array([stride for seq in sequences for stride in seq[3:]], np.int64)
        flat_B, flat_C = g_B.view(-1).numpy(), g_C.view(-1).numpy()

        def run(job: Job) -> None:
            tile, channel, channels, at_state, at_saved = self._place(job)
            where = (job.batch, job.group)
            at = [seq.at(*where, channel) for seq in (self.u, self.delta, z)]
            at += [self.B.at(*where, 0), self.C.at(*where, 0), out.at(*where, channel), tile, at_state, at_saved]
            at += [seq.at(*where, channel) for seq in (g_u, g_delta, g_z)]
            at += [((job.part * s.batch + job.batch) * s.groups + job.group) * s.states * s.length]
            adding = self.groups_in_turn and job.group > 0
            flags = np.array([self.z is not None, self.delta_softplus, True, adding], np.int64)
            size = np.array([channels, s.length, s.states, s.groups * s.width], np.int64)
            floats = (18 * STEPS * WIDTH) + 2 * WIDTH + s.states * (WIDTH + 2 * STEPS + 2 * STEPS * WIDTH)
            kernel(
                self.u.memory, self.delta.memory, z.memory, self.B.memory, self.C.memory, *self.parameters, saved,
                out.memory, carry, g_u.memory, g_delta.memory, g_z.memory, flat_B, flat_C,
                sums[job.batch].view(-1).numpy(), np.array(at, np.int64), strides, self.reads[job.group],
                self.writes[job.group], size, flags, scratch(floats),
            )  # fmt: skip

        run_jobs(chains, run)
        return g_B.sum(0) if parts > 1 else g_B[0], g_C.sum(0) if parts > 1 else g_C[0], sums.sum(0)


def scratch(floats: int) -> np.ndarray:
    """Working memory of one job, aligned to cache lines."""
    return torch.empty(floats).numpy()


def first_state(sizes: Sizes, initial_state: Tensor | None) -> Tensor:
    """The state before the first step, in tiles (batch, groups * tiles, N, 16)."""
    if initial_state is None:
        return torch.zeros(sizes.batch, sizes.groups * sizes.tiles, sizes.states, WIDTH)
    return sizes.to_tiles(initial_state, 1)
