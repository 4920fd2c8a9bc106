"""The Mamba block (Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, section 3.4).

Differs from the authors' mamba-ssm (Apache-2.0): the scan is ``common.scan.selective_scan``, which reads the
channel-last tokens as they lie, and needs no CUDA; causal-conv1d is called where it is there. Parameter names, shapes
and initialisation are the authors'.

    MambaBlock
        in_proj   Linear C -> 2I, first half the signal u, second half the gate z (I = expand * C)
        conv1d    causal depth-wise convolution over the last d_conv tokens, SiLU
        x_proj    Linear I -> R + 2N: low-rank step size, B, C;  dt_proj: Linear R -> I, softplus
        A_log, D  state matrix A = -exp(A_log) (I, N), skip term (I,)
        out_proj  Linear I -> C, after the gate y * SiLU(z)
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.scan import MambaWeights, causal_convolution, selective_scan, stream_mamba

STREAM_FROM = 2048  # tokens; below, one pass through the plain block is as fast


class MambaBlock(nn.Module):
    """Map tokens (B, L, C) to tokens (B, L, C) by one selective scan over L in the order given.

    Args:
        d_model: channels C of the tokens.
        d_state: size N of each channel's state.
        d_conv: tokens that the causal convolution sees, the current one included.
        expand: inner width I = expand * d_model.
        dt_rank: rank R of the step size's projection; "auto" is ceil(d_model / 16).
    """

    def __init__(
        self, d_model: int, d_state: int = 16, d_conv: int = 4, expand: int = 2, dt_rank: int | str = "auto"
    ) -> None:
        super().__init__()
        inner = int(expand * d_model)
        rank = math.ceil(d_model / 16) if dt_rank == "auto" else int(dt_rank)
        self.d_state, self.dt_rank = d_state, rank
        self.in_proj = nn.Linear(d_model, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, d_conv, groups=inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(inner, rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.log(torch.arange(1, d_state + 1).float()).repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, d_model, bias=False)
        init_step_size(self.dt_proj.weight, self.dt_proj.bias, rank)

    def forward(
        self, tokens: Tensor, norm_weight: Tensor | None = None, norm_bias: Tensor | None = None, norm_eps: float = 1e-5
    ) -> Tensor:
        """Map tokens (B, L, C) to tokens (B, L, C), through a LayerNorm with these parameters first if they are given.

        In inference on the CPU long sequences are streamed (``common.scan.stream_mamba``): the same numbers to
        rounding, faster, and in memory that does not grow with L.
        """
        # tokens: (B, L, C)
        if not torch.jit.is_scripting() and not torch.jit.is_tracing():
            streamed = self._stream(tokens, norm_weight, norm_bias, norm_eps)
            if streamed is not None:
                return streamed
        if norm_weight is not None:
            tokens = F.layer_norm(tokens, tokens.shape[-1:], norm_weight, norm_bias, norm_eps)
        u, z = self.in_proj(tokens).chunk(2, dim=-1)  # (B, L, I) each
        if torch.jit.is_scripting() or torch.jit.is_tracing() or torch.compiler.is_compiling():
            u = F.silu(self.conv1d(u.transpose(1, 2))[..., : tokens.shape[1]])  # (B, I, L)
        else:
            u = self._convolved(u.transpose(1, 2))
        parameters = self.x_proj(u.transpose(1, 2))  # (B, L, R + 2N)
        low, B, C = parameters.split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        delta = F.linear(low, self.dt_proj.weight).transpose(1, 2)  # (B, I, L); the scan adds the bias
        A, B, C, z = -torch.exp(self.A_log), B.transpose(1, 2), C.transpose(1, 2), z.transpose(1, 2)
        if torch.jit.is_scripting():
            y = torch.ops.registration.selective_scan(
                u, delta, A, B.unsqueeze(1), C.unsqueeze(1), self.D, z, self.dt_proj.bias, None, True, False, "auto"
            )[0]
        else:
            y = selective_scan(u, delta, A, B, C, self.D, z=z, delta_bias=self.dt_proj.bias, delta_softplus=True)
        return self.out_proj(y.transpose(1, 2))  # (B, L, C)

    @torch.jit.unused
    def _convolved(self, u: Tensor) -> Tensor:
        """Map (B, I, L) to (B, I, L)."""
        assert self.conv1d.bias is not None
        return causal_convolution(u, self.conv1d.weight, self.conv1d.bias)

    @torch.jit.unused
    def _stream(
        self, tokens: Tensor, norm_weight: Tensor | None, norm_bias: Tensor | None, norm_eps: float
    ) -> Tensor | None:
        """The streamed result, or None where the plain block has to do it."""
        if torch.compiler.is_compiling() or tokens.shape[1] < STREAM_FROM:
            return None
        assert self.conv1d.bias is not None
        weights = MambaWeights(
            self.in_proj.weight, self.conv1d.weight, self.conv1d.bias, self.x_proj.weight, self.dt_proj.weight,
            self.dt_proj.bias, -torch.exp(self.A_log), self.D, self.out_proj.weight, norm_weight, norm_bias, norm_eps,
        )  # fmt: skip
        return stream_mamba(tokens, weights)


def init_step_size(
    weight: Tensor, bias: Tensor, rank: int, low: float = 1e-3, high: float = 1e-1, floor: float = 1e-4
) -> None:
    """Initialise a step-size projection in place so that softplus(bias) is log-uniform in [low, high] (section 3.6)."""
    with torch.no_grad():
        weight.uniform_(-(rank**-0.5), rank**-0.5)
        steps = torch.exp(torch.rand_like(bias) * (math.log(high) - math.log(low)) + math.log(low)).clamp(min=floor)
        bias.copy_(steps + torch.log(-torch.expm1(-steps)))  # the inverse of softplus
