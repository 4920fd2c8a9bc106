"""What a known field becomes when both of its images are mirrored, or each is deformed by a field of its own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from common.spatial import compose, remainder

#: Steps of the fixed point in ``carried``; its error falls by the deformation's greatest strain in each.
ITERATIONS = 10


def mirrored(ddf: Tensor, axes: Sequence[int]) -> Tensor:
    """Return the field between two images that are both mirrored along axes.

    Args:
        ddf: (1, 3, X, Y, Z) in voxels, before.
        axes: some of 0, 1 and 2.
    """
    if not axes:
        return ddf
    signs = torch.ones(3, dtype=ddf.dtype, device=ddf.device)
    signs[list(axes)] = -1
    return ddf.flip([axis + 2 for axis in axes]) * signs.view(1, 3, 1, 1, 1)


def carried(between: Tensor, moving: Tensor | None, fixed: Tensor | None) -> Tensor:
    """Return the field between two images after each has been warped by a field of its own.

    With fixed(x) = moving(x + t(x)), moving'(y) = moving(y + a(y)) and fixed'(x) = fixed(x + b(x)), the field e with
    fixed'(x) = moving'(x + e(x)) has to go through the moving side's warp to where t, after b, arrives:
    (id + a) o (id + e) = (id + t) o (id + b).

    Args:
        between: t, (1, 3, X, Y, Z) in voxels.
        moving: a, or ``None`` for an image that stays as it is.
        fixed: b, likewise.

    Returns:
        e, (1, 3, X, Y, Z) in voxels; fields go on beyond the grid's faces as they are there.
    """
    total = between if fixed is None else compose(between, fixed, padding="border")
    return total if moving is None else remainder(total, moving, ITERATIONS)
