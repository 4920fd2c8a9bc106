"""Vision transformer over a grid of tokens (Dosovitskiy et al., ICLR 2021), pre-norm, as ViT-V-Net uses it.

VisionTransformer
  position_embedding       (1, L, C), resampled when the grid differs from the one it was made for
  layers[i]: TransformerLayer = attention_norm, attention (query, key, value, out), mlp_norm, mlp
  norm                     after the last layer
"""

from collections.abc import Sequence

import torch
from monai.networks.blocks import MLPBlock
from torch import Tensor, nn
from torch.nn import functional as F

from common.blocks.checkpointing import run_checkpointed

LAYER_NORM_EPS = 1e-6


class SelfAttention(nn.Module):
    """Multi-head self attention with one linear layer each for query, key, value and output, all with bias."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size must be a multiple of num_heads, got {hidden_size} and {num_heads}")
        self.num_heads = num_heads
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        q, k, v = (
            layer(tokens).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, heads, L, C / heads)
        return self.out(mixed.transpose(1, 2).flatten(-2))


class TransformerLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, hidden_size: int, mlp_dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(hidden_size, eps=LAYER_NORM_EPS)
        self.attention = SelfAttention(hidden_size, num_heads)
        self.mlp_norm = nn.LayerNorm(hidden_size, eps=LAYER_NORM_EPS)
        self.mlp = MLPBlock(hidden_size, mlp_dim, dropout)
        for linear in (self.mlp.linear1, self.mlp.linear2):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.normal_(linear.bias, std=1e-6)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        tokens = tokens + self.attention(self.attention_norm(tokens))
        return tokens + self.mlp(self.mlp_norm(tokens))


class VisionTransformer(nn.Module):
    """Adds a learned position to every token and runs the layers."""

    def __init__(
        self,
        grid: Sequence[int],
        hidden_size: int,
        mlp_dim: int,
        num_heads: int,
        num_layers: int,
        dropout: float = 0.1,
        checkpointing: bool = False,
    ) -> None:
        """``grid`` is the token grid that the position table is made for; ``dropout`` as published: embeddings, MLP."""
        super().__init__()
        self.grid = tuple(grid)
        self.checkpointing = checkpointing
        self.position_embedding = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1] * self.grid[2], hidden_size))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(hidden_size, mlp_dim, num_heads, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_size, eps=LAYER_NORM_EPS)

    def positions(self, grid: Sequence[int]) -> Tensor:
        """The position table for a token grid, (1, L, C): stored values on its own grid, else trilinear between them.

        Both grids are laid over the same extent (corners not aligned), the usual way to move a vision transformer to
        another image size.
        """
        if tuple(grid) == self.grid:
            return self.position_embedding
        table = self.position_embedding.transpose(1, 2).unflatten(-1, self.grid)
        table = F.interpolate(table, size=list(grid), mode="trilinear", align_corners=False)
        return table.flatten(2).transpose(1, 2)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, x, y, z) -> (B, C, x, y, z); tokens are read in row-major order."""
        grid = features.shape[2:]
        tokens = self.dropout(features.flatten(2).transpose(1, 2) + self.positions(grid))
        for layer in self.layers:
            tokens = run_checkpointed(layer, self.checkpointing, tokens)
        return self.norm(tokens).transpose(1, 2).unflatten(-1, grid)
