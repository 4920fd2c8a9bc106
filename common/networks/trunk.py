"""What MambaMorph, VMambaMorph and TransMorph share: everything but the block inside an encoder stage.

Source: the 3-stage TransMorph decoder of Chen et al., MedIA 2022, as Guo et al. (MambaMorph, 2024) use it.

    RegistrationTrunk
    ├── feature_extractor  ConvUNet, one for both images (optional), read_out_head (stored, never computed)
    ├── encoder            TokenEncoder: patch embedding, position, stages, output norms, mergings
    ├── skip_full, skip_half   convolutional skips at full and half resolution
    ├── decoder            four UpBlocks: 1/8, 1/4, 1/2 and full resolution
    └── head               3x3x3 convolution to the velocity (integrated) or, without integration, to the field itself
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from common.blocks.checkpointing import run_checkpointed
from common.blocks.conv import (
    ConvNormAct,
    channels_last,
    conv_share,
    norm_act,
    read_out_head,
)
from common.blocks.decoder import UpBlock
from common.blocks.features import ConvUNet
from common.blocks.head import DisplacementHead
from common.blocks.patch import PatchEmbedding, PatchMerging
from common.blocks.position import sincos_position
from common.convolution.ops import average_pool
from common.networks.contract import check_pair_shape, without_metadata
from common.networks.scripting import Recorded, recorded
from common.spatial import integrate
from common.spatial.passes import further_pass


class TokenEncoder(nn.Module):
    """Three or so stages on a shrinking token grid.

    Args:
        in_channels: channels of the volume.
        stages: one module a stage, tokens (B, X, Y, Z, C) to the same shape, C = ``embed_dim`` * 2**stage.
        embed_dim: token width of the first stage.
        patch_size: side of a patch in voxels.
        position: add the sine-cosine position code.
        checkpointing: recompute stages in the backward pass.
    """

    def __init__(
        self,
        in_channels: int,
        stages: Sequence[nn.Module],
        embed_dim: int,
        patch_size: int,
        position: bool,
        checkpointing: bool,
    ) -> None:
        super().__init__()
        widths = [embed_dim * 2**i for i in range(len(stages))]
        self.position, self.checkpointing = position, checkpointing
        self.patch_embedding = PatchEmbedding(in_channels, embed_dim, patch_size)
        self.stages = nn.ModuleList(stages)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        self.mergings = nn.ModuleList(PatchMerging(width) for width in widths[:-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map projected patches (B, C_0, X_0, Y_0, Z_0) to the stages' normalised outputs (B, C_i, X_i, Y_i, Z_i)."""
        x = self.patch_embedding.tokens(x)
        if self.position:
            size = (x.shape[1], x.shape[2], x.shape[3])
            x = x + sincos_position(size, x.shape[4], x.device).to(x.dtype)
        outputs = []
        for i, stage in enumerate(self.stages):
            if i:
                x = self.mergings[i - 1](x)
            x = run_checkpointed(stage, self.checkpointing, x)
            # Channels-last memory: the permuted view needs no copy before the decoder's convolutions.
            outputs.append(self.norms[i](x).permute(0, 4, 1, 2, 3))
        return outputs


