"""How the Triton scan deals work out: tile shapes, chunk length, and what kernels may assume of strides and walks."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

STEPS = 4  # time steps read at once
_WARPS_WANTED = 1584  # warps at work at once: 12 on each of 132 multiprocessors
_RESIDENT = 12  # programs of the gradient kernel at once on a multiprocessor
_AXES = "xyz"
IDENTITY, RUNS_UP, RUNS_DOWN, GENERAL = range(4)


class ThreadShape(NamedTuple):
    """How a warp is dealt out: lanes that share a channel's states, and states (of all channels) a thread keeps."""

    state_lanes: int
    states_a_thread: int


FORWARD, ADJOINT, BACKWARD = ThreadShape(2, 16), ThreadShape(2, 16), ThreadShape(4, 8)


class Plan(NamedTuple):
    """Tile of one program and the cut of time into chunks; the letters are those of ``common.scan.triton.tiles``."""

    chunk: int
    NH: int
    DH: int
    NL: int
    DL: int

    @property
    def channels(self) -> int:
        """Channels that one program works on."""
        return self.DH * self.DL

    def constants(self) -> dict[str, int]:
        """The constants that every kernel takes."""
        shape = {"NH": self.NH, "DH": self.DH, "NL": self.NL, "DL": self.DL}
        return {"CHUNK": self.chunk, "T": STEPS, "num_warps": 1, "enable_fp_fusion": True, **shape}


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


def plan(batch: int, channels: int, length: int, states: int, groups: int, shape: ThreadShape, lanes: int = 32) -> Plan:
    """Choose the tile of one program, a single warp: nothing then passes through shared memory or waits at a barrier.

    ``shape`` says what suits 16 states; other counts keep its states a thread as far as they go.
    """
    padded = 1 << max(0, states - 1).bit_length()
    NL = max(min(shape.state_lanes, padded), min(padded * shape.state_lanes // 16, lanes))
    NH, DL = padded // NL, lanes // NL
    channels_a_thread = max(1, shape.states_a_thread // NH)
    while channels_a_thread > 1 and DL * channels_a_thread // 2 >= channels // groups:
        channels_a_thread //= 2
    return Plan(chunk_length(batch, channels, length), NH, channels_a_thread, NL, DL)


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


def walk_over(letters: str, shape: Sequence[int]) -> Walk:
    """The walk of letters such as ``"yxZ"`` (slowest first, capitals backwards) over a row-major volume."""
    strides = {"x": shape[1] * shape[2], "y": shape[2], "z": 1}
    sizes = dict(zip(_AXES, shape, strict=True))
    axes = letters.lower()
    steps = [strides[a] * (-1 if letter.isupper() else 1) for a, letter in zip(axes, letters, strict=True)]
    base = sum((sizes[a] - 1) * strides[a] for a, letter in zip(axes, letters, strict=True) if letter.isupper())
    runs = axes[2] == "z" and shape[2] % STEPS == 0
    mode = IDENTITY if letters == _AXES else GENERAL if not runs else RUNS_UP if letters[2] == "z" else RUNS_DOWN
    return Walk(mode, sizes[axes[1]], sizes[axes[2]], base, *steps)


def alignment(tensors: Sequence[Tensor | None]) -> int:
    """What the strides of all but the last axis are multiples of: ``STEPS`` if the last is contiguous too, otherwise 1.

    The kernels get these strides divided by it and multiply again, which tells the compiler.
    """
    given = [t.stride() for t in tensors if t is not None]
    return STEPS if all(s[-1] == 1 and all(other % STEPS == 0 for other in s[:-1]) for s in given) else 1


def scratch_programs(items: int, multiprocessors: int) -> int:
    """Programs of the gradient kernel: enough to fill the chip once, so that the scratch area stays small."""
    return min(items, multiprocessors * _RESIDENT)
