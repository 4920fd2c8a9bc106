"""XMorpher's dual-stream U-net of cross-attention blocks, the backbone of XMorpher and of CAMLMorph.

Both images go through the same weights; they meet only in cross attention, where each one's tokens ask the other's.
Here the two streams lie one after the other in the batch: tokens (2B, X, Y, Z, C), first the fixed image's, then the
moving image's, so that "the other stream" is the other half of the batch.

    CrossUNet
      patch_embedding          4x4x4 voxels a token
      encoder[0..3]: CrossStage    with mergings[0..2] between
      bottleneck_norm
      decoder[0..3]: CrossStage    deepest first, with expansions[0..2] between and skip_linears[1..3]
      head_norm, upsampling, head  both streams joined, back to voxels, field

The three hooks that CAMLMorph needs are arguments: tokens carried into the encoder, a module on the skips, and finer
features that the first block of a stage asks as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.blocks.checkpointing import run_checkpointed
from common.blocks.cross_attention import CrossBlock
from common.blocks.head import DisplacementHead
from common.convolution.slabs import can_run_in_slabs, run_in_slabs, slab_rows

PATCH = 4
LEVELS = 4


def swap_streams(tokens: Tensor) -> Tensor:
    """(2B, ...) -> (2B, ...) with the two halves of the batch exchanged."""
    first, second = tokens.chunk(2)
    return torch.cat([second, first])


class CrossStage(nn.Module):
    """Blocks on one level; every block serves both directions, and both see the tokens of before the block."""

    def __init__(self, blocks: Sequence[CrossBlock], finer_blocks: str = "first", gated: bool = False) -> None:
        """Build a stage.

        Args:
            blocks: the cross-attention blocks.
            finer_blocks: which blocks also ask the finer features, where a stage is given any: ``first`` or ``all``.
            gated: weigh the two answers by one learned number a block, else take their mean.
        """
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.asking = 1 if finer_blocks == "first" else len(blocks)
        self.gates = nn.Parameter(torch.full((self.asking,), 0.5)) if gated else None
        self.checkpointing = False

    def forward(self, tokens: Tensor, finer: Tensor | None = None) -> Tensor:
        """Tokens and finer features (2B, X, Y, Z, C) -> (2B, X, Y, Z, C)."""
        if finer is not None:
            finer = swap_streams(finer)
        for index, block in enumerate(self.blocks):
            same = run_checkpointed(block, self.checkpointing, tokens, swap_streams(tokens))
            if finer is not None and index < self.asking:
                other = run_checkpointed(block, self.checkpointing, tokens, finer)
                share = 0.5 if self.gates is None else self.gates[index]
                same = same + share * (other - same)
            tokens = same
        return tokens


class Merging(nn.Module):
    """Halve the grid, double the width: 2x2x2 convolution of stride 2, LayerNorm. Odd axes are padded with zeros."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(dim, 2 * dim, 2, stride=2)
        self.norm = nn.LayerNorm(2 * dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, X, Y, Z, C) -> (N, X / 2, Y / 2, Z / 2, 2C), rounded up."""
        x, y, z = tokens.shape[1:4]
        padded = F.pad(tokens, (0, 0, 0, z % 2, 0, y % 2, 0, x % 2))
        return self.norm(self.conv(padded.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1))


class Expansion(nn.Module):
    """Double the grid, halve the width: 2x2x2 transposed convolution of stride 2, LayerNorm."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose3d(dim, dim // 2, 2, stride=2)
        self.norm = nn.LayerNorm(dim // 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, X, Y, Z, C) -> (N, 2X, 2Y, 2Z, C / 2)."""
        return self.norm(self.conv(tokens.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1))


@dataclass
class Hooks:
    """What CAMLMorph adds to the backbone; empty for XMorpher.

    Attributes:
        carried: tokens (2B, X_i, Y_i, Z_i, C_i) added to the input of encoder stage i, finest first.
        on_skips: modules for the skips of levels 0, 1, 2.
        encoder_finer: from a finer level's features to those that encoder stage i = 1, 2, 3 asks (entry i - 1).
        decoder_finer: the same for the decoder.
    """

    carried: Sequence[Tensor] = ()
    on_skips: Sequence[Callable[[Tensor], Tensor]] = ()
    encoder_finer: Sequence[Callable[[Tensor], Tensor]] = ()
    decoder_finer: Sequence[Callable[[Tensor], Tensor]] = ()


class CrossUNet(nn.Module):
    """The backbone; see the module's description for its parts."""

    def __init__(
        self,
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window_size: int = 2,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.2,
        fill_all_neighbours: bool = True,
        unused_weights: bool = False,
        head_deviation: float | None = 1e-5,
        checkpointing: bool = False,
        finer_blocks: str = "first",
        gated_encoder: bool = False,
        gated_decoder: bool = False,
    ) -> None:
        """Build the backbone.

        Args:
            embed_dim: token width C on the finest level; it doubles with every level.
            depths: cross-attention blocks per level, four levels.
            num_heads: attention heads per level.
            window_size: tokens along the side of a window.
            mlp_ratio: hidden width of the MLPs over the token width.
            drop_path_rate: stochastic depth of the last encoder block; it rises linearly, the decoder mirrors it.
            fill_all_neighbours: see ``WindowCrossAttention``.
            unused_weights: keep the linear layer that the authors' code holds for a skip which it never makes.
            head_deviation: standard deviation of the head's initial weights, None for PyTorch's default.
            checkpointing: recompute blocks in the backward pass instead of keeping their features.
            finer_blocks: see ``CrossStage``.
            gated_encoder: learned gates in the encoder's stages, see ``CrossStage``.
            gated_decoder: the same in the decoder.

        Raises:
            ValueError: not four levels.
        """
        super().__init__()
        if len(depths) != LEVELS or len(num_heads) != LEVELS:
            raise ValueError(f"depths and num_heads need {LEVELS} entries, got {tuple(depths)} and {tuple(num_heads)}")
        widths = [embed_dim * 2**i for i in range(LEVELS)]
        total = sum(depths)
        rates = [drop_path_rate * i / max(total - 1, 1) for i in range(total)]

        def stage(level: int, gated: bool) -> CrossStage:
            start = sum(depths[:level])
            blocks = [
                CrossBlock(widths[level], num_heads[level], window_size, mlp_ratio, rate, fill_all_neighbours)
                for rate in rates[start : start + depths[level]]
            ]
            made = CrossStage(blocks, finer_blocks, gated and level > 0)
            made.checkpointing = checkpointing
            return made

        # From here on the deepest grid has a whole window, which a recorded graph counts on.
        self.smallest_recorded = PATCH * 2 ** (LEVELS - 1) * (window_size - 1) + 1
        self.patch_embedding = nn.Conv3d(1, embed_dim, PATCH, stride=PATCH)
        self.encoder = nn.ModuleList(stage(i, gated_encoder) for i in range(LEVELS))
        self.mergings = nn.ModuleList(Merging(width) for width in widths[:-1])
        self.bottleneck_norm = nn.LayerNorm(widths[-1])
        self.decoder = nn.ModuleList(stage(i, gated_decoder) for i in reversed(range(LEVELS)))
        self.expansions = nn.ModuleList(Expansion(width) for width in reversed(widths[1:]))
        linears: list[nn.Module] = [nn.Linear(2 * width, width) for width in reversed(widths)]
        linears[0] = linears[0].requires_grad_(False) if unused_weights else nn.Identity()
        self.skip_linears = nn.ModuleList(linears)
        self.head_norm = nn.LayerNorm(2 * embed_dim)
        self.upsampling = nn.ConvTranspose3d(2 * embed_dim, embed_dim // 2, PATCH, stride=PATCH)
        self.head = DisplacementHead(embed_dim // 2, head_deviation)

    def embed(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Two images (B, 1, X, Y, Z) -> tokens (2B, x, y, z, C); the far end is padded with zeros to whole patches."""
        images = torch.cat([fixed, moving])
        pads = [p for size in reversed(images.shape[2:]) for p in (0, (-size) % PATCH)]
        return self.patch_embedding(F.pad(images, pads)).permute(0, 2, 3, 4, 1)

    def encode(self, tokens: Tensor, hooks: Hooks) -> list[Tensor]:
        """Tokens (2B, x, y, z, C) -> the outputs of the four encoder stages, finest first."""
        outputs: list[Tensor] = []
        for level, stage in enumerate(self.encoder):
            if level > 0:
                tokens = self.mergings[level - 1](outputs[-1])
            if level < len(hooks.carried):
                tokens = tokens + hooks.carried[level]
            finer = hooks.encoder_finer[level - 1](outputs[-1]) if level > 0 and hooks.encoder_finer else None
            outputs.append(stage(tokens, finer))
        return outputs

    def decode(self, encoded: list[Tensor], hooks: Hooks) -> list[Tensor]:
        """Outputs of the encoder stages -> outputs of the decoder stages, both finest first. Empties its argument."""
        tokens = self.bottleneck_norm(encoded.pop())
        skips = [hooks.on_skips[i](skip) for i, skip in enumerate(encoded)] if hooks.on_skips else list(encoded)
        encoded.clear()
        outputs: list[Tensor] = []
        for step, stage in enumerate(self.decoder):
            if step > 0:
                tokens = self._join_skip(self.expansions[step - 1](tokens), skips.pop(), self.skip_linears[step])
            finer = hooks.decoder_finer[len(skips) - 1](skips[-1]) if skips and hooks.decoder_finer else None
            tokens = stage(tokens, finer)
            outputs.insert(0, tokens)
        return outputs

    @staticmethod
    def _join_skip(tokens: Tensor, skip: Tensor, linear: nn.Module) -> Tensor:
        # On the same grid this changes nothing; a recorded graph does it always and holds for grids that differ.
        if torch.jit.is_tracing() or tokens.shape[1:4] != skip.shape[1:4]:
            grid = list(skip.shape[1:4])
            tokens = F.interpolate(tokens.permute(0, 4, 1, 2, 3), size=grid, mode="trilinear", align_corners=True)
            tokens = tokens.permute(0, 2, 3, 4, 1)
        return linear(torch.cat([tokens, skip], dim=-1))

    def field(self, tokens: Tensor, volume: Sequence[int]) -> Tensor:
        """Tokens of the finest decoder stage (2B, x, y, z, C) -> (B, 3, X, Y, Z), cropped to the volume."""
        joined = self.head_norm(torch.cat(tokens.chunk(2), dim=-1)).permute(0, 4, 1, 2, 3)
        if can_run_in_slabs(self.training, joined[:, 0].numel() * PATCH**3):
            rows = slab_rows(joined.shape[2:], PATCH)
            full = run_in_slabs(lambda slab: self.head(self.upsampling(slab)), [joined], halo=1, rows=rows)
        else:
            full = self.head(self.upsampling(joined))
        return full[:, :, : volume[0], : volume[1], : volume[2]]

    def forward(self, fixed: Tensor, moving: Tensor, hooks: Hooks | None = None) -> tuple[Tensor, list[Tensor]]:
        """Two images (B, 1, X, Y, Z) -> the field (B, 3, X, Y, Z) and the decoder's features, finest first."""
        hooks = hooks or Hooks()
        features = self.decode(self.encode(self.embed(fixed, moving), hooks), hooks)
        return self.field(features[0], fixed.shape[2:]), features
