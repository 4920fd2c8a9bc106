"""Launching the Triton scan's kernels: one scan along one walk, from tensors to kernel arguments."""

import contextlib
import functools
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from common.scan.triton.plan import (
    ADJOINT,
    ALONG,
    BACKWARD,
    FORWARD,
    STEPS,
    Plan,
    ThreadShape,
    Walk,
    alignment,
    chunk_count,
    plan,
    scratch_programs,
)


def saved_shape(batch: int, channels: int, length: int, states: int) -> tuple[int, ...]:
    """The state before every chunk and after the last, channels last."""
    return (batch, chunk_count(batch, channels, length) + 1, states, channels)


@functools.cache
def _kernels() -> tuple[ModuleType, ModuleType, ModuleType]:
    """Import and return the modules of kernels: forward, backward, shared."""
    from common.scan.triton import backward, forward, tiles

    return forward, backward, tiles


@functools.cache
def _device_facts(index: int | None) -> tuple[int, int]:
    """(lanes of a warp, multiprocessors) of a GPU; small stand-ins for the interpreter."""
    if index is None:
        return 32, 2
    properties = torch.cuda.get_device_properties(index)
    return getattr(properties, "warp_size", 32), properties.multi_processor_count


class Job(NamedTuple):
    """One scan along one walk: inputs with B and C (batch, groups, N, L), where to read and where to write."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    bias: Tensor | None
    softplus: bool
    read: Walk = ALONG
    write: Walk = ALONG

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return chunk_count(*self.u.shape)

    def tile(self, shape: ThreadShape) -> Plan:
        """The tile of one program."""
        batch, channels, length = self.u.shape
        lanes = _device_facts(self.u.device.index)[0]
        return plan(batch, channels, length, self.A.shape[1], self.B.shape[1], shape, lanes)

    def blocks(self, tile: Plan) -> int:
        """Programs that share out the channels of one group."""
        return -(-self.u.shape[1] // self.B.shape[1] // tile.channels)

    def sizes(self, tile: Plan) -> dict[str, int]:
        """The sizes that every chunk kernel takes."""
        channels, groups = self.u.shape[1], self.B.shape[1]
        return {
            "channels": channels, "width": channels // groups, "blocks": self.blocks(tile), "length": self.u.shape[2],
            "chunk_count": self.chunks, "state_count": self.A.shape[1], "unit": 1,
        }  # fmt: skip

    def reading(self) -> dict[str, int]:
        """The walk that u, delta, B and C are read along."""
        walk = self.read._asdict()
        return {"MODE": walk.pop("mode"), **walk}

    def writing(self) -> dict[str, int]:
        """The walk that outputs are written and z is read along."""
        w = self.write
        return {"TO_MODE": w.mode, "to_base": w.base, "to_s0": w.s0, "to_s1": w.s1, "to_s2": w.s2}

    def flags(self) -> dict[str, bool]:
        """What the kernels need to know about the options."""
        return {"TAIL": self.u.shape[2] % STEPS != 0, "SOFTPLUS": self.softplus, "HAS_BIAS": self.bias is not None}


def _strides(**sequences: Tensor) -> dict[str, int]:
    """Strides of (batch, channels, L) tensors by argument name, in units of what they are multiples of."""
    unit = alignment(list(sequences.values()))
    found = {"ALIGNED": unit}
    for name, t in sequences.items():
        found |= {f"{name}_b": t.stride(0) // unit, f"{name}_d": t.stride(1) // unit, f"{name}_l": t.stride(2)}
    return found


def _matrices(**matrices: Tensor) -> dict[str, Tensor | int]:
    """(batch, groups, N, L) tensors and their strides in units of ``STEPS``, copied where rows do not start at them."""
    found: dict[str, Tensor | int] = {}
    for name, t in matrices.items():
        if alignment([t]) == 1:
            t = F.pad(t, (0, -t.shape[3] % STEPS)).contiguous()
        found[name] = t
        found |= {f"{name}_{axis}": s // STEPS for axis, s in zip("bgn", t.stride()[:3], strict=True)}
    return found


def on_device(tensor: Tensor):
    """Make the tensor's GPU the current one, where Triton launches; nothing to do for the interpreter."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()


