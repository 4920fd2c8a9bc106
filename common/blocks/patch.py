"""Between volumes and tokens: patch embedding and patch merging on token grids (B, X, Y, Z, C)."""

import itertools

import torch
from torch import Tensor, nn

# The eight sub-lattices of a 2x2x2 cell in the order in which the published weights expect them: not the binary order.
_CELL = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1), (1, 1, 1))
assert sorted(_CELL) == sorted(itertools.product((0, 1), repeat=3))


class PatchEmbedding(nn.Module):
    """Cut a volume into cubes, project each to a token and normalise it.

    Args:
        in_channels: channels of the volume.
        dim: width of a token.
        patch_size: side of a cube in voxels.
    """

    def __init__(self, in_channels: int, dim: int, patch_size: int = 4) -> None:
        super().__init__()
        self.projection = nn.Conv3d(in_channels, dim, patch_size, patch_size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, X, Y, Z) to tokens (B, X/p, Y/p, Z/p, dim)."""
        return self.tokens(self.projection(x))

    def tokens(self, projected: Tensor) -> Tensor:
        """Normalise projected patches (B, dim, x, y, z) to tokens (B, x, y, z, dim)."""
        return self.norm(projected.permute(0, 2, 3, 4, 1))


class PatchMerging(nn.Module):
    """Join the eight tokens of each 2x2x2 cell: normalise all their channels, then project 8 dim to 2 dim.

    Args:
        dim: width of the incoming tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8 * dim)
        self.reduction = nn.Linear(8 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, X, Y, Z, dim) with even X, Y, Z to (B, X/2, Y/2, Z/2, 2 dim)."""
        # x: (B, X, Y, Z, dim)
        x = torch.cat([x[:, i::2, j::2, k::2] for i, j, k in _CELL], dim=-1)
        return self.reduction(self.norm(x))  # x: (B, X/2, Y/2, Z/2, 2 dim)
