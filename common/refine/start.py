"""The field to begin with: a network's, made one to one before anything else."""

import torch
from torch import Tensor

from common.refine.descent import hold_back
from common.refine.determinants import cell_determinants
from common.refine.optimiser import CAUTION, FLOOR
from common.refine.smoothing import short_gaussian, smooth

#: Rounds of smoothing around cells in trouble; every fourth reaches a voxel further.
ROUNDS = 24
#: A field that is still not one to one is drawn back towards no displacement in steps of this factor.
SHRINK = 0.8


def one_to_one(field: Tensor, floor: float = CAUTION * FLOOR) -> Tensor:
    """Return a field whose ten determinants are all at least ``floor``, changed only around cells where they are not.

    Args:
        field: (1, 3, X, Y, Z) in voxels.
        floor: below 1.

    Returns:
        (1, 3, X, Y, Z); the same tensor where nothing had to be done.
    """
    taps = short_gaussian(1.0)
    for round_ in range(ROUNDS):
        cells = (cell_determinants(field[0]) < floor).nonzero()
        if not len(cells):
            return field
        keep = torch.ones_like(field[0, 0])
        hold_back(keep, cells, 1.0 + round_ // 4)
        field = torch.lerp(smooth(field, taps), field, keep)
    while float(cell_determinants(field[0]).min()) < floor:
        field = field * SHRINK
    return field


def prepared_start(start: Tensor) -> Tensor:
    """Smooth a network's field by one voxel, which the refinement makes up for, and make it one to one.

    Args:
        start: (1, 3, X, Y, Z) in voxels.
    """
    return one_to_one(smooth(start.float(), short_gaussian(1.0)))
