"""Convolution blocks of the registration networks, kept in the channels-last memory layout throughout.

On a CPU a 3x3x3 convolution of a full volume is 1.5 times as fast on channels-last memory as on the default layout,
and the tokens of the encoders are channels-last by nature, so that no layout change is needed anywhere between.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def channels_last(x: Tensor) -> Tensor:
    """Return ``x`` (B, C, X, Y, Z) with the channels adjacent in memory; the values are the same."""
    return x.contiguous(memory_format=torch.channels_last_3d)


def instance_norm(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Normalise each sample and channel by its own mean and variance, without learned scale.

    For one sample this is batch normalisation by the batch's statistics, which PyTorch computes on channels-last memory
    as it lies; ``F.instance_norm`` would copy to the default layout and back.

    Args:
        x: (B, C, X, Y, Z).
        eps: added to the variance.

    Returns:
        (B, C, X, Y, Z).
    """
    # A traced graph must hold for any batch, and CUDA has a fast kernel for every layout.
    if torch.jit.is_tracing() or torch.compiler.is_compiling() or x.device.type != "cpu":
        return F.instance_norm(x, eps=eps)
    if x.shape[0] == 1:
        return F.batch_norm(x, None, None, training=True, eps=eps)
    return torch.cat([F.batch_norm(sample, None, None, training=True, eps=eps) for sample in x.split(1)])


class ConvAct(nn.Sequential):
    """3x3x3 convolution with bias and LeakyReLU 0.2, the unit of VoxelMorph (Balakrishnan et al., TMI 2019).

    Weights start as Kaiming normal (gain sqrt 2), biases at zero.

    Args:
        in_channels: channels of the input (B, in_channels, X, Y, Z).
        out_channels: channels of the output (B, out_channels, X / stride, Y / stride, Z / stride).
        stride: of the convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        # In place: neither the convolution nor the activation needs the value before it for its gradient.
        super().__init__(nn.Conv3d(in_channels, out_channels, 3, stride, padding=1), nn.LeakyReLU(0.2, inplace=True))
        nn.init.kaiming_normal_(self[0].weight)
        nn.init.zeros_(self[0].bias)


class ConvNormAct(nn.Module):
    """3x3x3 convolution without bias, instance normalisation without scale, LeakyReLU 0.01: TransMorph's unit.

    Args:
        in_channels: channels of the input (B, in_channels, X, Y, Z).
        out_channels: channels of the output (B, out_channels, X, Y, Z).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, X, Y, Z) to (B, out_channels, X, Y, Z)."""
        return F.leaky_relu_(instance_norm(self.conv(x)), 0.01)


def displacement_head(in_channels: int) -> nn.Conv3d:
    """Return the 3x3x3 convolution to a field of three channels, started near zero: N(0, 1e-5), bias 0."""
    head = nn.Conv3d(in_channels, 3, 3, padding=1)
    nn.init.normal_(head.weight, 0.0, 1e-5)
    nn.init.zeros_(head.bias)
    return head


def freeze(module: nn.Module) -> nn.Module:
    """Mark the weights of a module that is stored but never computed; return it."""
    return module.requires_grad_(False)


def read_out_head(channels: int) -> nn.Module:
    """Return the authors' abandoned contrastive head: stored in their weights, no part of the field, frozen."""
    return freeze(nn.Sequential(ConvAct(channels, channels // 2, stride=2), ConvAct(channels // 2, 3)))
