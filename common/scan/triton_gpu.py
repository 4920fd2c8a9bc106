"""Triton backend of the selective scan: any GPU that Triton compiles for (NVIDIA, AMD), forward, backward and 3D walks.

The kernels are in ``triton_forward`` and ``triton_backward``, the tiles and walks they share in ``triton_tiles``, the
choice of tile shapes in ``triton_plan``. This module plugs them into the seam of ``common.scan.selection``; ``triton`` is
imported when the first scan runs. With ``TRITON_INTERPRET=1`` set before that, Triton's interpreter runs the kernels on
the CPU, for tests.

State, decays and all sums are float32 whatever the inputs' dtype is (float16, bfloat16, float32; no float64). Gradients
are sums in a fixed order: the same inputs give the same bits. Extra memory: one state per chunk (kept for the backward),
and in the backward a scratch area of a fixed number of programs, a slice of dB and dC per block of channels and a slice
of dA per chunk.
"""

import contextlib
import functools
import importlib.util
import os
import shutil
from typing import NamedTuple

import torch
from torch import Tensor

from common.scan.operator import empty_like_sequence
from common.scan.orders import ScanOrder
from common.scan.triton_plan import (
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
    walk_over,
)


def interpreting() -> bool:
    """Whether Triton's interpreter is switched on by its environment variable."""
    return os.environ.get("TRITON_INTERPRET", "0") in ("1", "true", "on")


def availability(device: str) -> tuple[bool, str]:
    """Available on GPUs with ``triton`` and a C compiler (its launcher needs one), on the CPU only to the interpreter."""
    if importlib.util.find_spec("triton") is None:
        return False, "triton is not installed; pip install triton"
    import triton

    found = f"triton {triton.__version__}"
    if interpreting():
        return True, f"{found}, interpreted on the CPU: for tests"
    if device != "cuda":
        return False, f"{found} compiles for GPUs only, the tensors are on {device}"
    if not torch.cuda.is_available():
        return False, f"{found}, but torch {torch.__version__} sees no GPU"
    major, minor = torch.cuda.get_device_capability()
    if torch.version.hip is None and major < 7:
        return False, f"{found} needs compute capability 7.0, this GPU has {major}.{minor}"
    if "CC" not in os.environ and not (shutil.which("gcc") or shutil.which("clang")):
        return False, f"{found} needs a C compiler for its launcher; install gcc or set CC"
    return True, f"{found} on {torch.cuda.get_device_name()}"


def supports(dtype: torch.dtype, states: int, groups: int) -> bool:
    """Everything but float64; up to 256 states."""
    return dtype != torch.float64 and states <= 256


def saved_shape(batch: int, channels: int, length: int, states: int) -> tuple[int, ...]:
    """The state before every chunk and after the last, channels last."""
    return (batch, chunk_count(batch, channels, length) + 1, states, channels)


@functools.cache
def _kernels():
    """Import and return the two kernel modules."""
    from common.scan import triton_backward, triton_forward

    return triton_forward, triton_backward


@functools.cache
def _device_facts(index: int | None) -> tuple[int, int]:
    """(lanes of a warp, multiprocessors) of a GPU; small stand-ins for the interpreter."""
    if index is None:
        return 32, 2
    properties = torch.cuda.get_device_properties(index)
    return getattr(properties, "warp_size", 32), properties.multi_processor_count


