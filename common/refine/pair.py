"""What is registered: images of one grid, and what may come with them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from common.errors import InputError
from common.geometry.filling import fill_from_surroundings


@dataclass(frozen=True)
class Pair:
    """Two images, or two sets of channels, on one grid.

    Attributes:
        moving: (1, C, X, Y, Z), intensities in [0, 1], background 0.
        fixed: likewise; channel k is compared with channel k.
        moving_mask: (1, 1, X, Y, Z), 0 where the moving image says nothing (a lesion, outside of the field of view).
        fixed_mask: likewise on the fixed image.
        moving_label: (1, 1, X, Y, Z), whole numbers; structures that are to be brought together. With it comes
            ``fixed_label``.
        fixed_label: likewise.
        moving_points: (N, 3) voxel indices; each belongs to the fixed point of its row. With it comes ``fixed_points``.
        fixed_points: likewise.

    Raises:
        InputError: shapes that do not belong together, or one of two things that come together.
    """

    moving: Tensor
    fixed: Tensor
    moving_mask: Tensor | None = None
    fixed_mask: Tensor | None = None
    moving_label: Tensor | None = None
    fixed_label: Tensor | None = None
    moving_points: Tensor | None = None
    fixed_points: Tensor | None = None

    def __post_init__(self) -> None:
        if self.moving.dim() != 5 or self.moving.shape[0] != 1 or self.moving.shape != self.fixed.shape:
            raise InputError(
                "refinement expects a moving and a fixed image (1, C, X, Y, Z) of one shape, "
                f"got {tuple(self.moving.shape)} and {tuple(self.fixed.shape)}"
            )
        grid = (1, 1, *self.fixed.shape[2:])
        for name in ("moving_mask", "fixed_mask", "moving_label", "fixed_label"):
            volume = getattr(self, name)
            if volume is not None and volume.shape != grid:
                raise InputError(f"refinement expects {name} of shape {grid}, got {tuple(volume.shape)}")
        for one, other in (("moving_label", "fixed_label"), ("moving_points", "fixed_points")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise InputError(f"refinement expects {one} and {other} together, got one of them")
        if self.fixed_points is not None and self.moving_points is not None:
            shapes = tuple(self.fixed_points.shape), tuple(self.moving_points.shape)
            if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][1] != 3:
                raise InputError(
                    f"refinement expects as many moving as fixed points (N, 3), got {shapes[1]}, {shapes[0]}"
                )


def scaled(image: Tensor, inside: Tensor) -> Tensor:
    """Divide each channel by the 99.5th percentile of its foreground, so that all levels see one range.

    Args:
        image: (1, C, X, Y, Z).
        inside: (1, 1, X, Y, Z), the foreground.
    """
    channels = []
    for channel in image.float().split(1, dim=1):
        values = channel[inside].flatten()
        top = float(values.kthvalue(max(1, round(0.995 * len(values)))).values) if len(values) else 0.0
        channels.append(channel / top if top > 0 else channel)
    return torch.cat(channels, dim=1)


def without(image: Tensor, mask: Tensor | None) -> Tensor:
    """Replace what a mask leaves out by the values around it, so that nothing which follows depends on what was there.

    Windows, gradients and interpolation near a mask's rim reach over it.

    Args:
        image: (1, C, X, Y, Z).
        mask: (1, 1, X, Y, Z), 0 where the image says nothing; ``None`` for nowhere.
    """
    if mask is None:
        return image
    region = (mask[0, 0] == 0).cpu().numpy()
    channels = [fill_from_surroundings(channel.cpu().numpy(), region) for channel in image[0]]
    return torch.from_numpy(np.stack(channels))[None].to(image.device)
