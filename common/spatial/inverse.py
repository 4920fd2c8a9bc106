"""The inverse of a field, voxel by voxel until each residual is small enough."""

import torch
from torch import Tensor

from common.spatial.warp import sample

#: Largest residual in voxels at which a voxel counts as solved.
TOLERANCE = 0.01


def invert(ddf: Tensor, tolerance: float = TOLERANCE, iterations: int = 60) -> tuple[Tensor, Tensor]:
    """Solve v(x) + u(x + v(x)) = 0.

    The plain fixed point v <- -u(x + v) (Chen et al., 2008) turns back and forth where the field stretches by more than
    two. Here each voxel steps by a share of its residual that is halved whenever the residual has not fallen, and
    leaves the iteration when it is solved.

    Args:
        ddf: (1, 3, X, Y, Z) in voxels.
        tolerance: in voxels.
        iterations: most steps.

    Returns:
        The inverse (1, 3, X, Y, Z) and the length of the residual (1, 1, X, Y, Z) in voxels. Voxels that the map does
        not reach from within the grid keep a residual.
    """
    shape = ddf.shape[2:]
    axes = [torch.arange(n, dtype=ddf.dtype, device=ddf.device) for n in shape]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    inverse = -ddf[0].reshape(3, -1)
    residual = torch.zeros_like(inverse[0])
    some = torch.arange(place.shape[1], device=ddf.device)
    share = torch.ones_like(residual)
    last = torch.full_like(residual, float("inf"))
    for _ in range(iterations):
        error = inverse[:, some] + _at(ddf, place[:, some] + inverse[:, some])
        length = error.norm(dim=0)
        residual[some] = length
        open_ = length > tolerance
        if not open_.any():
            break
        some, error, length = some[open_], error[:, open_], length[open_]
        share = torch.where(length < 0.9 * last[open_], share[open_], 0.5 * share[open_])
        last = length
        inverse[:, some] -= share * error
    return inverse.view(1, 3, *shape), residual.view(1, 1, *shape)


def _at(ddf: Tensor, position: Tensor) -> Tensor:
    """The field (1, 3, X, Y, Z) at positions (3, N), beyond its faces the outermost voxels. -> (3, N)."""
    size = torch.tensor(ddf.shape[2:], dtype=ddf.dtype, device=ddf.device)[:, None]
    normalised = (position * (2 / (size - 1).clamp_min(1)) - 1).flip(0)
    return sample(ddf, normalised.T.reshape(1, -1, 1, 1, 3), padding="border").view(3, -1)
