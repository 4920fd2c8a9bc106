"""VoxelMorph: the convolutional baseline, in the configurations of the two Mamba papers' tables.

Paper: Balakrishnan et al., "VoxelMorph: A Learning Framework for Deformable Medical Image Registration", TMI 2019; the
variant with features from Guo et al., "MambaMorph", 2024. Authors' code: voxelmorph (Apache-2.0), Guo-Stone/MambaMorph
(MIT); this file is our own. Differs from the code: any size that is a multiple of 16, no stored sampling grids.

    VoxelMorph
    ├── feature_extractor  ConvUNet, one for both images (optional), read_out_head (stored, never computed)
    ├── unet               ConvUNet on the joint channels
    └── head               3x3x3 convolution to the field at full resolution, halved, integrated, enlarged
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.blocks.checkpointing import run_checkpointed
from common.blocks.conv import read_out_head
from common.blocks.features import ConvUNet
from common.blocks.head import DisplacementHead
from common.networks.contract import check_pair_shape, without_metadata
from common.networks.scripting import Recorded, recorded
from common.spatial import integrate
from common.switches import reads_switches


@reads_switches
class VoxelMorph(nn.Module):
    """VoxelMorph; the defaults are MambaMorph's table row (327,331 parameters).

    VMambaMorph's row is ``unet_encoder`` 16 x 4, ``unet_decoder`` 16 x 6 (92,179), with features 158,166.

    Args:
        feature_extractor: run both images through one small U-Net first.
        unet_encoder: widths of the encoder; as many halvings of the grid.
        unet_decoder: widths of the decoder and of the full-resolution convolutions after it.
        feature_encoder: widths of the feature extractor's encoder.
        feature_decoder: widths of its decoder and full-resolution convolutions.
        integration_steps: squarings of the half-resolution velocity; 0 gives the head's field as it is.
        integration_downsize: factor between the volume and the grid on which the velocity is integrated.
        unused_weights: hold the read-out head that the authors' weights contain and the field never uses.
        checkpointing: recompute activations in the backward pass to save memory.
    """

    def __init__(
        self,
        feature_extractor: bool = False,
        unet_encoder: Sequence[int] = (16, 32, 32, 32),
        unet_decoder: Sequence[int] = (32, 32, 32, 32, 32, 16, 16),
        feature_encoder: Sequence[int] = (16, 16),
        feature_decoder: Sequence[int] = (16, 16, 16, 16),
        integration_steps: int = 7,
        integration_downsize: int = 2,
        unused_weights: bool = True,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.integration_steps, self.downsize = integration_steps, integration_downsize
        self.checkpointing = checkpointing
        self.feature_extractor = ConvUNet(1, feature_encoder, feature_decoder) if feature_extractor else None
        channels = 2 * self.feature_extractor.out_channels if self.feature_extractor is not None else 2
        self.read_out_head = read_out_head(channels // 2) if feature_extractor and unused_weights else None
        self.unet = ConvUNet(channels, unet_encoder, unet_decoder)
        self.head = DisplacementHead(self.unet.out_channels)

    def flow(self, pair: Tensor) -> Tensor:
        """Map a pair (B, 2, X, Y, Z) to the head's output (B, 3, X, Y, Z)."""
        joint = pair
        if self.feature_extractor is not None:
            images = (pair[:, :1], pair[:, 1:])
            joint = torch.cat([run_checkpointed(self.feature_extractor, self.checkpointing, x) for x in images], dim=1)
        return self.head(run_checkpointed(self.unet, self.checkpointing, joint))

    def fields(self, pair: Tensor) -> dict[str, Tensor]:
        """Return the field and, with integration, the velocity.

        Args:
            pair: (B, 2, X, Y, Z), moving and fixed, sides multiples of 2**levels (16 for four levels).

        Returns:
            "ddf" (B, 3, X, Y, Z) in voxels; "velocity" (B, 3, X/2, Y/2, Z/2) in voxels of its own, coarser grid.

        Raises:
            InputError: the pair's shape does not fit.
        """
        check_pair_shape(pair, self.unet.multiple, type(self).__name__)
        flow = self.flow(without_metadata(pair))
        if not self.integration_steps:
            return {"ddf": flow}
        factor = self.downsize
        velocity = _rescale(flow, 1.0 / factor)
        return {"ddf": _rescale(integrate(velocity, self.integration_steps), float(factor)), "velocity": velocity}

    def forward(self, pair: Tensor) -> Tensor:
        """Map a pair (B, 2, X, Y, Z), moving then fixed, to the displacement field (B, 3, X, Y, Z) in voxels."""
        return self.fields(pair)["ddf"]

    def __prepare_scriptable__(self) -> Recorded:
        return recorded(self, self.unet.multiple)


def _rescale(field: Tensor, factor: float) -> Tensor:
    """Resample (B, 3, X, Y, Z) by ``factor`` with corners aligned and scale its vectors by the same factor.

    The corner-aligned grids differ by (n - 1) / (m - 1) and not by ``factor``: the published weights know it so.
    """
    if factor == 1.0:
        return field
    # Scaling and linear resampling commute; each is done where the field is small.
    if factor < 1.0:
        return F.interpolate(field, scale_factor=factor, mode="trilinear", align_corners=True) * factor
    return F.interpolate(field * factor, scale_factor=factor, mode="trilinear", align_corners=True)