class RegistrationTrunk(nn.Module):
    """A pair of volumes in, a displacement field out.

    Args:
        stages: the encoder's stages, see ``TokenEncoder``.
        embed_dim: token width of the first stage; the decoder's widths follow from it.
        patch_size: side of a patch; the decoder doubles the grid twice beyond the first stage, so that it must be 4.
        position: add the sine-cosine position code to the tokens.
        reg_head_channels: width of the decoder at full resolution.
        feature_extractor: run both images through one small U-Net first.
        feature_encoder: its encoder's widths.
        feature_decoder: its decoder's widths and those of its full-resolution convolutions.
        integration_steps: squarings that turn the velocity into the field; 0 means that the head gives the field.
        checkpointing: recompute activations in the backward pass: slower, less memory.
        stored_read_out_head: hold the weights of the authors' contrastive head (frozen, never computed).
        passes: recursive passes, see ``fields``.

    Raises:
        ValueError: a patch size other than 4, a number of stages other than 3, fewer than one pass.
    """

    multiple = 16

    def __init__(
        self,
        stages: Sequence[nn.Module],
        *,
        embed_dim: int,
        patch_size: int,
        position: bool,
        reg_head_channels: int,
        feature_extractor: bool,
        feature_encoder: Sequence[int],
        feature_decoder: Sequence[int],
        integration_steps: int,
        checkpointing: bool,
        stored_read_out_head: bool = False,
        passes: int = 1,
    ) -> None:
        super().__init__()
        if patch_size != 4 or len(stages) != 3 or passes < 1:
            raise ValueError(
                "the decoder needs patches of 4 voxels, 3 stages and at least 1 pass, "
                f"got {patch_size}, {len(stages)} and {passes}"
            )
        self.integration_steps, self.passes, self.checkpointing = integration_steps, passes, checkpointing
        self.feature_extractor = ConvUNet(1, feature_encoder, feature_decoder) if feature_extractor else None
        channels = 2 * self.feature_extractor.out_channels if self.feature_extractor is not None else 2
        self.read_out_head = read_out_head(channels // 2) if feature_extractor and stored_read_out_head else None
        self.encoder = TokenEncoder(channels, stages, embed_dim, patch_size, position, checkpointing)
        c, half = embed_dim, embed_dim // 2
        self.skip_half = ConvNormAct(channels, half)
        self.skip_full = ConvNormAct(channels, reg_head_channels)
        widths = ((4 * c, 2 * c, 2 * c), (2 * c, c, c), (c, half, half), (half, reg_head_channels, reg_head_channels))
        self.decoder = nn.ModuleList(UpBlock(*width) for width in widths)
        self.head = DisplacementHead(reg_head_channels)

    def entry(self, moving: Tensor, fixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map two images (B, 1, X, Y, Z) to the encoder's patches and the skips at half and full resolution.

        Each is a convolution of both images' features; computed as a sum over the images, so that the features of one
        are gone before those of the other are made, and never joined.
        """
        layers = (self.encoder.patch_embedding.projection, self.skip_half.conv, self.skip_full.conv)
        if self.feature_extractor is None:
            groups = [channels_last(torch.cat([moving, fixed], dim=1))]
        else:
            groups = [moving, fixed]
        sums: list[Tensor | None] = [None] * 3
        for index, group in enumerate(groups):
            if self.feature_extractor is not None:
                group = run_checkpointed(self.feature_extractor, self.checkpointing, group)
            inputs = (group, average_pool(group), group)
            sums = [
                conv_share(layer, x, index, total, last=i > 0 and self.feature_extractor is not None)
                for i, (layer, x, total) in enumerate(zip(layers, inputs, sums, strict=True))
            ]
            del group, inputs
        patches, half, full = sums
        assert patches is not None and half is not None and full is not None
        return patches, norm_act(half), norm_act(full)

    def velocity(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Map two images (B, 1, X, Y, Z) to the head's output (B, 3, X, Y, Z) in voxels."""
        patches, half, full = self.entry(moving, fixed)
        skips = [full, half, *self.encoder(patches)]
        del patches, full, half  # each is freed as soon as it has been used
        x = skips.pop()
        for block in self.decoder:
            x = run_checkpointed(block, self.checkpointing, x, skips.pop())
        return self.head(x)

    def fields(self, pair: Tensor) -> dict[str, Tensor]:
        """Return the field and what a loss may need besides.

        With more than one pass, pass k sees the moving image warped by the field so far and its own field e is joined:
        u <- e + warp(u, e) (VMambaMorph's recursive variant); "velocity" is then that of the last pass.

        Args:
            pair: (B, 2, X, Y, Z), moving and fixed, sides multiples of 16.

        Returns:
            "ddf" (B, 3, X, Y, Z) in voxels; "velocity" (B, 3, X, Y, Z) before integration, where there is one.

        Raises:
            InputError: the pair's shape does not fit.
        """
        check_pair_shape(pair, self.multiple, type(self).__name__)
        pair = without_metadata(pair)
        fields = self._one_pass(pair)
        for _ in range(self.passes - 1):
            fields = further_pass(self._one_pass, pair, fields["ddf"])
        return fields

    def _one_pass(self, pair: Tensor) -> dict[str, Tensor]:
        velocity = self.velocity(pair[:, :1], pair[:, 1:])
        ddf = integrate(velocity, self.integration_steps)
        return {"ddf": ddf, "velocity": velocity} if self.integration_steps else {"ddf": ddf}

    def forward(self, pair: Tensor) -> Tensor:
        """Map a pair (B, 2, X, Y, Z), moving then fixed, to the displacement field (B, 3, X, Y, Z) in voxels."""
        return self.fields(pair)["ddf"]

    def __prepare_scriptable__(self) -> Recorded:
        return recorded(self, self.multiple)
