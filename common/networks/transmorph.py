"""TransMorph, the three-stage variant that the MambaMorph and VMambaMorph papers compare against.

Paper: Chen et al., "TransMorph: Transformer for unsupervised medical image registration", MedIA 2022. Authors' code of
the variant: Guo-Stone/MambaMorph, MIT licence; this file is our own. The original has four stages: its checkpoints do
not fit here. The head gives the displacement itself, there is no integration and no position code.
Differs from the code: any size that is a multiple of 16, no stored index tables or grids.

    TransMorph (RegistrationTrunk)
    ├── feature_extractor, skip_half, skip_full, decoder, head   see trunk.py
    └── encoder.stages[i]   SwinStage: shifted-window attention blocks
"""

from collections.abc import Sequence

from common.blocks.swin import SwinStage
from common.networks.trunk import RegistrationTrunk
from common.switches import reads_switches


@reads_switches
class TransMorph(RegistrationTrunk):
    """TransMorph with (14,572,371 parameters) or without features (14,287,299); see ``RegistrationTrunk`` for the rest.

    Args:
        feature_extractor: run both images through one small U-Net first.
        embed_dim: token width of the first stage.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        window_size: tokens of a window along each axis.
        mlp_ratio: hidden width of a block's MLP over its token width.
        qkv_bias: give the query, key and value projections a bias.
        drop_path_rate: probability of leaving out the last block's residual branches in training; rises from 0.
        patch_size: side of a patch in voxels, 4.
        position: add a sine-cosine position code.
        reg_head_channels: width at full resolution.
        feature_encoder: widths of the feature extractor's encoder.
        feature_decoder: widths of its decoder and full-resolution convolutions.
        integration_steps: squarings; 0 as published: the head gives the field.
        checkpointing: recompute activations in the backward pass to save memory.
    """

    def __init__(
        self,
        feature_extractor: bool = True,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 4),
        num_heads: Sequence[int] = (4, 4, 8),
        window_size: Sequence[int] = (5, 6, 7),
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        drop_path_rate: float = 0.3,
        patch_size: int = 4,
        position: bool = False,
        reg_head_channels: int = 16,
        feature_encoder: Sequence[int] = (16, 16),
        feature_decoder: Sequence[int] = (16, 16, 16, 16),
        integration_steps: int = 0,
        checkpointing: bool = False,
    ) -> None:
        total = sum(depths)
        rates = [drop_path_rate * i / max(total - 1, 1) for i in range(total)]
        window = (window_size[0], window_size[1], window_size[2])
        stages = []
        for i, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
            own, rates = rates[:depth], rates[depth:]
            stages.append(SwinStage(embed_dim * 2**i, heads, window, mlp_ratio, qkv_bias, own))
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
        )
