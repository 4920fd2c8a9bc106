"""Launching the Triton scan's kernels: one scan along one walk, from tensors to kernel arguments."""

import contextlib
import functools
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from common.scan.seam import Scan
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


class WalkedScan(NamedTuple):
    """One scan along one walk: where its steps are read and where their results are written."""

    scan: Scan
    read: Walk = ALONG
    write: Walk = ALONG

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return chunk_count(*self.scan.u.shape)

    def tile(self, shape: ThreadShape) -> Plan:
        """The tile of one program."""
        batch, channels, length = self.scan.u.shape
        lanes = _device_facts(self.scan.u.device.index)[0]
        return plan(batch, channels, length, self.scan.A.shape[1], self.scan.B.shape[1], shape, lanes)

    def blocks(self, tile: Plan) -> int:
        """Programs that share out the channels of one group."""
        return -(-self.scan.u.shape[1] // self.scan.B.shape[1] // tile.channels)

    def sizes(self, tile: Plan) -> dict[str, int]:
        """The sizes that every chunk kernel takes."""
        (_, channels, length), groups = self.scan.u.shape, self.scan.B.shape[1]
        return {
            "channels": channels, "width": channels // groups, "blocks": self.blocks(tile), "length": length,
            "chunk_count": self.chunks, "state_count": self.scan.A.shape[1], "unit": 1,
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
        return {
            "TAIL": self.scan.u.shape[2] % STEPS != 0,
            "SOFTPLUS": self.scan.delta_softplus,
            "HAS_BIAS": self.scan.delta_bias is not None,
        }


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


def on_device(tensor: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Make the tensor's GPU the current one, where Triton launches; nothing to do for the interpreter."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()


def _carry(walked: WalkedScan, states: Tensor, sums: Tensor, reverse: bool) -> None:
    """Carry states across the chunks, in place."""
    scan, tiles = walked.scan, _kernels()[2]
    batch, channels, _ = scan.u.shape
    count, columns = scan.A.shape[1], 32
    rows = min(64, max(2, 1 << (walked.chunks - 1).bit_length()))
    tiles.carry_states[(-(-channels * count // columns), batch)](
        states, sums, scan.A, *scan.A.stride(), channels, count, walked.chunks,
        ROWS=rows, COLUMNS=columns, REVERSE=reverse, num_warps=4, enable_fp_fusion=True,
    )  # fmt: skip


def first_states(walked: WalkedScan, initial_state: Tensor | None) -> Tensor:
    """Return the state before every chunk and after the last, (batch, chunks + 1, N, channels)."""
    scan, forward = walked.scan, _kernels()[0]
    batch, channels, length = scan.u.shape
    tile = walked.tile(FORWARD)
    states = scan.u.new_empty(saved_shape(batch, channels, length, scan.A.shape[1]), dtype=torch.float32)
    sums = states.new_empty(batch, walked.chunks, channels)
    states[:, 0] = 0 if initial_state is None else initial_state.transpose(1, 2)
    given = {"u": scan.u, "delta": scan.delta}
    forward.chunk_summaries[(walked.chunks, walked.blocks(tile) * scan.B.shape[1], batch)](
        **given, A=scan.A, bias=_or(scan.delta_bias, scan.u), states=states, sums=sums,
        A_d=scan.A.stride(0), A_n=scan.A.stride(1), **_strides(**given), **_matrices(B=scan.B),
        **walked.sizes(tile), **walked.reading(), **walked.flags(), **tile.constants(),
    )  # fmt: skip
    _carry(walked, states, sums, reverse=False)
    return states


def _or(tensor: Tensor | None, stand_in: Tensor) -> Tensor:
    """A tensor to pass for one that was not given; the kernels never touch it."""
    return stand_in if tensor is None else tensor


def write_outputs(walked: WalkedScan, states: Tensor, out: Tensor, add: bool = False) -> None:
    """Run every chunk from its first state and write its outputs to ``out``, or add to it."""
    scan, forward = walked.scan, _kernels()[0]
    tile = walked.tile(FORWARD)
    given = {"u": scan.u, "delta": scan.delta, "z": _or(scan.z, scan.u), "out": out}
    forward.chunk_outputs[(walked.chunks, walked.blocks(tile) * scan.B.shape[1], scan.u.shape[0])](
        **given, A=scan.A, D=_or(scan.D, scan.u), bias=_or(scan.delta_bias, scan.u), states=states,
        A_d=scan.A.stride(0), A_n=scan.A.stride(1), **_strides(**given), **_matrices(B=scan.B, C=scan.C),
        HAS_D=scan.D is not None, HAS_Z=scan.z is not None, ADD=add,
        **walked.sizes(tile), **walked.reading(), **walked.writing(), **walked.flags(), **tile.constants(),
    )  # fmt: skip


def _adjoints(walked: WalkedScan, grad_out: Tensor, grad_last_state: Tensor | None) -> Tensor:
    """Return what every chunk gets from the one behind it, (batch, chunks + 1, N, channels)."""
    scan, backward = walked.scan, _kernels()[1]
    batch, channels, length = scan.u.shape
    tile = walked.tile(ADJOINT)
    adjoints = scan.u.new_empty(saved_shape(batch, channels, length, scan.A.shape[1]), dtype=torch.float32)
    sums = adjoints.new_empty(batch, walked.chunks, channels)
    adjoints[:, -1] = 0 if grad_last_state is None else grad_last_state.transpose(1, 2)
    given = {"delta": scan.delta, "z": _or(scan.z, scan.u), "dout": grad_out}
    backward.chunk_adjoints[(walked.chunks, walked.blocks(tile) * scan.B.shape[1], batch)](
        **given, A=scan.A, bias=_or(scan.delta_bias, scan.u), adjoints=adjoints, sums=sums,
        A_d=scan.A.stride(0), A_n=scan.A.stride(1), **_strides(**given), **_matrices(C=scan.C),
        HAS_Z=scan.z is not None,
        **walked.sizes(tile), **walked.reading(), **walked.writing(), **walked.flags(), **tile.constants(),
    )  # fmt: skip
    _carry(walked, adjoints, sums, reverse=True)
    return adjoints


def write_gradients(
    walked: WalkedScan, states: Tensor, grad_out: Tensor, grad_last_state: Tensor | None,
    du: Tensor, ddelta: Tensor, dz: Tensor | None, add: bool = False,
) -> dict[str, Tensor]:  # fmt: skip
    """Write the gradients of u (or add to them), delta and z, and return the others by name."""
    scan, backward = walked.scan, _kernels()[1]
    adjoints = _adjoints(walked, grad_out, grad_last_state)
    batch, channels, length = scan.u.shape
    groups, states_count = scan.B.shape[1], scan.A.shape[1]
    tile = walked.tile(BACKWARD)
    blocks = walked.blocks(tile)
    new = functools.partial(scan.u.new_empty, dtype=torch.float32)
    dB, dC = (new(blocks, batch, groups, states_count, length + -length % STEPS) for _ in range(2))
    dA, dD, dbias = (
        new(batch * walked.chunks, states_count, channels),
        *(new(batch * walked.chunks, channels) for _ in "Db"),
    )
    multiprocessors = _device_facts(scan.u.device.index)[1]
    programs = scratch_programs(walked.chunks * blocks * groups * batch, multiprocessors)
    scratch = new(programs, tile.chunk // STEPS, tile.NH * tile.NL, tile.channels)
    given = {"u": scan.u, "delta": scan.delta, "z": _or(scan.z, scan.u), "dout": grad_out}
    given |= {"du": du, "ddelta": ddelta, "dz": _or(dz, du)}
    backward.chunk_gradients[(programs,)](
        **given, A=scan.A, D=_or(scan.D, scan.u), bias=_or(scan.delta_bias, scan.u), states=states, adjoints=adjoints,
        dA=dA, dB=dB, dC=dC, dD=dD, dbias=dbias, scratch=scratch, batches=batch, groups=groups,
        A_d=scan.A.stride(0), A_n=scan.A.stride(1), **_strides(**given), **_matrices(B=scan.B, C=scan.C),
        HAS_D=scan.D is not None, HAS_Z=scan.z is not None, ADD=add,
        **walked.sizes(tile), **walked.reading(), **walked.writing(), **walked.flags(), **tile.constants(),
    )  # fmt: skip
    sums = [slices.sum(0, dtype=torch.float64) for slices in (dA, dD, dbias)]
    return {
        "A": sums[0].t(), "B": dB.sum(0)[..., :length], "C": dC.sum(0)[..., :length], "D": sums[1],
        "delta_bias": sums[2], "initial_state": adjoints[:, 0].transpose(1, 2),
    }  # fmt: skip
