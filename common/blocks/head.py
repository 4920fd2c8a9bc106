"""The last layer of a registration network: a convolution whose output is a displacement field."""

import torch
from torch import Tensor, nn

from common.convolution.ops import conv_to_three


class DisplacementHead(nn.Conv3d):
    """The 3x3x3 convolution to a field of three channels, started near zero so that training starts at the identity.

    Runs in float32 under autocast: 8 bits of mantissa are too few for displacements of many voxels.

    Args:
        in_channels: channels of the input (B, in_channels, X, Y, Z).
        deviation: weights start as N(0, deviation) and biases at 0; None keeps PyTorch's default.
    """

    def __init__(self, in_channels: int, deviation: float | None = 1e-5) -> None:
        super().__init__(in_channels, 3, 3, padding=1)
        if deviation is not None:
            nn.init.normal_(self.weight, 0.0, deviation)
            nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, in_channels, X, Y, Z) to (B, 3, X, Y, Z), float32 or the weights' wider type."""
        with torch.autocast(input.device.type, enabled=False):
            return conv_to_three(input, self.weight, self.bias)
