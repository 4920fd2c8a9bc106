"""VMambaMorph's three-dimensional visual state-space block.

Paper: Wang et al., "VMambaMorph", arXiv 2404.05105, 2024, section 3.2 (after VMamba, Liu et al., 2024).
Differs from the code: the walks are strides and not copies, blocks whose result is thrown away are not computed, and
the corrected walk runs on volumes that are no cubes.

    VSSBlock
    ├── norm   LayerNorm
    └── scan   CrossScanMixer: in_proj, depth-wise convolution, four scans of their own weights, norm, gate, out_proj
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.blocks.conv import freeze
from common.blocks.mamba import init_step_size
from common.scan import VMAMBAMORPH_ORDERS, VMAMBAMORPH_ORDERS_CORRECTED, cross_scan

WALKS = {"published": VMAMBAMORPH_ORDERS, "corrected": VMAMBAMORPH_ORDERS_CORRECTED}


class CrossScanMixer(nn.Module):
    """Mix the tokens of a grid by four selective scans: row-major, first two axes swapped, and both reversed.

    Args:
        dim: width C of a token.
        d_state: size N of the scan's state.
        expand: inner width I = expand * dim.
        walk: "published" puts the swapped scans' results back with the last two axes exchanged in place of the first
            two, as the authors' weights need it (cubes only); "corrected" puts them where they belong.

    Raises:
        ValueError: another ``walk``.
    """

    def __init__(self, dim: int, d_state: int = 16, expand: int = 2, walk: str = "published") -> None:
        super().__init__()
        if walk not in WALKS:
            raise ValueError(f"walk must be one of {sorted(WALKS)}, got {walk!r}")
        self.orders, count = WALKS[walk], len(WALKS[walk])
        inner, rank = expand * dim, math.ceil(dim / 16)
        self.d_state, self.dt_rank = d_state, rank
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.conv3d = nn.Conv3d(inner, inner, 3, padding=1, groups=inner)
        self.x_proj_weight = nn.Parameter(torch.empty(count, rank + 2 * d_state, inner).uniform_(-1, 1) / inner**0.5)
        self.dt_projs_weight = nn.Parameter(torch.empty(count, inner, rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(count, inner))
        init_step_size(self.dt_projs_weight, self.dt_projs_bias, rank)
        self.A_logs = nn.Parameter(torch.log(torch.arange(1, d_state + 1).float()).repeat(count * inner, 1))
        self.Ds = nn.Parameter(torch.ones(count * inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, X, Y, Z, C) to tokens of the same shape."""
        # x: (B, X, Y, Z, C)
        u, z = self.in_proj(x).chunk(2, dim=-1)  # (B, X, Y, Z, I) each
        u = F.silu(self.conv3d(u.permute(0, 4, 1, 2, 3)))  # (B, I, X, Y, Z), channels-last in memory
        delta, B, C = self.parameters_of(u)
        y = cross_scan(
            u,
            delta,
            -torch.exp(self.A_logs.float()),
            B,
            C,
            self.Ds.float(),
            delta_bias=self.dt_projs_bias.float().flatten(),
            delta_softplus=True,
            orders=self.orders,
        )
        y = self.out_norm(y.permute(0, 2, 3, 4, 1))
        return self.out_proj(y * F.silu(z))  # (B, X, Y, Z, C)

    def parameters_of(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return each walk's step sizes (B, K, I, X, Y, Z), B and C (B, K, N, X, Y, Z) from u (B, I, X, Y, Z)."""
        tokens = u.permute(0, 2, 3, 4, 1)
        count = self.x_proj_weight.shape[0]
        projected = F.linear(tokens, self.x_proj_weight.flatten(0, 1)).unflatten(-1, (count, -1))
        low, B, C = projected.split([self.dt_rank, self.d_state, self.d_state], dim=-1)  # (B, X, Y, Z, K, ...)
        delta = torch.stack([F.linear(low[..., k, :], self.dt_projs_weight[k]) for k in range(count)], dim=1)
        return delta.movedim(-1, 2), B.permute(0, 4, 5, 1, 2, 3), C.permute(0, 4, 5, 1, 2, 3)


class VSSBlock(nn.Module):
    """LayerNorm and ``CrossScanMixer`` with a residual; arguments as there."""

    def __init__(self, dim: int, d_state: int = 16, expand: int = 2, walk: str = "published") -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.scan = CrossScanMixer(dim, d_state, expand, walk)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, X, Y, Z, C) to tokens of the same shape."""
        return x + self.scan(self.norm(x))


class VSSStage(nn.Module):
    """One stage of VMambaMorph: LayerNorm, then the last of its blocks; the residual is from the normalised tokens.

    The authors feed every block of a stage with the same tokens and keep the last result, so that the blocks before it
    never reach the output. They are stored for the authors' weights, frozen, and not computed.

    Args:
        dim: width of a token.
        depth: blocks of the stage.
        d_state: size of the scan's state.
        expand: inner width over ``dim``.
        walk: see ``CrossScanMixer``.
        unused_weights: store the ``depth - 1`` blocks that are never computed.
    """

    def __init__(self, dim: int, depth: int, d_state: int, expand: int, walk: str, unused_weights: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        dead = depth - 1 if unused_weights else 0
        self.unused = nn.ModuleList(freeze(VSSBlock(dim, d_state, expand, walk)) for _ in range(dead))
        self.block = VSSBlock(dim, d_state, expand, walk)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, X, Y, Z, C) to tokens of the same shape."""
        return self.block(self.norm(x))
