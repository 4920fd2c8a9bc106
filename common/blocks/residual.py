"""A residual block that starts as the identity, on channels-last tokens."""

import math

import torch
from torch import Tensor, nn

NORMS = ("instance", "batch", "group")


class InstanceNorm(nn.InstanceNorm3d):
    """Instance norm with scale and bias that takes a grid of one voxel too: nothing varies there, the bias is left."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, X, Y, Z) -> (N, C, X, Y, Z)."""
        # The functional form refuses one voxel; the operator behind it does not.
        return torch.instance_norm(input, self.weight, self.bias, None, None, True, 0.0, self.eps, False)


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "instance":
        return InstanceNorm(channels, affine=True)
    if kind == "batch":
        return nn.BatchNorm3d(channels)
    if kind == "group":
        return nn.GroupNorm(math.gcd(channels, 8), channels)
    raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {kind!r}")


class ResidualBlock(nn.Module):
    """x + norm2(conv2(relu(norm1(conv1(x))))), 3x3x3 convolutions without bias (He et al., CVPR 2016).

    The second norm's scale starts at zero, so that the block starts as the identity; no activation follows the sum,
    tokens keep their sign.
    """

    def __init__(self, channels: int, norm: str = "instance") -> None:
        """``norm``: instance, batch or group (up to 8 groups)."""
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = _norm(norm, channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = _norm(norm, channels)
        nn.init.constant_(self.norm2.get_parameter("weight"), 0.0)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, X, Y, Z, C) -> (N, X, Y, Z, C)."""
        x = tokens.permute(0, 4, 1, 2, 3)
        x = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return tokens + x.permute(0, 2, 3, 4, 1)
