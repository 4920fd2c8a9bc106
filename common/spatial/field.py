"""Arithmetic of displacement fields: exponential, composition, inversion, change of grid.

All fields are (B, 3, X, Y, Z) in voxels of their own grid, channel k along array axis k; a field ``u`` stands for the
map ``x -> x + u(x)``.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from common.spatial.squaring import can_square_compiled, square_compiled
from common.spatial.warp import warp


def compose(first: Tensor, second: Tensor, padding: str = "zeros") -> Tensor:
    """Return the one field that acts like warping by ``first`` and then warping the result by ``second``.

    ``warp(warp(image, first), second) = warp(image, compose(first, second))`` up to interpolation:
    ``u(x) = second(x) + first(x + second(x))``.

    Args:
        first: (B, 3, X, Y, Z) in voxels.
        second: (B, 3, X, Y, Z) in voxels.
        padding: value of ``first`` outside of the grid, as in ``warp``.

    Returns:
        (B, 3, X, Y, Z).
    """
    return second + warp(first, second, padding=padding)


def integrate(velocity: Tensor, steps: int = 7) -> Tensor:
    """Exponential of a stationary velocity field by scaling and squaring (Arsigny et al., MICCAI 2006).

    Args:
        velocity: (B, 3, X, Y, Z) in voxels per unit time.
        steps: number of squarings; the first step is ``velocity / 2**steps``. Zero returns the velocity itself.

    Returns:
        (B, 3, X, Y, Z), the displacement after unit time.

    Raises:
        ValueError: ``steps`` is negative.
    """
    if steps < 0:
        raise ValueError(f"integrate expects a number of steps of at least 0, got {steps}")
    # Under autocast the velocity may come in half precision, too coarse to be squared seven times.
    field = velocity if velocity.dtype in (torch.float32, torch.float64) else velocity.float()
    if can_square_compiled(field):
        return square_compiled(field, steps, _square)
    return _square(field, steps)


def _square(velocity: Tensor, steps: int) -> Tensor:
    """``integrate`` in PyTorch's own operations, which every device, precision and export has."""
    field = velocity / float(2**steps)
    for _ in range(steps):
        field = compose(field, field)
    return field


def remainder(total: Tensor, first: Tensor, iterations: int = 5) -> Tensor:
    """Find what is left of a field after a first one: e with ``compose(first, e) = total``.

    Fixed-point iteration ``e(x) <- total(x) - first(x + e(x))``, which converges where ``first`` changes by less than
    a voxel from one voxel to the next.

    Args:
        total: (B, 3, X, Y, Z) in voxels.
        first: (B, 3, X, Y, Z) in voxels.
        iterations: how many.

    Returns:
        (B, 3, X, Y, Z) in voxels.
    """
    rest = total - first
    for _ in range(iterations):
        rest = total - warp(first, rest, padding="border")
    return rest


def resize_ddf(ddf: Tensor, size: tuple[int, int, int], align_corners: bool = False) -> Tensor:
    """Bring a field to another number of voxels over the same extent; the vectors are rescaled to the new voxels.

    Args:
        ddf: (B, 3, X, Y, Z) in voxels.
        size: the new (X, Y, Z).
        align_corners: True when the centres of the corner voxels coincide, False when the outer faces do.

    Returns:
        (B, 3, *size) in voxels of the new grid.
    """
    old = ddf.shape[2:]
    resized = F.interpolate(ddf, size=list(size), mode="trilinear", align_corners=align_corners)
    span = [(max(n - 1, 1) / max(o - 1, 1)) if align_corners else n / o for n, o in zip(size, old, strict=True)]
    return resized * torch.tensor(span, dtype=ddf.dtype, device=ddf.device).view(1, 3, 1, 1, 1)
