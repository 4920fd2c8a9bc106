"""The last layer of a registration network: a convolution whose output is a displacement field."""

import torch
from torch import Tensor, nn


class FlowHead(nn.Conv3d):
    """3x3x3 convolution to three channels that starts close to zero, so that training starts at the identity.

    Runs in float32 under autocast: 8 bits of mantissa are too few for displacements of many voxels.
    """

    def __init__(self, in_channels: int, deviation: float | None = 1e-5) -> None:
        """Weights N(0, ``deviation``) and bias 0; ``deviation=None`` keeps PyTorch's default initialisation."""
        super().__init__(in_channels, 3, kernel_size=3, padding=1)
        if deviation is not None:
            nn.init.normal_(self.weight, 0.0, deviation)
            nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> (B, 3, X, Y, Z), voxels, float32 or the weights' wider type."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype))
