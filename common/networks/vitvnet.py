"""ViT-V-Net: a V-Net whose bottleneck is a vision transformer.

Paper: Chen, He, Frey, Li, Du, "ViT-V-Net: Vision Transformer for Unsupervised Volumetric Medical Image Registration",
MIDL 2021 (short paper, CC BY 4.0). Authors' code: junyuchen245/ViT-V-Net_for_3D_Image_Registration_Pytorch, MIT.
Written from a description of the architecture; weights of the authors' checkpoints can be converted.

Differences from the authors' code
- returns the field alone; the image is warped outside of the network;
- any volume whose axes are multiples of 32: the position table, made for ``img_size``, is resampled (trilinear) for
  other sizes. The authors' network takes one size;
- ``integration_steps > 0`` takes the head's output as a stationary velocity (the authors hold that code commented out);
- the batch norms are folded into their convolutions in evaluation, and the finest level runs in slabs.

    ViTVNet
      encoder[0..2]      two convolutions each, at 1, 1/2, 1/4 resolution; two more poolings give the coarse skips
      patch_embedding    8x8x8 on the 1/4 features: one token is 32^3 voxels
      transformer        VisionTransformer
      bottleneck, decoder[0..4]   convolutions on [upsampled, skip]
      head               DisplacementHead
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from common.blocks.checkpointing import run_checkpointed
from common.blocks.conv import channels_last
from common.blocks.head import DisplacementHead
from common.blocks.vit import VisionTransformer
from common.convolution.slabs import can_run_in_slabs, run_in_slabs, slab_rows
from common.errors import InputError
from common.networks.contract import check_pair_shape
from common.networks.scripting import Recorded, recorded
from common.spatial import integrate
from common.switches import reads_switches

PATCH_SIZE = 8
TOKEN_VOXELS = 32  # the patch on features at a quarter of the resolution


class DoubleConv(nn.Module):
    """Twice a 3x3x3 convolution with bias and a ReLU, no norm."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv3d(out_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, X, Y, Z) -> (B, C_out, X, Y, Z)."""
        # The layout changes behind the first convolution: for the two channels of a pair it would be the slower one.
        return F.relu_(self.conv2(channels_last(F.relu_(self.conv1(x)))))


