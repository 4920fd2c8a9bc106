"""PSMamba-Net's block: a gated convolution for the near, one Mamba scan for the far, an MLP.

Source: PSMamba-Net, IET Image Processing 2025. Where its text and its code disagree we follow the code, which weights
depend on: the first half of the channels is convolved and multiplied by the second (not the other way round), the
fusion ends in a norm and a ReLU, norms have no learned scale, and nothing is added around the MLP.

    SpatialMambaBlock
      gated: GatedConv        conv1, conv2, gate_conv, fuse, each with an instance norm and a ReLU; residual
      norm, mamba             LayerNorm and MambaBlock over all voxels in row-major order; residual
      mlp1, mlp2              behind an instance norm, with a GELU between
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.blocks.conv import channels_last, instance_norm
from common.blocks.mamba import MambaBlock
from common.convolution.slabs import can_run_in_slabs, run_in_slabs, slab_rows


class ConvInstanceNorm(nn.Module):
    """3x3x3 convolution with bias, instance norm without scale, LeakyReLU 0.1."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, X, Y, Z) -> (B, C_out, X, Y, Z)."""
        return F.leaky_relu_(instance_norm(self.conv(x)), 0.1)


class GatedConv(nn.Module):
    """Two convolutions; half of the channels, convolved once more, multiplies the other half; a fusion; a residual."""

    def __init__(self, channels: int) -> None:
        """``channels``: an even number."""
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.gate_conv = nn.Conv3d(half, half, 3, padding=1)
        self.fuse = nn.Conv3d(half, channels, 1)

    @staticmethod
    def _unit(conv: nn.Module, x: Tensor) -> Tensor:
        return F.relu_(instance_norm(conv(x)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> (B, C, X, Y, Z)."""
        first, second = self._unit(self.conv2, self._unit(self.conv1, x)).chunk(2, dim=1)
        fused = self._unit(self.fuse, self._unit(self.gate_conv, channels_last(first)) * second)
        return fused + x


class SpatialMambaBlock(nn.Module):
    """Gated convolution, Mamba and MLP on a volume of features."""

    def __init__(self, channels: int, d_state: int = 16, d_conv: int = 4, expand: int = 2, gated: bool = True) -> None:
        """``channels``: even; ``gated``: False leaves out the convolution in front; the rest as in ``MambaBlock``."""
        super().__init__()
        self.gated = GatedConv(channels) if gated else nn.Identity()
        self.norm = nn.LayerNorm(channels)
        self.mamba = MambaBlock(channels, d_state=d_state, d_conv=d_conv, expand=expand)
        self.mlp1 = nn.Conv3d(channels, 2 * channels, 1)
        self.mlp2 = nn.Conv3d(2 * channels, channels, 1)

    def _scan(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> (B, C, X, Y, Z), channels-last in memory: the tokens are a view of the volume."""
        tokens = channels_last(x).permute(0, 2, 3, 4, 1)
        norm = self.norm  # its weights, not its result: the streamed scan normalises a few tokens at a time
        scanned = self.mamba(tokens.flatten(1, 3), norm.weight, norm.bias, norm.eps).view_as(tokens)
        scanned = tokens + scanned if torch.is_grad_enabled() else scanned.add_(tokens)
        return scanned.permute(0, 4, 1, 2, 3)

    def _mlp(self, x: Tensor) -> Tensor:
        return self.mlp2(F.gelu(self.mlp1(x)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> (B, C, X, Y, Z)."""
        x = instance_norm(self._scan(self.gated(x)))
        if can_run_in_slabs(False, x[:, 0].numel()):
            return run_in_slabs(self._mlp, [x], halo=0, rows=slab_rows(x.shape[2:]))
        return self._mlp(x)
