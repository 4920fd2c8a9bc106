"""The convolutional U-Net of VoxelMorph, which MambaMorph also uses as its feature extractor.

Paper: Balakrishnan et al., "VoxelMorph", TMI 2019; Guo et al., "MambaMorph", 2024, section 3.2.
Differs from the usual U-Net: the input itself is no skip, one convolution a level, nearest up-sampling.

    ConvUNet
    ├── encoder[j]   ConvAct, its output kept as skip, then max-pooling by two
    ├── decoder[j]   ConvAct, then nearest up-sampling by two, then the skip appended
    └── final[j]     ConvAct at full resolution
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from common.blocks.conv import ConvAct, channels_last
from common.convolution.gradients import doubled
from common.convolution.ops import max_pool


class ConvUNet(nn.Module):
    """U-Net of 3x3x3 convolutions with LeakyReLU 0.2.

    Args:
        in_channels: channels of the input.
        encoder: widths of the encoder's levels; each halves the grid.
        decoder: widths of the decoder; the first ``len(encoder)`` climb back, the others stay at full resolution.

    Raises:
        ValueError: ``decoder`` is shorter than ``encoder``.
    """

    def __init__(self, in_channels: int, encoder: Sequence[int], decoder: Sequence[int]) -> None:
        super().__init__()
        levels = len(encoder)
        if len(decoder) < levels:
            raise ValueError(f"the decoder needs at least the encoder's {levels} widths, got {list(decoder)}")
        self.multiple = 2**levels
        incoming = [in_channels, *encoder]
        self.encoder = nn.ModuleList(ConvAct(i, o) for i, o in zip(incoming, encoder, strict=False))
        width, self.decoder, self.final = encoder[-1], nn.ModuleList(), nn.ModuleList()
        for skip, out in zip(reversed(encoder), decoder, strict=False):
            self.decoder.append(ConvAct(width, out))
            width = out + skip
        for out in decoder[levels:]:
            self.final.append(ConvAct(width, out))
            width = out
        self.out_channels = width

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, X, Y, Z), each side a multiple of 2**levels, to (B, out_channels, X, Y, Z)."""
        # x: (B, in_channels, X, Y, Z)
        x = channels_last(x)
        skips = []
        for level, block in enumerate(self.encoder):
            x = block.over(x) if level else block(x)
            skips.append(x)
            x = max_pool(x)
        skip: Tensor | None = None  # not empty: x has yet to be doubled and joined with it
        for block in self.decoder:
            x = block.over(x) if skip is None else block.on_upsampled(x, skip)
            skip = skips.pop()
        for block in self.final:
            x = block.over(x) if skip is None else block.on_upsampled(x, skip)
            skip = None
        if skip is not None:
            x = torch.cat([doubled(x, "nearest"), skip], dim=1)
        return x  # x: (B, out_channels, X, Y, Z)
