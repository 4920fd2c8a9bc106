"""Cross attention between two images in windows: XMorpher's block (Shi et al., MICCAI 2022, arXiv 2206.07349).

A query token sees the tokens of the other image in the 3x3x3 windows around its own. Tokens are channels-last.

    CrossBlock
      norm1, attention: WindowCrossAttention (query, key_value, out)
      norm2, mlp

Differs from the authors' code: any batch size; keys and values are projected on the token grid and gathered afterwards,
27 times less work for the same result; inference gathers a few rows of windows at a time.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from monai.networks.blocks import MLPBlock
from monai.networks.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

SEARCH = 3  # windows that a query sees along every axis
GATHERED_TOKENS = 2**15  # key and value tokens gathered at a time in inference: 12 MB for 48 channels in float32


def _pad_far(x: Tensor, window: Sequence[int], ring: int = 0) -> Tensor:
    """Pad tokens (N, X, Y, Z, C) with zeros to whole windows, and by ``ring`` windows on all sides."""
    pads: list[int] = [0, 0]
    for size, w in zip(reversed(x.shape[1:4]), reversed(window), strict=True):
        pads += [ring * w, (-size) % w + ring * w]
    # A recorded graph must hold for sizes that need padding, whatever it was recorded with.
    return F.pad(x, pads) if torch.jit.is_tracing() or any(pads) else x


def _split_windows(x: Tensor, window: Sequence[int]) -> Tensor:
    """(N, X, Y, Z, C) in whole windows -> (N, nx, ny, nz, tokens of a window, C)."""
    for axis, w in enumerate(window):
        x = x.unflatten(1 + 2 * axis, (-1, w))
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4, 6)


def _join_windows(x: Tensor, window: Sequence[int]) -> Tensor:
    """The inverse of ``_split_windows``."""
    x = x.unflatten(4, tuple(window)).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return x.flatten(1, 2).flatten(2, 3).flatten(3, 4)


def _trains() -> bool:
    return torch.is_grad_enabled() and not (torch.jit.is_tracing() or torch.compiler.is_compiling())


class _SearchBlocks(torch.autograd.Function):
    """The windows around every window, in memory of their own.

    Each token lies in 27 windows: the gradient is 27 additions of whole slices, where autograd would take the three
    overlapping views apart voxel by voxel (a quarter of a training step).
    """

    @staticmethod
    def forward(ctx: Any, padded: Tensor, window: Sequence[int]) -> Tensor:
        """(N, X + 2wx, Y + 2wy, Z + 2wz, C) -> (N, nx, ny, nz, 3wx, 3wy, 3wz, C)."""
        ctx.shape, ctx.window = padded.shape, tuple(window)
        return _overlapping(padded, window).clone(memory_format=torch.contiguous_format)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        """Add up what every window says about a token."""
        total = gradient.new_zeros(ctx.shape)
        counts, (x, y, z) = gradient.shape[1:4], ctx.window
        for i, j, k in product(range(SEARCH), repeat=3):
            part = gradient[..., i * x : (i + 1) * x, j * y : (j + 1) * y, k * z : (k + 1) * z, :]
            starts = zip((i, j, k), counts, ctx.window, strict=True)
            index = [slice(s * w, (s + n) * w) for s, n, w in starts]
            target = total[:, index[0], index[1], index[2]]
            for axis in (3, 2, 1):
                target = target.unflatten(axis, (counts[axis - 1], ctx.window[axis - 1]))
            target.add_(part.permute(0, 1, 4, 2, 5, 3, 6, 7))
        return total, None


def _overlapping(padded: Tensor, window: Sequence[int]) -> Tensor:
    """The same as a view: (N, nx, ny, nz, 3wx, 3wy, 3wz, C)."""
    for axis, w in enumerate(window):
        padded = padded.unfold(1 + axis, SEARCH * w, w)
    return padded.permute(0, 1, 2, 3, 5, 6, 7, 4)


def _mix(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of (..., queries, C) to (..., keys, C) -> (..., queries, C)."""
    if _trains() and queries.device.type == "cpu":
        # On a CPU the fused operator's backward pass takes twice as long as these products for so few queries.
        scores = torch.matmul(queries * queries.shape[-1] ** -0.5, keys.transpose(-1, -2))
        weights = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))
        return torch.matmul(weights.to(values.dtype), values)
    return F.scaled_dot_product_attention(queries, keys, values)


