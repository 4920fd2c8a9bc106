"""Convolution blocks of the registration networks, kept in the channels-last memory layout throughout.

On a CPU a 3x3x3 convolution of a full volume is 1.5 times as fast on channels-last memory as on the default layout,
and the tokens of the encoders are channels-last by nature, so that no layout change is needed anywhere between.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.convolution import ops
from common.convolution.in_place import conv_over


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


def norm_act(x: Tensor, slope: float = 0.01, eps: float = 1e-5) -> Tensor:
    """Instance normalisation, then LeakyReLU, of a tensor (B, C, X, Y, Z) that nobody else reads: it is overwritten."""
    if ops.applies(x, x.shape[1]) and x.is_contiguous(memory_format=torch.channels_last_3d):
        return ops.instance_norm_leaky_(x, eps, slope)
    return F.leaky_relu_(instance_norm(x, eps), slope)


def conv_share(conv: nn.Conv3d, x: Tensor, index: int, total: Tensor | None, last: bool = False) -> Tensor:
    """Return what the groups of input channels up to one add to a convolution: after the last, it is the whole.

    Args:
        conv: the convolution; its input channels are ``index`` equal groups and more.
        x: (B, C, X, Y, Z), the group number ``index``.
        index: from 0; the first group brings the bias.
        total: the result of the groups before, overwritten; None for the first.
        last: nobody reads ``x`` afterwards, and it may be overwritten.
    """
    width = x.shape[1]
    weight = conv.weight[:, index * width : (index + 1) * width]
    bias = conv.bias if index == 0 else None
    if conv.kernel_size == (3, 3, 3) and conv.stride == (1, 1, 1) and (last or total is not None):
        return conv_over(x, weight, bias, total=total)
    share = F.conv3d(x, weight, bias, conv.stride, conv.padding)  # type: ignore[arg-type]
    return share if total is None else total.add_(share)


class ConvAct(nn.Sequential):
    """3x3x3 convolution with bias and LeakyReLU 0.2, the unit of VoxelMorph (Balakrishnan et al., TMI 2019).

    Weights start as Kaiming normal (gain sqrt 2), biases at zero.

    Args:
        in_channels: channels of the input (B, in_channels, X, Y, Z).
        out_channels: channels of the output (B, out_channels, X / stride, Y / stride, Z / stride).
        stride: of the convolution.
    """

    slope = 0.2

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(nn.Conv3d(in_channels, out_channels, 3, stride, padding=1))
        nn.init.kaiming_normal_(self.conv.weight)
        nn.init.zeros_(cast(Tensor, self.conv.bias))

    @property
    def conv(self) -> nn.Conv3d:
        """The convolution."""
        return cast(nn.Conv3d, self[0])

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, X, Y, Z) to (B, out_channels, X / stride, Y / stride, Z / stride)."""
        if self.conv.in_channels == 1:
            return ops.conv_from_one(x, self.conv.weight, self.conv.bias, self.slope)
        # In place: neither the convolution nor the activation needs the value before it for its gradient.
        return F.leaky_relu_(self.conv(x), self.slope)

    def over(self, x: Tensor) -> Tensor:
        """Apply the block, stride 1, to ``x`` that nobody else reads: it may be overwritten."""
        return self(x) if self.conv.in_channels == 1 else conv_over(x, self.conv.weight, self.conv.bias, self.slope)

    def on_upsampled(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Apply the block to [``coarse`` (B, C, X, Y, Z) doubled by repetition, ``skip`` (B, S, 2X, 2Y, 2Z)].

        Nobody else may read ``skip``: it may be overwritten.
        """
        return ops.conv_on_upsampled(coarse, skip, self.conv.weight, self.conv.bias, "nearest", self.slope)


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
        return norm_act(self.conv(x))

    def over(self, x: Tensor) -> Tensor:
        """Apply the block to ``x`` that nobody else reads: it may be overwritten."""
        return norm_act(conv_over(x, self.conv.weight, None))

    def on_upsampled(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Apply the block to [``coarse`` (B, C, X, Y, Z) doubled trilinearly, ``skip`` (B, S, 2X, 2Y, 2Z)].

        Nobody else may read ``skip``: it may be overwritten.
        """
        return norm_act(ops.conv_on_upsampled(coarse, skip, self.conv.weight, None, "trilinear"))


def freeze(module: nn.Module) -> nn.Module:
    """Mark the weights of a module that is stored but never computed; return it."""
    return module.requires_grad_(False)


def read_out_head(channels: int) -> nn.Module:
    """Return the authors' abandoned contrastive head: stored in their weights, no part of the field, frozen."""
    return freeze(nn.Sequential(ConvAct(channels, channels // 2, stride=2), ConvAct(channels // 2, 3)))
