"""What the host and the CPU kernels of the scan must agree on, each thing once: constants, working memory, arguments.

The kernels check no bounds, so whatever both sides count, lay out or hand over stands here and nowhere else. Needs no
numba: the kernels import the constants, compile the two layouts and take the tuples below by their fields' names.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.compiled.width import WIDTH

STEPS = 32  # steps of a chunk: what is read, scanned and written at once; its first state is kept for the backward
BUFFER = STEPS * WIDTH  # floats of one (STEPS, WIDTH) buffer: a chunk of one tile

Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]
Voxels: TypeAlias = NDArray[np.int64]


class ForwardLayout(NamedTuple):
    """Where each part of the forward kernel's working memory begins, and how many floats it has."""

    u: int
    delta: int
    du: int  # delta u
    y: int
    z: int
    B: int  # (states, STEPS), as C
    C: int
    floats: int


def forward_layout(states: int) -> ForwardLayout:
    """Lay out the working memory of ``scan_forward``."""
    matrices, matrix = 5 * BUFFER, states * STEPS
    return ForwardLayout(
        0, BUFFER, 2 * BUFFER, 3 * BUFFER, 4 * BUFFER, matrices, matrices + matrix, matrices + 2 * matrix
    )


class BackwardLayout(NamedTuple):
    """Where each part of the backward kernel's working memory begins, and how many floats it has."""

    u: int
    raw: int  # delta and its bias, before softplus
    delta: int
    du: int  # delta u
    y: int
    z: int
    g_out: int
    g_y: int  # the gradient before the gate
    g_du: int
    g_delta: int  # right behind g_du: both are cleared at once
    decay: int  # of four states
    h: int  # four states before each step; one state before and after
    line: int  # sums over the lanes, WIDTH at once
    first: int  # (states, WIDTH), the states before the chunk
    B: int  # (states, STEPS), as C
    C: int
    g_B: int  # (states, STEPS, WIDTH), lane by lane, as g_C
    g_C: int  # right behind g_B and the last: both are cleared at once
    floats: int


def backward_layout(states: int) -> BackwardLayout:
    """Lay out the working memory of ``scan_backward``."""
    decay, h = 10 * BUFFER, 14 * BUFFER
    line = h + 4 * BUFFER
    first = line + WIDTH
    B = first + states * WIDTH
    C = B + states * STEPS
    g_B = C + states * STEPS
    g_C = g_B + states * BUFFER
    return BackwardLayout(
        0, BUFFER, 2 * BUFFER, 3 * BUFFER, 4 * BUFFER, 5 * BUFFER, 6 * BUFFER, 7 * BUFFER, 8 * BUFFER, 9 * BUFFER,
        decay, h, line, first, B, C, g_B, g_C, g_C + states * BUFFER,
    )  # fmt: skip


class Extent(NamedTuple):
    """What one kernel call computes: some consecutive tiles of one group of one batch entry."""

    tile: int  # index of the first, over all groups
    channels: int
    length: int
    states: int
    state: int  # element of the first tile's state
    saved: int  # element of the first channel's state before the first chunk
    saved_row: int  # channels of all groups: the distance of two states in what is saved


class Flags(NamedTuple):
    """What one kernel call does besides."""

    gated: bool
    softplus: bool
    save: bool
    adding: bool  # to what is in the output already


class Place(NamedTuple):
    """Where a call's part of one array lies, in elements."""

    start: int  # the first step of the first channel, or of B's and C's first state
    channel: int  # from channel to channel, or from state to state
    step: int


class ForwardPlaces(NamedTuple):
    """Where the sequences of a forward call lie."""

    u: Place
    delta: Place
    z: Place
    B: Place
    C: Place
    out: Place


class BackwardPlaces(NamedTuple):
    """Where the sequences of a backward call lie."""

    u: Place
    delta: Place
    z: Place
    B: Place
    C: Place
    g_out: Place
    g_u: Place
    g_delta: Place
    g_z: Place
    g_matrix: Place  # of both B and C, in steps of the walk


class ForwardArguments(NamedTuple):
    """The arguments of ``scan_forward`` in their order; all arrays are flat."""

    u: Floats
    delta: Floats
    z: Floats
    B: Floats
    C: Floats
    A2: Floats  # in tiles (groups * tiles, states, WIDTH), times log2 e
    D: Floats  # in tiles (groups * tiles, WIDTH), as bias
    bias: Floats
    state: Floats  # in tiles (batch, groups * tiles, states, WIDTH): the first state becomes the last
    saved: Floats  # (batch, chunks, states, channels of all groups): the state before each chunk
    out: Floats
    places: ForwardPlaces
    read: Voxels  # (length,) the voxel of each step, or empty where there is no walk
    write: Voxels
    extent: Extent
    flags: Flags
    scratch: Floats  # ``forward_layout(states).floats`` of them


class BackwardArguments(NamedTuple):
    """The arguments of ``scan_backward`` in their order; what it shares with ``scan_forward`` is as there."""

    u: Floats
    delta: Floats
    z: Floats
    B: Floats
    C: Floats
    A2: Floats
    D: Floats
    bias: Floats
    saved: Floats
    g_out: Floats
    carry: Floats  # in tiles: the gradient of the last state becomes that of the first
    g_u: Floats
    g_delta: Floats
    g_z: Floats
    g_B: Floats  # (parts, batch, groups, states, length), as g_C
    g_C: Floats
    sums: Doubles  # (groups * tiles, states + 2, WIDTH): of A's gradient, D's and the bias'
    places: BackwardPlaces
    read: Voxels
    write: Voxels
    extent: Extent
    flags: Flags
    scratch: Floats  # ``backward_layout(states).floats`` of them


class ConvolveArguments(NamedTuple):
    """The arguments of ``convolve`` in their order."""

    source: Floats  # (steps + taps - 1, row)
    row: int
    weight: Floats  # (taps, channels)
    bias: Floats
    target: Floats  # (steps, channels)
    channels: int
    taps: int
    steps: int
