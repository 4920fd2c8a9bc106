"""PSMamba-Net: a pyramid of residual fields, each found by gated convolutions and one Mamba scan over all voxels.

Paper: Xue, He, Xu, Gong, "Medical Image Registration via Spatial Feature Extraction Mamba and Substrate Iterative
Refinement", IET Image Processing 2025 (CC BY-NC-ND 4.0). Authors' code: VCMHE/PSMamba 084f635 (no licence file).
Written from a description of the architecture.

What the code does and the paper says otherwise, reproduced because weights depend on it
- residual fields are composed (warp and add), not summed, and an iteration uses the current field;
- features of the two images are concatenated (fixed, moving), not added;
- the diffeomorphic variant has another first encoder stage; every level's residual is integrated and composed.

Differences from the authors' code
- any size that is a multiple of 16 and at least 32, any batch; the field alone is returned;
- ``constant_gate=False`` gives the first stage's channel gate the hidden unit that it lacks;
- level 1 holds 4.9 million tokens at 160x192x160: in inference features are dropped as soon as they are used.

    PSMambaNet
      encoder: PyramidEncoder         five stages, shared by both images
      projections["1".."5"]           per level, 1 the finest: Linear, RMSNorm
      decoder["1".."5"]: ResidualField   SpatialMambaBlock, convolution, DisplacementHead
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.blocks.checkpointing import run_checkpointed
from common.blocks.conv import channels_last
from common.blocks.head import DisplacementHead
from common.blocks.spatial_mamba import ConvInstanceNorm, SpatialMambaBlock
from common.blocks.squeeze_excitation import SqueezeExcitation
from common.blocks.vit import TransformerLayer
from common.errors import InputError
from common.networks.contract import check_pair_shape
from common.networks.scripting import Recorded, recorded
from common.spatial import compose, integrate, warp
from common.switches import reads_switches

LEVELS = 5
MULTIPLE, SMALLEST = 16, 32
BLOCKS = ("smb", "mamba", "transformer", "none")


class StemConv(nn.Module):
    """3x3x3 convolution with bias and LeakyReLU 0.1, no norm: the first layer of the diffeomorphic variant."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, X, Y, Z) -> (B, C_out, X, Y, Z)."""
        return F.leaky_relu_(self.conv(x), 0.1)


class PyramidEncoder(nn.Module):
    """Features of one image at 1, 1/2, 1/4, 1/8, 1/16; widths 2c, 4c, ... 32c."""

    def __init__(self, base_channels: int, extra_conv: bool, constant_gate: bool, checkpointing: bool) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        widths = [2 * base_channels * 2**i for i in range(LEVELS)]
        first: list[nn.Module] = [StemConv(1, base_channels)] if extra_conv else []
        stages = []
        for level, width in enumerate(widths):
            below = widths[level - 1] if level else (base_channels if extra_conv else 1)
            layers = [ConvInstanceNorm(below, width), ConvInstanceNorm(width, width)]
            gate = SqueezeExcitation(width, constant_gate=constant_gate)
            stages.append(nn.Sequential(*(first if level == 0 else []), *layers, gate))
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 1, X, Y, Z) -> five tensors (B, C_i, X_i, Y_i, Z_i), finest first."""
        features = [channels_last(image)]
        for level, stage in enumerate(self.stages):
            x = F.avg_pool3d(features[-1], 2) if level else features.pop()
            features.append(run_checkpointed(stage, self.checkpointing, x))
        return features


class Projection(nn.Module):
    """Linear layer over the channels, then x / rms(x) times (1 + weight); the weight starts at one, the gain at two."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)
        self.weight = nn.Parameter(torch.ones(channels))
        nn.init.normal_(self.linear.weight, std=1e-5)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> (B, C, X, Y, Z)."""
        tokens = self.linear(x.permute(0, 2, 3, 4, 1))
        normed = F.rms_norm(tokens, tokens.shape[-1:], (1.0 + self.weight).to(tokens.dtype), eps=1e-6)
        return normed.permute(0, 4, 1, 2, 3)


class TokenTransformer(nn.Module):
    """A transformer layer over all voxels of a level: what the paper's table 4 puts in the place of the Mamba block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = TransformerLayer(channels, 2 * channels, max(1, channels // 32), dropout=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> (B, C, X, Y, Z)."""
        return self.layer(x.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, x.shape[2:])


class ResidualField(nn.Module):
    """From the features of both images at one level to the field that is still missing, in voxels of that level."""

    def __init__(self, channels: int, block: str, d_state: int, d_conv: int, expand: int) -> None:
        super().__init__()
        self.mamba = _block(block, 2 * channels, d_state, d_conv, expand)
        self.conv = ConvInstanceNorm(2 * channels, channels)
        self.head = DisplacementHead(channels)

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Twice (B, C, X, Y, Z) -> (B, 3, X, Y, Z)."""
        return self.head(self.conv(self.mamba(torch.cat([fixed, moving], dim=1))))


def _block(name: str, channels: int, d_state: int, d_conv: int, expand: int) -> nn.Module:
    """What mixes the voxels of a level, by the names of the paper's table 4."""
    if name in ("smb", "mamba"):
        return SpatialMambaBlock(channels, d_state, d_conv, expand, gated=name == "smb")
    return TokenTransformer(channels) if name == "transformer" else nn.Identity()


