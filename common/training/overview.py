"""One grey picture of a registered pair, for a glance during training."""

import torch
from torch import Tensor

from common.spatial import warp


def overview(pair: Tensor, ddf: Tensor) -> Tensor:
    """Put the middle slices of moving, fixed, moved and their absolute difference side by side: (Y, 4 X).

    Args:
        pair: (B, 2, X, Y, Z) in [0, 1]; the first pair is drawn.
        ddf: (B, 3, X, Y, Z) in voxels.
    """
    moving, fixed = (torch.as_tensor(pair[:1, i : i + 1]).float().cpu() for i in range(2))
    moved = warp(moving, torch.as_tensor(ddf[:1]).float().cpu())
    row = [volume[0, 0, :, :, volume.shape[-1] // 2] for volume in (moving, fixed, moved, (moved - fixed).abs())]
    return torch.cat(row).T.flip(0)