def _carry(job: Job, states: Tensor, sums: Tensor, reverse: bool) -> None:
    """Carry states across the chunks, in place."""
    tiles = _kernels()[2]
    batch, channels, _ = job.u.shape
    count, columns = job.A.shape[1], 32
    rows = min(64, max(2, 1 << (job.chunks - 1).bit_length()))
    tiles.carry_states[(-(-channels * count // columns), batch)](
        states, sums, job.A, *job.A.stride(), channels, count, job.chunks,
        ROWS=rows, COLUMNS=columns, REVERSE=reverse, num_warps=4, enable_fp_fusion=True,
    )  # fmt: skip


def first_states(job: Job, initial_state: Tensor | None) -> Tensor:
    """Return the state before every chunk and after the last, (batch, chunks + 1, N, channels)."""
    forward = _kernels()[0]
    batch, channels, length = job.u.shape
    tile = job.tile(FORWARD)
    states = job.u.new_empty(saved_shape(batch, channels, length, job.A.shape[1]), dtype=torch.float32)
    sums = states.new_empty(batch, job.chunks, channels)
    states[:, 0] = 0 if initial_state is None else initial_state.transpose(1, 2)
    given = {"u": job.u, "delta": job.delta}
    forward.chunk_summaries[(job.chunks, job.blocks(tile) * job.B.shape[1], batch)](
        **given, A=job.A, bias=_or(job.bias, job.u), states=states, sums=sums,
        A_d=job.A.stride(0), A_n=job.A.stride(1), **_strides(**given), **_matrices(B=job.B),
        **job.sizes(tile), **job.reading(), **job.flags(), **tile.constants(),
    )  # fmt: skip
    _carry(job, states, sums, reverse=False)
    return states


def _or(tensor: Tensor | None, stand_in: Tensor) -> Tensor:
    """A tensor to pass for one that was not given; the kernels never touch it."""
    return stand_in if tensor is None else tensor


def write_outputs(job: Job, states: Tensor, out: Tensor, add: bool = False) -> None:
    """Run every chunk from its first state and write its outputs to ``out``, or add to it."""
    forward = _kernels()[0]
    tile = job.tile(FORWARD)
    given = {"u": job.u, "delta": job.delta, "z": _or(job.z, job.u), "out": out}
    forward.chunk_outputs[(job.chunks, job.blocks(tile) * job.B.shape[1], job.u.shape[0])](
        **given, A=job.A, D=_or(job.D, job.u), bias=_or(job.bias, job.u), states=states,
        A_d=job.A.stride(0), A_n=job.A.stride(1), **_strides(**given), **_matrices(B=job.B, C=job.C),
        HAS_D=job.D is not None, HAS_Z=job.z is not None, ADD=add,
        **job.sizes(tile), **job.reading(), **job.writing(), **job.flags(), **tile.constants(),
    )  # fmt: skip


class Gradients(NamedTuple):
    """What the gradient kernel leaves, slices added up, all small ones in float32."""

    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    bias: Tensor
    initial_state: Tensor


def _adjoints(job: Job, grad_out: Tensor, grad_last_state: Tensor | None) -> Tensor:
    """Return what every chunk gets from the one behind it, (batch, chunks + 1, N, channels)."""
    backward = _kernels()[1]
    batch, channels, length = job.u.shape
    tile = job.tile(ADJOINT)
    adjoints = job.u.new_empty(saved_shape(batch, channels, length, job.A.shape[1]), dtype=torch.float32)
    sums = adjoints.new_empty(batch, job.chunks, channels)
    adjoints[:, -1] = 0 if grad_last_state is None else grad_last_state.transpose(1, 2)
    given = {"delta": job.delta, "z": _or(job.z, job.u), "dout": grad_out}
    backward.chunk_adjoints[(job.chunks, job.blocks(tile) * job.B.shape[1], batch)](
        **given, A=job.A, bias=_or(job.bias, job.u), adjoints=adjoints, sums=sums,
        A_d=job.A.stride(0), A_n=job.A.stride(1), **_strides(**given), **_matrices(C=job.C),
        HAS_Z=job.z is not None,
        **job.sizes(tile), **job.reading(), **job.writing(), **job.flags(), **tile.constants(),
    )  # fmt: skip
    _carry(job, adjoints, sums, reverse=True)
    return adjoints


def write_gradients(
    job: Job, states: Tensor, grad_out: Tensor, grad_last_state: Tensor | None,
    du: Tensor, ddelta: Tensor, dz: Tensor | None, add: bool = False,
) -> Gradients:  # fmt: skip
    """Write the gradients of u (or add to them), delta and z, and return the others."""
    backward = _kernels()[1]
    adjoints = _adjoints(job, grad_out, grad_last_state)
    batch, channels, length = job.u.shape
    groups, states_count = job.B.shape[1], job.A.shape[1]
    tile = job.tile(BACKWARD)
    blocks = job.blocks(tile)
    new = functools.partial(job.u.new_empty, dtype=torch.float32)
    dB, dC = (new(blocks, batch, groups, states_count, length + -length % STEPS) for _ in range(2))
    dA, dD, dbias = new(batch * job.chunks, states_count, channels), *(new(batch * job.chunks, channels) for _ in "Db")
    multiprocessors = _device_facts(job.u.device.index)[1]
    programs = scratch_programs(job.chunks * blocks * groups * batch, multiprocessors)
    scratch = new(programs, tile.chunk // STEPS, tile.NH * tile.NL, tile.channels)
    given = {"u": job.u, "delta": job.delta, "z": _or(job.z, job.u), "dout": grad_out}
    given |= {"du": du, "ddelta": ddelta, "dz": _or(dz, du)}
    backward.chunk_gradients[(programs,)](
        **given, A=job.A, D=_or(job.D, job.u), bias=_or(job.bias, job.u), states=states, adjoints=adjoints,
        dA=dA, dB=dB, dC=dC, dD=dD, dbias=dbias, scratch=scratch, batches=batch, groups=groups,
        A_d=job.A.stride(0), A_n=job.A.stride(1), **_strides(**given), **_matrices(B=job.B, C=job.C),
        HAS_D=job.D is not None, HAS_Z=job.z is not None, ADD=add,
        **job.sizes(tile), **job.reading(), **job.writing(), **job.flags(), **tile.constants(),
    )  # fmt: skip
    sums = [slices.sum(0, dtype=torch.float64) for slices in (dA, dD, dbias)]
    return Gradients(
        sums[0].t(), dB.sum(0)[..., :length], dC.sum(0)[..., :length], sums[1], sums[2], adjoints[:, 0].transpose(1, 2)
    )
