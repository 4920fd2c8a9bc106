"""The field to begin with: a network's, made one to one before anything else."""

import torch
from torch import Tensor

from common.refine.descent import hold_back
from common.refine.determinants import cells_below, smallest_determinant
from common.refine.optimiser import CAUTION, FLOOR
from common.refine.smoothing import short_gaussian, smooth

#: Rounds of smoothing around cells in trouble; every fourth reaches a voxel further.
ROUNDS = 24
#: A field that is still not one to one is drawn back towards no displacement in steps of this factor.
SHRINK = 0.8
#: Voxels of the blocks in which troubled cells are sought out.
BLOCK = 16


def one_to_one(field: Tensor, floor: float = CAUTION * FLOOR) -> Tensor:
    """Return a field whose ten determinants are all at least ``floor``, changed only around cells where they are not.

    Args:
        field: (1, 3, X, Y, Z) in voxels.
        floor: below 1.

    Returns:
        (1, 3, X, Y, Z); the same tensor where nothing had to be done.
    """
    for round_ in range(ROUNDS):
        cells = cells_below(field, floor)
        if not len(cells):
            return field
        field = _smoothed_near(field, cells, 1.0 + round_ // 4)
    while smallest_determinant(field) < floor:
        field = field * SHRINK
    return field


def _smoothed_near(field: Tensor, cells: Tensor, reach: float) -> Tensor:
    """Smooth a field around cells, block by block: troubled ones are few, and a whole field takes a second a round."""
    keep = torch.ones_like(field[0, 0])
    hold_back(keep, cells, reach)
    taps, span = short_gaussian(1.0), int(reach) + 4
    halo = len(taps) // 2
    out = field.clone()
    for block in torch.unique(cells // BLOCK, dim=0).tolist():
        edges = [(max(n * BLOCK - span, 0), (n + 1) * BLOCK + span) for n in block]
        part = tuple(slice(start, stop) for start, stop in edges)
        wide = tuple(slice(max(start - halo, 0), stop + halo) for start, stop in edges)
        shifts = [p.start - w.start for p, w in zip(part, wide, strict=True)]
        own = tuple(slice(shift, shift + n) for shift, n in zip(shifts, keep[part].shape, strict=True))
        smoothed = smooth(field[:, :, wide[0], wide[1], wide[2]], taps)[:, :, own[0], own[1], own[2]]
        old = field[:, :, part[0], part[1], part[2]]
        out[:, :, part[0], part[1], part[2]] = torch.lerp(smoothed, old, keep[part])
    return out


def prepared_start(start: Tensor) -> Tensor:
    """Smooth a network's field by one voxel, which the refinement makes up for, and make it one to one.

    Args:
        start: (1, 3, X, Y, Z) in voxels.
    """
    return one_to_one(smooth(start.float(), short_gaussian(1.0)))
