"""CAMLMorph: cross attention over several layers, residual skips and a cascade with memory, on XMorpher's backbone.

Paper: IDA-230692 (the system has no name of its own; CAMLMorph, "cross attention over multi-layers", is ours). Its
equations, hyper-parameters and code are not available, and no weights exist. The backbone is XMorpher's, checked
against XMorpher's code; how the three additions are wired is our reconstruction, chosen so that it fits every sentence
that is left and the order of costs in the ablation:

- CAML: at levels 1 to 3, in encoder and decoder, the first block of a stage is called four times with the same weights:
  each image asks the other's tokens of the same level and its max-pooled tokens of the next finer level; mean of both.
- RBSC: a residual block of two 3x3x3 convolutions in every skip, the identity at the start.
- CARSC: the registration runs again on the warped image, with the same weights; the decoder's features of one pass,
  warped where they belong to the moving image, are added to the encoder's input tokens of the next.

With all three off this is XMorpher, key for key (and without its one frozen linear layer).

    CAMLMorph
      backbone: CrossUNet              later_backbones for the later passes unless weights are shared
      encoder_finer, decoder_finer     FinerFeatures of levels 0, 1, 2                   (CAML)
      skips[0..2]: ResidualBlock                                                         (RBSC)
      carry[0..2]: Carry               residual block and a scale per channel            (CARSC)
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.blocks.cross_unet import PATCH, CrossUNet, Hooks
from common.blocks.residual import ResidualBlock
from common.networks.contract import check_pair_shape
from common.networks.scripting import Recorded, recorded
from common.spatial import compose, warp
from common.switches import reads_switches

FINER_LEVELS = 3  # levels 0, 1, 2: those with a coarser one behind them, and those with a skip


class FinerFeatures(nn.Module):
    """Tokens of one level as the next coarser level can ask them: max pooling, LayerNorm, Linear to twice the width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, 2 * dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, X, Y, Z, C) -> (N, X / 2, Y / 2, Z / 2, 2C), rounded up."""
        pooled = F.max_pool3d(tokens.permute(0, 4, 1, 2, 3), 2, ceil_mode=True)
        return self.linear(self.norm(pooled.permute(0, 2, 3, 4, 1)))


class Carry(nn.Module):
    """What one pass hands to the next: a residual block, scaled per channel by a weight that starts at 0.1."""

    def __init__(self, dim: int, norm: str) -> None:
        super().__init__()
        self.block = ResidualBlock(dim, norm)
        self.gamma = nn.Parameter(torch.full((dim,), 0.1))

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, X, Y, Z, C) -> (N, X, Y, Z, C)."""
        return self.gamma * self.block(tokens)