class _Job(NamedTuple):
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
    """Strides of (batch, channels, L) tensors by the kernels' argument names, in units of what they are multiples of."""
    unit = alignment(list(sequences.values()))
    found = {"ALIGNED": unit}
    for name, t in sequences.items():
        found |= {f"{name}_b": t.stride(0) // unit, f"{name}_d": t.stride(1) // unit, f"{name}_l": t.stride(2)}
    return found


def _matrix_strides(**matrices: Tensor) -> dict[str, int]:
    """Strides of (batch, groups, N, L) tensors likewise."""
    unit = alignment(list(matrices.values()))
    found = {"ALIGNED_BC": unit}
    for name, t in matrices.items():
        found |= {f"{name}_{axis}": s // unit for axis, s in zip("bgn", t.stride()[:3], strict=True)}
        found[f"{name}_l"] = t.stride(3)
    return found


def _on_device(tensor: Tensor):
    """Make the tensor's GPU the current one, where Triton launches; nothing to do for the interpreter."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()


def _carry(job: _Job, states: Tensor, sums: Tensor, reverse: bool) -> None:
    """Carry states across the chunks, in place."""
    forward, _ = _kernels()
    batch, channels, _ = job.u.shape
    count, columns = job.A.shape[1], 32
    rows = min(64, 1 << max(0, job.chunks - 1).bit_length())
    forward.carry_states[(-(-channels * count // columns), batch)](
        states, sums, job.A, *job.A.stride(), channels, count, job.chunks,
        ROWS=rows, COLUMNS=columns, REVERSE=reverse, num_warps=4,
    )  # fmt: skip


def _first_states(job: _Job, initial_state: Tensor | None) -> Tensor:
    """Return the state before every chunk and after the last, (batch, chunks + 1, N, channels)."""
    forward, _ = _kernels()
    batch, channels, length = job.u.shape
    tile = job.tile(FORWARD)
    states = job.u.new_empty(saved_shape(batch, channels, length, job.A.shape[1]), dtype=torch.float32)
    sums = states.new_empty(batch, job.chunks, channels)
    states[:, 0] = 0 if initial_state is None else initial_state.transpose(1, 2)
    given = {"u": job.u, "delta": job.delta}
    forward.chunk_summaries[(job.chunks, job.blocks(tile) * job.B.shape[1], batch)](
        **given, A=job.A, B=job.B, bias=_or(job.bias, job.u), states=states, sums=sums,
        A_d=job.A.stride(0), A_n=job.A.stride(1), **_strides(**given), **_matrix_strides(B=job.B),
        **job.sizes(tile), **job.reading(), **job.flags(), **tile.constants(),
    )  # fmt: skip
    _carry(job, states, sums, reverse=False)
    return states


def _or(tensor: Tensor | None, stand_in: Tensor) -> Tensor:
    """A tensor to pass for one that was not given; the kernels never touch it."""
    return stand_in if tensor is None else tensor


def _write_outputs(job: _Job, states: Tensor, out: Tensor, add: bool = False) -> None:
    """Run every chunk from its first state and write its outputs to ``out``, or add to it."""
    forward, _ = _kernels()
    tile = job.tile(FORWARD)
    given = {"u": job.u, "delta": job.delta, "z": _or(job.z, job.u), "out": out}
    matrices = {"B": job.B, "C": job.C}
    forward.chunk_outputs[(job.chunks, job.blocks(tile) * job.B.shape[1], job.u.shape[0])](
        **given, **matrices, A=job.A, D=_or(job.D, job.u), bias=_or(job.bias, job.u), states=states,
        A_d=job.A.stride(0), A_n=job.A.stride(1), **_strides(**given), **_matrix_strides(**matrices),
        HAS_D=job.D is not None, HAS_Z=job.z is not None, ADD=add,
        **job.sizes(tile), **job.reading(), **job.writing(), **job.flags(), **tile.constants(),
    )  # fmt: skip


class _Gradients(NamedTuple):
    """What the gradient kernel leaves, slices added up, all small ones in float32."""

    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    bias: Tensor
    initial_state: Tensor


def _adjoints(job: _Job, grad_out: Tensor, grad_last_state: Tensor | None) -> Tensor:
    """Return what every chunk gets from the one behind it, (batch, chunks + 1, N, channels); [0]: the initial state's."""
    _, backward = _kernels()
    batch, channels, length = job.u.shape
    tile = job.tile(ADJOINT)
    adjoints = job.u.new_empty(saved_shape(batch, channels, length, job.A.shape[1]), dtype=torch.float32)
    sums = adjoints.new_empty(batch, job.chunks, channels)
    adjoints[:, -1] = 0 if grad_last_state is None else grad_last_state.transpose(1, 2)
    given = {"delta": job.delta, "z": _or(job.z, job.u), "dout": grad_out}
    backward.chunk_adjoints[(job.chunks, job.blocks(tile) * job.B.shape[1], batch)](
        **given, A=job.A, C=job.C, bias=_or(job.bias, job.u), adjoints=adjoints, sums=sums,
        A_d=job.A.stride(0), A_n=job.A.stride(1), **_strides(**given), **_matrix_strides(C=job.C),
        HAS_Z=job.z is not None,
        **job.sizes(tile), **job.reading(), **job.writing(), **job.flags(), **tile.constants(),
    )  # fmt: skip
    _carry(job, adjoints, sums, reverse=True)
    return adjoints


def _write_gradients(
    job: _Job, states: Tensor, grad_out: Tensor, grad_last_state: Tensor | None,
    du: Tensor, ddelta: Tensor, dz: Tensor | None, add: bool = False,
) -> _Gradients:  # fmt: skip
    """Write the gradients of u (or add to them), delta and z, and return the others."""
    _, backward = _kernels()
    adjoints = _adjoints(job, grad_out, grad_last_state)
    batch, channels, length = job.u.shape
    groups, states_count = job.B.shape[1], job.A.shape[1]
    tile = job.tile(BACKWARD)
    blocks = job.blocks(tile)
    new = functools.partial(job.u.new_empty, dtype=torch.float32)
    dB, dC = (new(blocks, batch, groups, states_count, length) for _ in range(2))
    dA, dD, dbias = new(batch * job.chunks, states_count, channels), *(new(batch * job.chunks, channels) for _ in "Db")
    multiprocessors = _device_facts(job.u.device.index)[1]
    programs = scratch_programs(job.chunks * blocks * groups * batch, multiprocessors)
    scratch = new(programs, tile.chunk // STEPS, tile.NH * tile.NL, tile.channels)
    given = {"u": job.u, "delta": job.delta, "z": _or(job.z, job.u), "dout": grad_out}
    given |= {"du": du, "ddelta": ddelta, "dz": _or(dz, du)}
    matrices = {"B": job.B, "C": job.C}
    backward.chunk_gradients[(programs,)](
        **given, **matrices, A=job.A, D=_or(job.D, job.u), bias=_or(job.bias, job.u), states=states, adjoints=adjoints,
        dA=dA, dB=dB, dC=dC, dD=dD, dbias=dbias, scratch=scratch, batches=batch, groups=groups,
        A_d=job.A.stride(0), A_n=job.A.stride(1), **_strides(**given), **_matrix_strides(**matrices),
        HAS_D=job.D is not None, HAS_Z=job.z is not None, ADD=add,
        **job.sizes(tile), **job.reading(), **job.writing(), **job.flags(), **tile.constants(),
    )  # fmt: skip
    sums = [slices.sum(0, dtype=torch.float64) for slices in (dA, dD, dbias)]
    return _Gradients(sums[0].t(), dB.sum(0), dC.sum(0), sums[1], sums[2], adjoints[:, 0].transpose(1, 2))


@torch.no_grad()
def forward(u, delta, A, B, C, D, z, delta_bias, initial_state, *, delta_softplus, save):
    """The seam's forward; see ``common.scan.selection``."""
    job = _Job(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    out = empty_like_sequence(u)
    with _on_device(u):
        states = _first_states(job, initial_state)
        _write_outputs(job, states, out)
    last_state = states[:, -1].transpose(1, 2).contiguous()
    return out, last_state, states if save else u.new_empty(0, dtype=torch.float32)


@torch.no_grad()
def backward(grad_out, grad_last_state, saved, u, delta, A, B, C, D, z, delta_bias, initial_state, *, delta_softplus):
    """The seam's backward; see ``common.scan.selection``."""
    job = _Job(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    du, ddelta = empty_like_sequence(u), empty_like_sequence(delta)
    dz = None if z is None else empty_like_sequence(z)
    with _on_device(u):
        states = saved if saved.numel() else _first_states(job, initial_state)
        rest = _write_gradients(job, states, grad_out, grad_last_state, du, ddelta, dz)
    found = (du, ddelta, rest.A, rest.B, rest.C, rest.D, dz, rest.bias, rest.initial_state)
    inputs = (u, delta, A, B, C, D, z, delta_bias, initial_state)
    return [None if t is None else g.to(t.dtype) for t, g in zip(inputs, found, strict=True)]