@reads_switches
class PSMambaNet(nn.Module):
    """PSMamba-Net (8,408,047 parameters) and, with ``diffeomorphic``, PSMamba-Net_diff (8,408,807)."""

    def __init__(
        self,
        base_channels: int = 4,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        bottom_iterations: int = 3,
        bottom_block: str = "smb",
        decoder_block: str = "smb",
        diffeomorphic: bool = False,
        integration_steps: int = 7,
        constant_gate: bool = True,
        checkpointing: bool = False,
    ) -> None:
        """Build the network.

        Args:
            base_channels: c; the encoder is 2c wide at full resolution and 32c at 1/16.
            d_state: state size of the scans.
            d_conv: length of the scans' causal convolutions.
            expand: inner width of the Mamba blocks over their width.
            bottom_iterations: passes of the deepest decoder block, each on the features warped by the field so far.
            bottom_block: of the deepest level: ``smb`` (gated convolution, then Mamba), ``mamba`` (without the
                convolution), ``transformer`` or ``none``; the rows of the paper's table 4. How its plain Mamba and its
                transformer are made is not said: here Mamba keeps norm and MLP, and the transformer is one pre-norm
                layer of as wide an MLP with heads of 32 channels.
            decoder_block: of the other levels: ``smb`` or ``none``, which leaves the convolution in front of the head.
            diffeomorphic: integrate every level's field, with the encoder that goes with it.
            integration_steps: squarings of that integration.
            constant_gate: as published; False lets the first stage's channel gate learn.
            checkpointing: recompute encoder stages and decoder blocks in the backward pass.

        Raises:
            InputError: no such block.
        """
        super().__init__()
        for key, value, known in (("bottom", bottom_block, BLOCKS), ("decoder", decoder_block, ("smb", "none"))):
            if value not in known:
                raise InputError(f"{key}_block: expected one of {', '.join(known)}, got {value!r}")
        self.bottom_iterations, self.checkpointing = bottom_iterations, checkpointing
        self.integration_steps = integration_steps if diffeomorphic else 0
        widths = [2 * base_channels * 2**i for i in range(LEVELS)]
        self.encoder = PyramidEncoder(base_channels, diffeomorphic, constant_gate, checkpointing)
        levels = {str(level + 1): width for level, width in enumerate(widths)}
        self.projections = nn.ModuleDict({level: Projection(width) for level, width in levels.items()})
        self.decoder = nn.ModuleDict(
            {
                level: ResidualField(
                    width, bottom_block if level == str(LEVELS) else decoder_block, d_state, d_conv, expand
                )
                for level, width in levels.items()
            }
        )

    def _residual(self, level: int, fixed: Tensor, moving: Tensor) -> Tensor:
        return run_checkpointed(self.decoder[str(level)], self.checkpointing, fixed, moving)

    def _bottom(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Features at 1/16 -> their field: one block applied several times, always to the same features re-warped."""
        fixed, moving = self.projections[str(LEVELS)](fixed), self.projections[str(LEVELS)](moving)
        ddf = self._residual(LEVELS, fixed, moving)
        for _ in range(self.bottom_iterations - 1):
            ddf = compose(ddf, self._residual(LEVELS, fixed, warp(moving, ddf)))
        return ddf

    def _integrated(self, level: int, field: Tensor, named: dict[str, Tensor]) -> Tensor:
        """The field itself or, in the diffeomorphic variant, its exponential; what is integrated gets a name."""
        if self.integration_steps == 0:
            return field
        named[f"velocity_level{level}"] = field
        return integrate(field, self.integration_steps)

    def fields(self, pair: Tensor) -> dict[str, Tensor]:
        """Run the network and name its fields.

        Args:
            pair: (B, 2, X, Y, Z), channel 0 moving, 1 fixed.

        Returns:
            ``ddf`` (B, 3, X, Y, Z) in voxels; in the diffeomorphic variant also ``velocity_level1`` (full resolution)
            to ``velocity_level5`` (1/16), each in voxels of its own grid.
        """
        check_pair_shape(pair, MULTIPLE, "PSMambaNet", smallest=SMALLEST)
        moving, fixed = self.encoder(pair[:, :1]), self.encoder(pair[:, 1:])
        named: dict[str, Tensor] = {}
        ddf = self._integrated(LEVELS, self._bottom(fixed.pop(), moving.pop()), named)
        for level in range(LEVELS - 1, 0, -1):
            # Doubled first, then enlarged with corners aligned: a little more than the exact factor, as published.
            ddf = F.interpolate(2.0 * ddf, scale_factor=2, mode="trilinear", align_corners=True)
            project = self.projections[str(level)]
            residual = self._residual(level, project(fixed.pop()), project(warp(moving.pop(), ddf)))
            ddf = compose(ddf, self._integrated(level, residual, named))
        return {"ddf": ddf, **named}

    def forward(self, pair: Tensor) -> Tensor:
        """(B, 2, X, Y, Z), channel 0 moving, 1 fixed -> ddf (B, 3, X, Y, Z) in voxels.

        Raises:
            InputError: not a pair, or an axis is not a multiple of 16 of at least 32.
        """
        return self.fields(pair)["ddf"]

    def __prepare_scriptable__(self) -> Recorded:
        return recorded(self, MULTIPLE, SMALLEST)
