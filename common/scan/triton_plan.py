"""How the Triton scan deals work out: tile shapes, chunk length, and what the kernels may assume of strides and walks."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

STEPS = 4  # time steps read at once
_WARPS_WANTED = 1584  # warps at work at once: 12 on each of 132 multiprocessors
_STATES_A_THREAD = 16
_AXES = "xyz"
IDENTITY, RUNS_UP, RUNS_DOWN, GENERAL = range(4)


class Plan(NamedTuple):
    """Tile of one program and the cut of time into chunks; the letters are those of ``common.scan.triton_tiles``."""

    chunk: int
    NH: int
    DH: int
    NL: int
    DL: int
    warps: int

    @property
    def channels(self) -> int:
        """Channels that one program works on."""
        return self.DH * self.DL

    def constants(self) -> dict[str, int]:
        """The constants that every kernel takes."""
        shape = {"NH": self.NH, "DH": self.DH, "NL": self.NL, "DL": self.DL}
        return {"CHUNK": self.chunk, "T": STEPS, "num_warps": self.warps, **shape}


def chunk_length(batch: int, channels: int, length: int) -> int:
    """Steps in a chunk: the longest power of two, 32 to 512, that still gives the chip enough warps.

    Depends on shapes alone, since what the forward saves for the backward must have a shape known beforehand.
    """
    chunk = 512
    while chunk > 32 and -(-length // chunk) * -(-channels // 32) * batch < _WARPS_WANTED:
        chunk //= 2
    return chunk


def chunk_count(batch: int, channels: int, length: int) -> int:
    """Number of chunks."""
    return -(-length // chunk_length(batch, channels, length))


def plan(
    batch: int, channels: int, length: int, states: int, groups: int, state_lanes: int, lanes: int = 32, warps: int = 4
) -> Plan:
    """Choose the tile: ``state_lanes`` lanes of a warp share out the states, the rest the channels.

    A thread keeps about 16 states: N / NL states of as many channels as that leaves. Warps are halved while they would
    sit beside the channels of a group.
    """
    padded = 1 << max(0, states - 1).bit_length()
    NL = max(min(state_lanes, padded), min(padded // 8, lanes))
    NH, DL = padded // NL, lanes // NL
    channels_a_thread = max(1, min(_STATES_A_THREAD // NH, NL))
    width = channels // groups
    while warps > 1 and (width % (DL * channels_a_thread * warps) or width < DL * channels_a_thread * warps):
        warps //= 2
    while channels_a_thread > 1 and DL * channels_a_thread // 2 >= width:
        channels_a_thread //= 2
    return Plan(chunk_length(batch, channels, length), NH, channels_a_thread * warps, NL, DL, warps)


class Walk(NamedTuple):
    """Where step t of a walk lies: with counters (i, j, k) of sizes (_, n1, n2), at base + i s0 + j s1 + k s2."""

    mode: int
    n1: int
    n2: int
    base: int
    s0: int
    s1: int
    s2: int


ALONG = Walk(IDENTITY, 1, 1, 0, 0, 0, 0)


def walk_over(letters: str, shape: Sequence[int], aligned: bool) -> Walk:
    """The walk of letters such as ``"yxZ"`` (slowest first, capitals backwards) over a row-major volume."""
    strides = {"x": shape[1] * shape[2], "y": shape[2], "z": 1}
    sizes = dict(zip(_AXES, shape, strict=True))
    axes = letters.lower()
    steps = [strides[a] * (-1 if letter.isupper() else 1) for a, letter in zip(axes, letters, strict=True)]
    base = sum((sizes[a] - 1) * strides[a] for a, letter in zip(axes, letters, strict=True) if letter.isupper())
    runs = aligned and axes[2] == "z" and shape[2] % STEPS == 0
    mode = IDENTITY if letters == _AXES else GENERAL if not runs else RUNS_UP if letters[2] == "z" else RUNS_DOWN
    return Walk(mode, sizes[axes[1]], sizes[axes[2]], base, *steps)


def aligned(tensors: Sequence[Tensor | None]) -> bool:
    """Whether the last axis of every tensor given is contiguous and starts at multiples of ``STEPS``."""
    return all(
        t is None or (t.stride(-1) == 1 and all(s % STEPS == 0 for s in t.stride()[:-1])) for t in tensors
    )


def scratch_programs(items: int, multiprocessors: int, warps: int) -> int:
    """Programs of the gradient kernel: enough to fill the chip once, so that the scratch area stays small."""
    return max(1, min(items, multiprocessors * math.ceil(16 / warps)))
