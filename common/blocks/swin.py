"""Three-dimensional shifted-window attention (Liu et al., "Swin Transformer", ICCV 2021) as TransMorph uses it.

SwinStage
└── blocks[j]   SwinBlock: LayerNorm, WindowAttention, residual; LayerNorm, MLP (exact GELU), residual
"""

from collections.abc import Sequence

import torch
from monai.networks.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

Window = tuple[int, int, int]
# Windows whose scores are held at once: bounds the memory at large volumes, costs nothing.
_WINDOWS_AT_ONCE = 128


def relative_position_index(window: Window, device: torch.device) -> Tensor:
    """Return (N, N) int64 for the N tokens of a window, row-major: the row of the bias table of query minus key."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(n, device=device) for n in window], indexing="ij")).flatten(1)
    offset = grid[:, :, None] - grid[:, None, :]
    _, width, depth = (2 * n - 1 for n in window)
    shifted = [offset[axis] + window[axis] - 1 for axis in range(3)]
    return (shifted[0] * width + shifted[1]) * depth + shifted[2]


def partition(x: Tensor, window: Window) -> Tensor:
    """Cut tokens (B, X, Y, Z, C), sides multiples of the window's, into windows (B, W, N, C)."""
    b, *size, c = x.shape
    cells = [n // w for n, w in zip(size, window, strict=True)]
    x = x.view(b, cells[0], window[0], cells[1], window[1], cells[2], window[2], c)
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(b, cells[0] * cells[1] * cells[2], -1, c)


def unpartition(x: Tensor, window: Window, size: Window) -> Tensor:
    """The inverse of ``partition`` for a grid of ``size``: (B, W, N, C) to (B, *size, C)."""
    cells = [n // w for n, w in zip(size, window, strict=True)]
    x = x.view(x.shape[0], *cells, *window, x.shape[-1])
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(x.shape[0], *size, x.shape[-1])


def shift_regions(size: Window, window: Window, shift: Window, device: torch.device) -> Tensor:
    """Return (W, N): which of the regions that the cyclic shift brought together each token of each window is in."""
    x, y, z = (
        (torch.arange(n, device=device) >= n - w).long() + (torch.arange(n, device=device) >= n - s).long()
        for n, w, s in zip(size, window, shift, strict=True)
    )
    region = x[:, None, None] * 9 + y[:, None] * 3 + z
    return partition(region[None, ..., None], window)[0, ..., 0]


class WindowAttention(nn.Module):
    """Multi-head attention inside windows, with a learned bias for each relative position.

    Args:
        dim: width of a token.
        heads: of the attention.
        window: tokens along each axis.
        qkv_bias: give the query, key and value projections a bias.
    """

    def __init__(self, dim: int, heads: int, window: Window, qkv_bias: bool) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        rows = (2 * window[0] - 1) * (2 * window[1] - 1) * (2 * window[2] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.empty(rows, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, regions: Tensor | None) -> Tensor:
        """Map windows (B, W, N, C) to the same shape; tokens of different ``regions`` (W, N) do not see each other."""
        b, windows, tokens, c = x.shape
        index = relative_position_index(self.window, x.device)
        bias = self.relative_position_bias_table[index].permute(2, 0, 1)  # (heads, N, N)
        outputs = []
        # A recorded graph must hold for any number of windows: it takes them all at once.
        at_once = windows if torch.jit.is_tracing() else max(1, _WINDOWS_AT_ONCE // b)
        for start in range(0, windows, at_once):
            chosen = slice(start, start + at_once)
            q, k, v = self.qkv(x[:, chosen]).view(-1, tokens, 3, self.heads, c // self.heads).unbind(2)
            mask = bias[None]
            if regions is not None:
                apart = regions[chosen, None, :, None] != regions[chosen, None, None, :]
                mask = (mask - 100.0 * apart).repeat(b, 1, 1, 1)
            # Four axes and a mask of exactly that shape: else PyTorch takes the path that writes the scores out, in two
            # to four times the time, and ONNX has no attention.
            mask = mask.to(q.dtype).expand(q.shape[0], -1, -1, -1)  # (B W, heads, N, N)
            q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # (B W, heads, N, C / heads)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            outputs.append(self.proj(out.transpose(1, 2).reshape(b, -1, tokens, c)))
        return torch.cat(outputs, dim=1)


class SwinBlock(nn.Module):
    """Window attention and MLP, each with LayerNorm before and a residual around.

    Args:
        dim: width of a token.
        heads: of the attention.
        window: tokens along each axis.
        shifted: roll the grid by half a window first, so that windows overlap those of the block before.
        mlp_ratio: hidden width over ``dim``.
        qkv_bias: see ``WindowAttention``.
        drop_path: probability of leaving out a residual branch in training.
    """

    def __init__(
        self, dim: int, heads: int, window: Window, shifted: bool, mlp_ratio: float, qkv_bias: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.window = window
        self.shift: Window = (window[0] // 2, window[1] // 2, window[2] // 2) if shifted else (0, 0, 0)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window, qkv_bias)
        hidden = int(dim * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def attend(self, x: Tensor) -> Tensor:
        """Pad tokens (B, X, Y, Z, C) with zeros to whole windows, attend, crop; padding takes part, as published."""
        size = x.shape[1:4]
        pads = [-n % w for n, w in zip(size, self.window, strict=True)]
        x = F.pad(x, (0, 0, 0, pads[2], 0, pads[1], 0, pads[0]))
        padded = (x.shape[1], x.shape[2], x.shape[3])
        regions = None
        if any(self.shift):
            x = x.roll([-s for s in self.shift], (1, 2, 3))
            regions = shift_regions(padded, self.window, self.shift, x.device)
        x = unpartition(self.attn(partition(x, self.window), regions), self.window, padded)
        if any(self.shift):
            x = x.roll(self.shift, (1, 2, 3))
        return x[:, : size[0], : size[1], : size[2]]

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, X, Y, Z, C) to tokens of the same shape."""
        x = x + self.drop_path(self.attend(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class SwinStage(nn.Module):
    """Blocks in sequence, every second one shifted; ``drop_path`` gives each block's probability."""

    def __init__(
        self, dim: int, heads: int, window: Window, mlp_ratio: float, qkv_bias: bool, drop_path: Sequence[float]
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(dim, heads, window, bool(j % 2), mlp_ratio, qkv_bias, rate) for j, rate in enumerate(drop_path)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, X, Y, Z, C) to tokens of the same shape."""
        for block in self.blocks:
            x = block(x)
        return x