class ConvBatchNorm(nn.Module):
    """3x3x3 convolution without bias, batch norm, ReLU; in evaluation one convolution with the norm folded in."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm3d(out_channels)

    def _weights(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the convolution, in evaluation with the norm folded in."""
        norm = self.norm
        if self.training or norm.running_mean is None or norm.running_var is None:
            return self.conv.weight, None
        return fuse_conv_bn_weights(
            self.conv.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """Tensors (B, C_i, X, Y, Z) with C_in channels in all, as if concatenated -> (B, C_out, X, Y, Z)."""
        weight, bias = self._weights()
        # A sum of convolutions costs less than the copy that a concatenation is.
        first, *others = zip(inputs, weight.split([x.shape[1] for x in inputs], dim=1), strict=True)
        x = F.conv3d(*first, bias, padding=1)
        for other in others:
            x = x.add_(F.conv3d(*other, padding=1))
        return F.relu_(self.norm(x) if bias is None else x)


class BatchNormUpBlock(nn.Module):
    """Double the resolution, append the skip features, convolve twice."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBatchNorm(in_channels + skip_channels, out_channels)
        self.conv2 = ConvBatchNorm(out_channels, out_channels)

    def join(self, x: Tensor, skip: Tensor) -> Tensor:
        """The first half: (B, C, X, Y, Z) and (B, S, 2X, 2Y, 2Z) -> (B, C_out, 2X, 2Y, 2Z)."""
        return self.conv1(F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False), skip)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B, C, X, Y, Z) and (B, S, 2X, 2Y, 2Z) -> (B, C_out, 2X, 2Y, 2Z)."""
        return self.conv2(self.join(x, skip))


@reads_switches
class ViTVNet(nn.Module):
    """ViT-V-Net. ``network(pair) -> ddf``; ``network.fields(pair)`` names the velocity as well where there is one."""

    def __init__(
        self,
        img_size: Sequence[int] = (160, 192, 224),
        hidden_size: int = 252,
        mlp_dim: int = 3072,
        num_heads: int = 12,
        num_layers: int = 12,
        dropout: float = 0.1,
        encoder_channels: Sequence[int] = (16, 32, 32),
        bottleneck_channels: int = 512,
        decoder_channels: Sequence[int] = (96, 48, 32, 32, 16),
        integration_steps: int = 0,
        checkpointing: bool = False,
    ) -> None:
        """Build the network as published; the arguments shrink it or turn it into its diffeomorphic variant.

        Args:
            img_size: volume that the position table is made for, multiples of 32.
            hidden_size: token width, a multiple of ``num_heads``.
            mlp_dim: hidden width of the token MLPs.
            num_heads: attention heads.
            num_layers: transformer layers.
            dropout: on the embedded tokens and inside of the MLPs, in training.
            encoder_channels: widths at 1, 1/2 and 1/4 resolution.
            bottleneck_channels: width of the convolution behind the transformer.
            decoder_channels: widths at 1/16, 1/8, 1/4, 1/2 and 1.
            integration_steps: 0 for a displacement head, else squarings of a velocity field (7 is usual).
            checkpointing: recompute layers in the backward pass instead of keeping their features.

        Raises:
            InputError: ``img_size`` does not fit.
        """
        super().__init__()
        self.integration_steps = integration_steps
        self.checkpointing = checkpointing
        widths = (2, *encoder_channels)
        self.encoder = nn.ModuleList(DoubleConv(widths[i], widths[i + 1]) for i in range(len(encoder_channels)))
        self.patch_embedding = nn.Conv3d(widths[-1], hidden_size, PATCH_SIZE, stride=PATCH_SIZE)
        grid = self._token_grid(img_size)
        self.transformer = VisionTransformer(grid, hidden_size, mlp_dim, num_heads, num_layers, dropout, checkpointing)
        self.bottleneck = ConvBatchNorm(hidden_size, bottleneck_channels)
        skips = (widths[-1], widths[-1], *reversed(encoder_channels))
        inputs = (bottleneck_channels, *decoder_channels[:-1])
        self.decoder = nn.ModuleList(
            BatchNormUpBlock(i, s, o) for i, s, o in zip(inputs, skips, decoder_channels, strict=True)
        )
        self.head = DisplacementHead(decoder_channels[-1])
        if checkpointing:
            self._halve_momentum()

    def _halve_momentum(self) -> None:
        # A checkpointed block sees every batch twice; two updates with 1 - sqrt(1 - m) are one update with m.
        for module in self.decoder.modules():
            if isinstance(module, nn.BatchNorm3d) and module.momentum is not None:
                module.momentum = 1 - (1 - module.momentum) ** 0.5

    @staticmethod
    def _token_grid(volume: Sequence[int]) -> list[int]:
        if len(volume) != 3 or any(n < TOKEN_VOXELS or n % TOKEN_VOXELS for n in volume):
            raise InputError(f"ViT-V-Net expects three axes that are multiples of {TOKEN_VOXELS}, got {tuple(volume)}")
        return [int(n) // TOKEN_VOXELS for n in volume]

    def _encode(self, pair: Tensor) -> list[Tensor]:
        """(B, 2, X, Y, Z) -> skip features at 1, 1/2, 1/4, 1/8, 1/16."""
        features = [self._first_stage(pair)]
        for stage in self.encoder[1:]:  # type: ignore[index]
            features.append(run_checkpointed(stage, self.checkpointing, F.max_pool3d(features[-1], 2)))
        for _ in range(2):
            features.append(F.max_pool3d(features[-1], 2))
        return features

    def _first_stage(self, pair: Tensor) -> Tensor:
        """(B, 2, X, Y, Z) -> features at full resolution."""
        if can_run_in_slabs(self.training, pair[:, 0].numel()):
            # Thick slabs: for two channels PyTorch falls back to a slow convolution where B*C*X*Y is 20,480 or less.
            return run_in_slabs(self.encoder[0], [pair], halo=2, rows=4 * slab_rows(pair.shape[2:]))
        return run_checkpointed(self.encoder[0], self.checkpointing, pair)

    def _finest(self, x: Tensor, skip: Tensor) -> Tensor:
        """The last decoder block and the head: (B, C, X/2, Y/2, Z/2), (B, S, X, Y, Z) -> (B, 3, X, Y, Z)."""
        block = self.decoder[-1]
        assert isinstance(block, BatchNormUpBlock)
        if not can_run_in_slabs(self.training, skip[:, 0].numel()):
            return self.head(run_checkpointed(block, self.checkpointing, x, skip))
        # Upsampling and a convolution reach two fine rows, one coarse row; the other two convolutions two rows. In two
        # steps less is computed twice than in one.
        rows = 2 * slab_rows(skip.shape[2:])
        joined = run_in_slabs(block.join, [x, skip], halo=1, rows=max(2, rows // 2))
        return run_in_slabs(lambda slab: self.head(block.conv2(slab)), [joined], halo=2, rows=rows)

    def _head_output(self, pair: Tensor) -> Tensor:
        """(B, 2, X, Y, Z) -> output of the flow convolution (B, 3, X, Y, Z)."""
        check_pair_shape(pair, TOKEN_VOXELS, "ViTVNet")
        skips = self._encode(pair)
        x = self.bottleneck(self.transformer(self.patch_embedding(skips[2])))
        for block in self.decoder[:-1]:  # type: ignore[index]
            x = run_checkpointed(block, self.checkpointing, x, skips.pop())
        return self._finest(x, skips.pop())

    def fields(self, pair: Tensor) -> dict[str, Tensor]:
        """(B, 2, X, Y, Z) -> ``ddf`` (B, 3, X, Y, Z) in voxels, and ``velocity`` of the same shape where integrated."""
        head = self._head_output(pair)
        if self.integration_steps == 0:
            return {"ddf": head}
        return {"ddf": integrate(head, self.integration_steps), "velocity": head}

    def forward(self, pair: Tensor) -> Tensor:
        """(B, 2, X, Y, Z), channel 0 moving, 1 fixed -> ddf (B, 3, X, Y, Z) in voxels.

        Raises:
            InputError: not a pair, or an axis is not a multiple of 32.
        """
        return self.fields(pair)["ddf"]

    def __prepare_scriptable__(self) -> Recorded:
        return recorded(self, TOKEN_VOXELS)
