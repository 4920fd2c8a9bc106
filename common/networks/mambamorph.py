"""MambaMorph: registration with one Mamba layer a stage.

Paper: Guo et al., "MambaMorph: a Mamba-based Framework for Medical MR-CT Deformable Registration", arXiv
2401.13934, 2024.
Authors' code: Guo-Stone/MambaMorph, MIT licence; this file is our own, Apache-2.0.
What the code does and the paper does not say: there is no skip around a Mamba layer, a stage holds one layer whatever
``depths`` lists, and the model without features integrates as well. We follow the code, which trained weights need.
Differs from the code: any size that is a multiple of 16 and any batch; no stored sampling grids.

    MambaMorph (RegistrationTrunk)
    ├── feature_extractor, read_out_head, skip_half, skip_full, decoder, head   see trunk.py
    └── encoder.stages[i]   MambaStage: LayerNorm, then MambaBlock, replacing the tokens
"""

from collections.abc import Sequence

from torch import Tensor, nn

from common.blocks.mamba import MambaBlock
from common.networks.trunk import RegistrationTrunk
from common.switches import reads_switches


class MambaStage(nn.Module):
    """LayerNorm and one Mamba layer over all tokens in row-major order, forward only, without a skip.

    Args:
        dim: width of a token.
        d_state: size of the scan's state.
        d_conv: length of the causal convolution.
        expand: inner width over ``dim``.
    """

    def __init__(self, dim: int, d_state: int, d_conv: int, expand: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mamba = MambaBlock(dim, d_state=d_state, d_conv=d_conv, expand=expand)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, X, Y, Z, dim) to tokens of the same shape."""
        return self.mamba(self.norm(x).flatten(1, 3)).view_as(x)


@reads_switches
class MambaMorph(RegistrationTrunk):
    """MambaMorph with (7,594,646 parameters) or without features (7,305,459); see ``RegistrationTrunk`` for the rest.

    Args:
        feature_extractor: False is the authors' "MambaMorph_reg".
        embed_dim: token width of the first stage.
        d_state: size of the scan's state.
        d_conv: length of the causal convolution.
        expand: inner width of a Mamba block over its token width.
        patch_size: side of a patch in voxels, 4.
        position: add the sine-cosine position code.
        reg_head_channels: width at full resolution.
        feature_encoder: widths of the feature extractor's encoder.
        feature_decoder: widths of its decoder and full-resolution convolutions.
        integration_steps: squarings; 0 is the authors' "mm-ori" without integration.
        unused_weights: hold the read-out head that the authors' weights contain and the field never uses.
        checkpointing: recompute activations in the backward pass to save memory.
    """

    def __init__(
        self,
        feature_extractor: bool = True,
        embed_dim: int = 96,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        patch_size: int = 4,
        position: bool = True,
        reg_head_channels: int = 16,
        feature_encoder: Sequence[int] = (16, 16),
        feature_decoder: Sequence[int] = (16, 16, 16, 16),
        integration_steps: int = 7,
        unused_weights: bool = True,
        checkpointing: bool = False,
    ) -> None:
        stages = [MambaStage(embed_dim * 2**i, d_state, d_conv, expand) for i in range(3)]
        super().__init__(
            stages,
            embed_dim=embed_dim,
            patch_size=patch_size,
            position=position,
            reg_head_channels=reg_head_channels,
            feature_extractor=feature_extractor,
            feature_encoder=feature_encoder,
            feature_decoder=feature_decoder,
            integration_steps=integration_steps,
            checkpointing=checkpointing,
            stored_read_out_head=unused_weights,
        )