def _modules(enabled: bool, make: Callable[[int], nn.Module], widths: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(make(width) for width in widths) if enabled else nn.ModuleList()


@reads_switches
class CAMLMorph(nn.Module):
    """CAMLMorph, 20,223,315 parameters; the eight settings of ``caml``, ``rbsc`` and ``carsc`` are the ablation."""

    def __init__(
        self,
        embed_dim: int = 48,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int = 2,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.2,
        caml: bool = True,
        caml_blocks: str = "first",
        caml_stages: str = "both",
        caml_merge: str = "mean",
        rbsc: bool = True,
        rbsc_norm: str = "instance",
        carsc: bool = True,
        carry: bool = True,
        num_passes: int = 2,
        share_weights: bool = True,
        fill_all_neighbours: bool = True,
        unused_weights: bool = False,
        checkpointing: bool = False,
    ) -> None:
        """Build the network.

        Args:
            embed_dim: token width on the finest level; 24 makes a network of 5.07 M parameters.
            depths: cross-attention blocks per level.
            num_heads: attention heads per level.
            window_size: tokens along the side of a window.
            mlp_ratio: hidden width of the MLPs over the token width.
            drop_path_rate: stochastic depth, drawn anew in every pass.
            caml: attention between different levels.
            caml_blocks: ``first`` block of a stage, or ``all`` of them.
            caml_stages: ``encoder``, ``decoder`` or ``both``.
            caml_merge: ``mean`` of both answers, or ``gate``, one learned number a block.
            rbsc: residual blocks in the skips.
            rbsc_norm: ``instance``, ``batch`` or ``group``, in the skips and the carry.
            carsc: more than one pass.
            carry: features from pass to pass; without them a plain recursion.
            num_passes: passes if ``carsc``.
            share_weights: one backbone for all passes.
            fill_all_neighbours: False leaves out the window that XMorpher's published code forgets.
            unused_weights: hold XMorpher's unused layer (295,296 parameters), to load its weights strictly.
            checkpointing: recompute blocks in the backward pass.

        Raises:
            ValueError: an option has no such value.
        """
        super().__init__()
        _check_option("caml_blocks", caml_blocks, ("first", "all"))
        _check_option("caml_stages", caml_stages, ("encoder", "decoder", "both"))
        _check_option("caml_merge", caml_merge, ("mean", "gate"))
        if num_passes < 1:
            raise ValueError(f"num_passes must be at least 1, got {num_passes}")
        self.num_passes = num_passes if carsc else 1

        def backbone() -> CrossUNet:
            return CrossUNet(
                embed_dim=embed_dim,
                depths=depths,
                num_heads=num_heads,
                window_size=window_size,
                mlp_ratio=mlp_ratio,
                drop_path_rate=drop_path_rate,
                fill_all_neighbours=fill_all_neighbours,
                unused_weights=unused_weights,
                checkpointing=checkpointing,
                finer_blocks=caml_blocks,
                gated_encoder=caml and caml_merge == "gate" and caml_stages != "decoder",
                gated_decoder=caml and caml_merge == "gate" and caml_stages != "encoder",
            )

        widths = [embed_dim * 2**i for i in range(FINER_LEVELS)]
        self.backbone = backbone()
        own = 0 if share_weights else self.num_passes - 1
        self.later_backbones = nn.ModuleList(backbone() for _ in range(own))
        self.encoder_finer = _modules(caml and caml_stages != "decoder", FinerFeatures, widths)
        self.decoder_finer = _modules(caml and caml_stages != "encoder", FinerFeatures, widths)
        self.skips = _modules(rbsc, lambda width: ResidualBlock(width, rbsc_norm), widths)
        self.carry = _modules(carry and self.num_passes > 1, lambda width: Carry(width, rbsc_norm), widths)

    def _carried(self, features: Sequence[Tensor], ddf: Tensor) -> list[Tensor]:
        """Decoder features of a pass (2B, x, y, z, C) and the field so far -> what is added in the next pass."""
        carried = []
        for level, module in enumerate(self.carry):
            fixed, moving = features[level].chunk(2)
            grid = list(fixed.shape[1:4])
            # One token of the level is 4 * 2^level voxels wide.
            field = F.interpolate(ddf, size=grid, mode="trilinear", align_corners=False) / (PATCH * 2**level)
            warped = warp(moving.permute(0, 4, 1, 2, 3), field, padding="border").permute(0, 2, 3, 4, 1)
            carried.append(module(torch.cat([fixed, warped])))
        return carried

    def fields(self, pair: Tensor) -> dict[str, Tensor]:
        """Run the network and name its fields.

        Args:
            pair: (B, 2, X, Y, Z), channel 0 moving, 1 fixed.

        Returns:
            ``ddf`` (B, 3, X, Y, Z) in voxels; with several passes also ``ddf_pass1`` and so on, the total field after
            each of the earlier ones.
        """
        check_pair_shape(pair, 1, "CAMLMorph", smallest=PATCH)
        moving, fixed = pair[:, :1], pair[:, 1:]
        hooks = Hooks(
            on_skips=list(self.skips),
            encoder_finer=list(self.encoder_finer),
            decoder_finer=list(self.decoder_finer),
        )
        ddf, features = self.backbone(fixed, moving, hooks)
        named: dict[str, Tensor] = {}
        for number in range(1, self.num_passes):
            named[f"ddf_pass{number}"] = ddf
            hooks.carried = self._carried(features, ddf)
            backbone = self.later_backbones[number - 1] if len(self.later_backbones) else self.backbone
            residual, features = backbone(fixed, warp(moving, ddf, padding="border"), hooks)
            ddf = compose(ddf, residual, padding="border")
        return {"ddf": ddf, **named}

    def forward(self, pair: Tensor) -> Tensor:
        """(B, 2, X, Y, Z), channel 0 moving, 1 fixed -> ddf (B, 3, X, Y, Z) in voxels.

        Raises:
            InputError: not a pair, or an axis has fewer than 4 voxels.
        """
        return self.fields(pair)["ddf"]

    def __prepare_scriptable__(self) -> Recorded:
        return recorded(self, 1, self.backbone.smallest_recorded)


def _check_option(name: str, value: str, options: Sequence[str]) -> None:
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}, got {value!r}")
