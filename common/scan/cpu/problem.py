"""A scan laid out for the CPU kernels: memory with strides, and parameters in tiles.

Plain scans, cross-scans over volumes and the streamed Mamba block differ only in how they fill a ``Problem``.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.compiled.width import WIDTH
from common.scan.cpu.sizes import Floats, Place, Voxels

LOG2_E = 1.4426950408889634
NO_WALK = np.empty(0, np.int64)


class Sequence(NamedTuple):
    """A (batch, groups, channels, step) tensor as the kernels see it: flat memory and four strides."""

    memory: Floats
    batch: int
    group: int
    channel: int
    step: int

    def place(self, batch: int, group: int, channel: int = 0) -> Place:
        """Where the channels (or states) from this one on lie."""
        start = batch * self.batch + group * self.group + channel * self.channel
        return Place(start, self.channel, self.step)


def flat(tensor: Tensor) -> Floats:
    """The memory that the tensor spans, as a flat array without a copy."""
    if tensor.is_contiguous():
        return tensor.view(-1).numpy()
    span = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        span += (size - 1) * stride
    return tensor.as_strided((span,), (1,), tensor.storage_offset()).numpy()


def sequence(tensor: Tensor, groups: int) -> Sequence:
    """A float32 tensor (batch, channels, step) whose channels fall into groups."""
    batch, channel, step = tensor.stride()
    return Sequence(flat(tensor), batch, tensor.shape[1] // groups * channel, channel, step)


def grouped_sequence(tensor: Tensor) -> Sequence:
    """A float32 tensor (batch, groups, channels or states, step)."""
    return Sequence(flat(tensor), *tensor.stride())


def shared_sequence(tensor: Tensor) -> Sequence:
    """A float32 tensor (batch, channels, step) that every group uses."""
    batch, channel, step = tensor.stride()
    return Sequence(flat(tensor), batch, 0, channel, step)


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
        """Copy rows (.., groups * width at axis, k) to float32 tiles (.., groups * tiles, k, 16), zeros beyond them."""
        rows = rows.float()
        if self.width % WIDTH:
            rows = rows.unflatten(axis, (self.groups, self.width))
            padded = rows.new_zeros(*rows.shape[: axis + 1], self.tiles * WIDTH, rows.shape[-1])
            padded.narrow(axis + 1, 0, self.width).copy_(rows)
            rows = padded.flatten(axis, axis + 1)
        tiles = rows.unflatten(axis, (self.groups * self.tiles, WIDTH)).transpose(-1, -2)
        return tiles.clone(memory_format=torch.contiguous_format)

    def from_tiles(self, tiles: Tensor, axis: int) -> Tensor:
        """The inverse of ``to_tiles``."""
        rows = tiles.transpose(-1, -2).flatten(axis, axis + 1)
        if self.width % WIDTH == 0:
            return rows.contiguous()
        rows = rows.unflatten(axis, (self.groups, self.tiles * WIDTH)).narrow(axis + 1, 0, self.width)
        return rows.flatten(axis, axis + 1).contiguous()

    def state_tiles(self, state: Tensor | None) -> Tensor:
        """A state (batch, channels, N), or zeros, in tiles (batch, groups * tiles, N, 16)."""
        if state is None:
            return torch.zeros(self.batch, self.groups * self.tiles, self.states, WIDTH)
        return self.to_tiles(state, 1)


class Parameters(NamedTuple):
    """A (times log2 e), D and the bias in tiles; absent ones are zero."""

    A2: Floats
    D: Floats
    bias: Floats

    @classmethod
    def of(cls, sizes: Sizes, A: Tensor, D: Tensor | None, delta_bias: Tensor | None) -> "Parameters":
        """Bring the parameters of all channels into tiles."""
        zero = A.new_zeros(A.shape[0])
        rows = (A.float() * LOG2_E, *((zero if t is None else t)[:, None] for t in (D, delta_bias)))
        return cls(*(sizes.to_tiles(t, 0).flatten().numpy() for t in rows))


class Problem(NamedTuple):
    """The inputs of one call, ready for the kernels."""

    sizes: Sizes
    u: Sequence
    delta: Sequence
    z: Sequence | None
    B: Sequence
    C: Sequence
    parameters: Parameters
    delta_softplus: bool
    reads: list[Voxels]  # by group: the voxel of each step; empty for a plain scan
    writes: list[Voxels]
    groups_in_turn: bool  # all groups write to the same channels
