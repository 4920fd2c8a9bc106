"""The Mamba block streamed: chunk after chunk of tokens through the whole block, for inference on the CPU.

The plain block writes every intermediate of all tokens to memory, at the inner width or twice it. Here a chunk passes
normalisation, projections, convolution, scan and gate while it is in cache; what crosses to the next chunk is the last
tokens of the convolution's window and the scan's state. Peak memory beyond input and output does not grow with L.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from common.compiled.compiling import load_kernel
from common.compiled.width import WIDTH
from common.scan.cpu.launch import KERNELS, run_forward
from common.scan.cpu.problem import NO_WALK, Parameters, Problem, Sizes, grouped_sequence, sequence
from common.scan.cpu.sizes import ConvolveArguments
from common.scan.selection import select_backend

CACHED = 1 << 17  # numbers per intermediate and chunk, so that a chunk's intermediates stay in the second-level cache
# Multiply-adds of a chunk's input projection (a millisecond's work at most) up to which one thread does it all: a
# second one gains little, and on a busy machine the threads would wait for each other a dozen times a chunk.
ONE_THREAD_UP_TO = 1 << 24
_NOTHING = torch.empty(0)


class MambaWeights(NamedTuple):
    """The parameters of a Mamba block, and of the LayerNorm before it where there is one."""

    in_proj: Tensor  # (2I, C)
    conv_weight: Tensor  # (I, 1, K)
    conv_bias: Tensor  # (I,)
    x_proj: Tensor  # (R + 2N, I)
    dt_weight: Tensor  # (I, R)
    dt_bias: Tensor  # (I,)
    A: Tensor  # (I, N)
    D: Tensor  # (I,)
    out_proj: Tensor  # (C, I)
    norm_weight: Tensor | None = None  # (C,)
    norm_bias: Tensor | None = None
    norm_eps: float = 1e-5


def can_stream(tokens: Tensor, weights: MambaWeights) -> bool:
    """Whether the streamed block may stand in for the plain one: no gradients, on the CPU, compiled scan, and float32.

    Under autocast tokens may be bfloat16 as well.
    """
    kinds = [torch.float32] + [torch.get_autocast_dtype("cpu")] * torch.is_autocast_enabled("cpu")
    if tokens.device.type != "cpu" or tokens.dtype not in kinds:
        return False
    tensors = [tokens, *(t for t in weights if isinstance(t, Tensor))]
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        return False
    if any(t.dtype != torch.float32 for t in tensors[1:]) or weights.A.shape[0] < WIDTH:
        return False
    return select_backend(tokens, weights.A, tokens[:, None]) == "cpu" and bool(weights.A.max() <= 0)


class _Buffers:
    """Working memory of one stream: a chunk of every intermediate, the convolution's window ahead of it."""

    def __init__(self, weights: MambaWeights, chunk: int) -> None:
        inner, taps = weights.conv_weight.shape[0], weights.conv_weight.shape[2]
        self.window = taps - 1
        self.signal_and_gate = torch.zeros(self.window + chunk, 2 * inner)
        self.u = torch.empty(chunk, inner)
        self.projected = torch.empty(chunk, weights.x_proj.shape[0])
        self.delta = torch.empty(chunk, inner)
        self.y = torch.empty(chunk, inner)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let PyTorch use ``count`` threads inside of the block."""
    before = torch.get_num_threads()
    if count == before:  # setting the number is not free of side effects, even to what it is
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def chunk_length(inner: int) -> int:
    """Tokens of a chunk: 682 at 192 inner channels, within 256 to 2048."""
    return min(max(CACHED // inner, 256), 2048)


def stream_mamba(tokens: Tensor, weights: MambaWeights, chunk: int | None = None) -> Tensor | None:
    """Map tokens (B, L, C) to tokens (B, L, C) as the plain block does; None where that has to do it (``can_stream``).

    Under autocast the tokens are read and written in its type and all between is float32: with so few channels the
    projections are a small part, and the state needs the digits.
    """
    if not can_stream(tokens, weights):
        return None
    chunk = chunk or chunk_length(weights.D.shape[0])
    kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else tokens.dtype
    out = torch.empty(tokens.shape, dtype=kind)
    buffers = _Buffers(weights, min(chunk, tokens.shape[1]))
    alone = buffers.u.shape[0] * weights.in_proj.numel() <= ONE_THREAD_UP_TO
    single = _threads(1 if alone else torch.get_num_threads())
    with torch.no_grad(), torch.autocast("cpu", enabled=False), single:
        stages = _Stages(weights, buffers)
        for entry, target in zip(tokens, out, strict=True):
            stages.restart()
            for begin in range(0, entry.shape[0], chunk):
                stages.advance(entry[begin : begin + chunk], target[begin : begin + chunk])
    return out


class _Stages:
    """The block's stages over one chunk, with what they carry from chunk to chunk."""

    def __init__(self, weights: MambaWeights, buffers: _Buffers) -> None:
        self.weights, self.buffers = weights, buffers
        self.inner, self.rank = weights.dt_weight.shape
        self.taps = weights.conv_weight.shape[2]
        self.taps_first = weights.conv_weight[:, 0].t().contiguous().view(-1).numpy()
        self.conv_bias = weights.conv_bias.detach().contiguous().numpy()
        self.convolve = load_kernel(KERNELS, "convolve")
        states = weights.A.shape[1]
        self.sizes = Sizes(1, 1, self.inner, buffers.u.shape[0], states)
        self.state = self.sizes.state_tiles(None)
        self.problem = self._problem()

    def _problem(self) -> Problem:
        """The scan over one chunk: views of the buffers as (batch, channels, steps), set up once."""
        b, w, states = self.buffers, self.weights, self.sizes.states
        gate = b.signal_and_gate[b.window :, self.inner :]
        matrices = b.projected[:, self.rank :].t()[None, None]
        u, delta, z = (sequence(t.t()[None], 1) for t in (b.u, b.delta, gate))
        B, C = (grouped_sequence(m) for m in (matrices[:, :, :states], matrices[:, :, states:]))
        parameters = Parameters.of(self.sizes, w.A, w.D, w.dt_bias)
        return Problem(self.sizes, u, delta, z, B, C, parameters, True, [NO_WALK], [NO_WALK], False)

    def restart(self) -> None:
        """Forget the sequence before."""
        self.state.zero_()
        self.buffers.signal_and_gate[: self.buffers.window].zero_()

    def advance(self, tokens: Tensor, out: Tensor) -> None:
        """Process one chunk of tokens (T, C) into out (T, C)."""
        w, b, count = self.weights, self.buffers, tokens.shape[0]
        tokens = tokens.float()
        if w.norm_weight is not None:
            tokens = F.layer_norm(tokens, tokens.shape[-1:], w.norm_weight, w.norm_bias, w.norm_eps)
        torch.mm(tokens, w.in_proj.t(), out=b.signal_and_gate[b.window : b.window + count])
        arguments = ConvolveArguments(
            source=b.signal_and_gate.view(-1).numpy(), row=2 * self.inner, weight=self.taps_first, bias=self.conv_bias,
            target=b.u.view(-1).numpy(), channels=self.inner, taps=self.taps, steps=count,
        )  # fmt: skip
        self.convolve(*arguments)
        torch.mm(b.u[:count], w.x_proj.t(), out=b.projected[:count])
        torch.mm(b.projected[:count, : self.rank], w.dt_weight.t(), out=b.delta[:count])
        problem = self.problem._replace(sizes=self.sizes._replace(length=count))
        run_forward(problem, sequence(b.y.t()[None], 1), self.state, _NOTHING)
        if out.dtype == torch.float32:
            torch.mm(b.y[:count], w.out_proj.t(), out=out)
        else:
            out.copy_(torch.mm(b.y[:count], w.out_proj.t()))
        b.signal_and_gate[: b.window] = b.signal_and_gate[count : count + b.window].clone()
