"""XMorpher: a dual-stream U-net in which two images meet in cross attention only.

Paper: Shi et al., "XMorpher: Full Transformer for Deformable Medical Image Registration via Cross Attention",
MICCAI 2022, arXiv 2206.07349. Authors' code: Solemoon/XMorpher (no licence file). Written from a description of the
architecture.

Differences from the authors' code
- it runs (the published update names an undefined variable; the simultaneous exchange that it intends is made);
- any batch size, any volume of at least 4 voxels an axis: the field is cropped from the padded size;
- the field alone is returned; warping is the project's, with corners aligned (the authors' is not the identity for a
  zero field);
- ``fill_all_neighbours`` repairs the one of 27 search windows that the authors' table leaves empty. The default
  reproduces the published behaviour.

    XMorpher
      backbone: CrossUNet    see common/blocks/cross_unet.py
"""

from collections.abc import Sequence

from torch import Tensor, nn

from common.blocks.cross_unet import PATCH, CrossUNet
from common.networks.contract import check_pair_shape
from common.networks.scripting import Recorded, recorded
from common.switches import reads_switches


@reads_switches
class XMorpher(nn.Module):
    """XMorpher, 15,093,891 parameters; depths 2,2,2,2 and mlp_ratio 2 make the 8,395,779 of MambaMorph's comparison."""

    def __init__(
        self,
        embed_dim: int = 48,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int = 2,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.2,
        fill_all_neighbours: bool = False,
        unused_weights: bool = True,
        checkpointing: bool = False,
    ) -> None:
        """Build the network as published; see ``CrossUNet`` for the arguments. The head starts at PyTorch's default."""
        super().__init__()
        self.backbone = CrossUNet(
            embed_dim=embed_dim,
            depths=depths,
            num_heads=num_heads,
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            drop_path_rate=drop_path_rate,
            fill_all_neighbours=fill_all_neighbours,
            unused_weights=unused_weights,
            head_deviation=None,
            checkpointing=checkpointing,
        )

    def fields(self, pair: Tensor) -> dict[str, Tensor]:
        """(B, 2, X, Y, Z) -> ``ddf`` (B, 3, X, Y, Z) in voxels."""
        check_pair_shape(pair, 1, "XMorpher", smallest=PATCH)
        return {"ddf": self.backbone(pair[:, 1:], pair[:, :1])[0]}

    def forward(self, pair: Tensor) -> Tensor:
        """(B, 2, X, Y, Z), channel 0 moving, 1 fixed -> ddf (B, 3, X, Y, Z) in voxels.

        Raises:
            InputError: not a pair, or an axis has fewer than 4 voxels.
        """
        return self.fields(pair)["ddf"]

    def __prepare_scriptable__(self) -> Recorded:
        return recorded(self, 1, self.backbone.smallest_recorded)
