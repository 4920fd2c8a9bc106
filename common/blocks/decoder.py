"""The convolutional decoder step of TransMorph, shared by MambaMorph and VMambaMorph."""

from torch import Tensor, nn

from common.blocks.conv import ConvNormAct


class UpBlock(nn.Module):
    """Double the grid (trilinear), append the skip, convolve twice.

    Args:
        in_channels: channels of the coarse input.
        skip_channels: channels of the skip.
        out_channels: channels of the result.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(in_channels + skip_channels, out_channels)
        self.conv2 = ConvNormAct(out_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map x (B, in, X, Y, Z) and skip (B, skip, 2X, 2Y, 2Z), which may be overwritten, to (B, out, 2X, 2Y, 2Z)."""
        return self.conv2.over(self.conv1.on_upsampled(x, skip))
