"""VMambaMorph: MambaMorph with a three-dimensional cross-scan in place of the Mamba layer.

Paper: Wang et al., "VMambaMorph: a Multi-Modality Deformable Image Registration Framework based on Visual State Space
Model with Cross-Scan Module", arXiv 2404.05105, 2024. Authors' code: ziyangwang007/VMambaMorph, Apache-2.0; this file
is our own. What the code does and the paper does not say: only the last block of a stage reaches the output, and the
scans along swapped axes are put back on the wrong voxels. We follow the code, which trained weights need; see ``walk``.
Differs from the code: dead blocks are not computed; any cube with sides of multiples of 16, any batch.

    VMambaMorph (RegistrationTrunk)
    ├── feature_extractor, read_out_head, skip_half, skip_full, decoder, head   see trunk.py
    └── encoder.stages[i]   VSSStage: LayerNorm, VSSBlock; blocks that are stored and never computed
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from common.blocks.vss import VSSStage
from common.errors import InputError
from common.networks.scripting import Recorded, recorded
from common.networks.trunk import RegistrationTrunk
from common.switches import reads_switches


@reads_switches
class VMambaMorph(RegistrationTrunk):
    """VMambaMorph with (9,641,558 parameters) or without features (9,352,371); see ``RegistrationTrunk`` for the rest.

    Args:
        feature_extractor: run both images through one small U-Net first.
        embed_dim: token width of the first stage.
        depths: blocks of each stage; only the last of a stage is computed.
        d_state: size of the scan's state.
        expand: inner width of a block over its token width.
        walk: "published" (cubes only) or "corrected", which also takes other volumes but needs weights of its own.
        passes: 2 is the authors' recursive variant, with the same weights.
        patch_size: side of a patch in voxels, 4.
        position: add the sine-cosine position code.
        reg_head_channels: width at full resolution.
        feature_encoder: widths of the feature extractor's encoder.
        feature_decoder: widths of its decoder and full-resolution convolutions.
        integration_steps: squarings; 0 means that the head gives the field.
        unused_weights: hold the weights that the authors' checkpoints contain and the field never uses: the read-out
            head and every block of a stage but the last.
        checkpointing: recompute activations in the backward pass to save memory.
    """

    def __init__(
        self,
        feature_extractor: bool = True,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 2),
        d_state: int = 16,
        expand: int = 2,
        walk: str = "published",
        passes: int = 1,
        patch_size: int = 4,
        position: bool = True,
        reg_head_channels: int = 16,
        feature_encoder: Sequence[int] = (16, 16),
        feature_decoder: Sequence[int] = (16, 16, 16, 16),
        integration_steps: int = 7,
        unused_weights: bool = True,
        checkpointing: bool = False,
    ) -> None:
        stages = [
            VSSStage(embed_dim * 2**i, depth, d_state, expand, walk, unused_weights) for i, depth in enumerate(depths)
        ]
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
            passes=passes,
        )
        self.cubes_only = walk == "published"

    def fields(self, pair: Tensor) -> dict[str, Tensor]:
        """Return the fields as ``RegistrationTrunk.fields`` does; with the published walk the pair must be a cube."""
        tracing = torch.jit.is_tracing() or torch.compiler.is_compiling()
        if self.cubes_only and not tracing and pair.dim() == 5 and len(set(pair.shape[2:])) != 1:
            raise InputError(
                "VMambaMorph with its published walk expects a cube (B, 2, N, N, N), "
                f"got {tuple(pair.shape)}; pad the volumes, or use walk='corrected' with weights trained for it"
            )
        return super().fields(pair)

    def __prepare_scriptable__(self) -> Recorded:
        return recorded(self, self.multiple, cube=self.cubes_only)