class WindowCrossAttention(nn.Module):
    """Queries from the windows of one token grid, keys and values from the 3x3x3 windows around in another.

    Tokens beyond the grid are zeros ahead of the projection and take part with the bias as key and value: no mask.
    """

    def __init__(self, dim: int, num_heads: int, window: int = 2, fill_all_neighbours: bool = True) -> None:
        """Build the projections.

        Args:
            dim: token width, a multiple of ``num_heads``.
            num_heads: attention heads.
            window: tokens along the side of a window (fewer where the grid has fewer).
            fill_all_neighbours: False leaves the window at (+1, -1, +1) empty, as the published code does by mistake.
        """
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"dim must be a multiple of num_heads, got {dim} and {num_heads}")
        self.num_heads, self.window, self.fill_all_neighbours = num_heads, window, fill_all_neighbours
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def _search_blocks(self, search: Tensor, window: Sequence[int]) -> Tensor:
        """(N, X, Y, Z, C) -> padded keys and values (N, nx, ny, nz, 3wx, 3wy, 3wz, 2C); a view outside of training."""
        projected = F.linear(search, self.key_value.weight)
        projected = _pad_far(projected, window, ring=SEARCH // 2) + self.key_value.bias.to(projected.dtype)
        if _trains():
            return _SearchBlocks.apply(projected, window)  # type: ignore[no-any-return]
        return _overlapping(projected, window)

    def _attend(self, query: Tensor, blocks: Tensor, window: Sequence[int]) -> Tensor:
        """Queries (N, nx, ny, nz, w, C), blocks (N, nx, ny, nz, 3wx, 3wy, 3wz, 2C) -> the shape of the queries."""
        # Views that overlap are gathered into memory of their own before anything is written into them.
        if not _trains():
            blocks = blocks.clone(memory_format=torch.contiguous_format)
        if not self.fill_all_neighbours:
            x, y, z = window
            empty = (slice(2 * x, None), slice(None, y), slice(2 * z, None))
            forgotten = blocks[(slice(None),) * 4 + empty]
            forgotten.copy_(self.key_value.bias.expand_as(forgotten))  # ONNX copies equal shapes only
        heads = (self.num_heads, query.shape[-1] // self.num_heads)
        keys, values = blocks.flatten(4, 6).flatten(0, 3).unflatten(-1, (2, *heads)).permute(2, 0, 3, 1, 4)
        queries = query.flatten(0, 3).unflatten(-1, heads).transpose(1, 2)  # (windows, heads, w, C / heads)
        mixed = _mix(queries, keys, values)
        return mixed.transpose(1, 2).reshape(query.shape)

    def _attend_in_parts(self, query: Tensor, blocks: Tensor, window: Sequence[int]) -> Tensor:
        """The same as ``_attend``, overwriting the queries, a few windows at a time so that they stay in the cache."""
        tokens = blocks[:, 0, 0, ..., 0].numel()
        limit = GATHERED_TOKENS if query.device.type == "cpu" else 128 * GATHERED_TOKENS
        width = max(1, limit // tokens)
        for x in range(query.shape[1]):
            for y in range(0, query.shape[2], width):
                part = (slice(None), slice(x, x + 1), slice(y, y + width))
                query[part] = self._attend(query[part], blocks[part], window)
        return query

    def forward(self, base: Tensor, search: Tensor) -> Tensor:
        """Base and search tokens (N, X, Y, Z, C) on the same grid -> (N, X, Y, Z, C)."""
        grid = base.shape[1:4]
        window = [min(self.window, n) for n in grid]
        query = _split_windows(_pad_far(self.query(base), window), window)
        blocks = self._search_blocks(search, window)
        if torch.is_grad_enabled() or torch.jit.is_tracing() or torch.compiler.is_compiling():
            mixed = self._attend(query, blocks, window)
        else:
            mixed = self._attend_in_parts(query, blocks, window)
        joined = _join_windows(mixed, window)[:, : grid[0], : grid[1], : grid[2]]
        return self.out(joined)


class CrossBlock(nn.Module):
    """CAT(b, s): b + attention(norm(b), s), then x + mlp(norm(x)). The search tokens are not normalised."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window: int = 2,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        fill_all_neighbours: bool = True,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = WindowCrossAttention(dim, num_heads, window, fill_all_neighbours)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLPBlock(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, base: Tensor, search: Tensor) -> Tensor:
        """Base and search tokens (N, X, Y, Z, C) on the same grid -> (N, X, Y, Z, C)."""
        x = base + self.drop_path(self.attention(self.norm1(base), search))
        return x + self.drop_path(self.mlp(self.norm2(x)))
