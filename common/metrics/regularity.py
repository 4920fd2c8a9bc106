"""How regular a displacement field is: folds, spread of volume change, non-diffeomorphic volume.

The arithmetic is ``common.spatial``'s; here are the names, masks and crops under which figures are printed.

* ``fold_share``: share of voxels with central-difference |J| <= 0, border voxels by one-sided differences.
* ``sd_log_jacobian``: standard deviation of log |J| over a mask, |J| clipped at 1e-9.
* ``sd_log_jacobian_learn2reg``: Learn2Reg's definition, kept apart because its numbers are smaller: the logarithm of
  |J| + 3 clipped to [1e-9, 1e9], over the whole volume without the two outermost voxels of every side.
* ``non_diffeomorphic_volume``: Liu et al., IJCV 2024, in percent of the volume scored.
"""

import math

import numpy as np
import torch
from torch import Tensor

from common.errors import InputError
from common.spatial import fold_share, jacobian_determinant, non_diffeomorphic_volume, sd_log_jacobian

# Slices of the first axis per step: the ten determinants need dozens of double-precision volumes at a time.
_SLAB = 16
_LEARN2REG_CROP = 2


def field_regularity(ddf: np.ndarray, mask: np.ndarray | None = None) -> dict[str, float]:
    """Every regularity figure of one field.

    Args:
        ddf: (3, X, Y, Z) in voxels, channel k along array axis k, at least 5 voxels an axis.
        mask: (X, Y, Z), non-zero in the region of interest (usually the fixed labels); the whole volume without it.

    Returns:
        ``folds_percent`` (whole volume), ``folds_mask_percent``, ``folded_voxels``, ``jacobian_minimum``,
        ``sd_log_jacobian`` (over the mask), ``sd_log_jacobian_learn2reg``, ``non_diffeomorphic_volume_percent``.

    Raises:
        InputError: the field is no (3, X, Y, Z) array, holds NaN or infinity, or the mask has another shape.
    """
    if ddf.ndim != 4 or ddf.shape[0] != 3 or min(ddf.shape[1:]) < 5:
        raise InputError(f"a field of shape (3, X, Y, Z) with 5 voxels or more an axis is expected, got {ddf.shape}")
    if not np.isfinite(ddf).all():
        raise InputError("the displacement field holds values that are not finite")
    if mask is not None and mask.shape != ddf.shape[1:]:
        raise InputError(f"the mask's shape {mask.shape} is not the field's {ddf.shape[1:]}")
    field = torch.from_numpy(np.ascontiguousarray(ddf, dtype=np.float32))[None]
    region = None if mask is None else torch.from_numpy(np.ascontiguousarray(mask != 0))[None, None]
    determinant = jacobian_determinant(field)
    return {
        "folds_percent": 100 * float(fold_share(determinant)),
        "folds_mask_percent": 100 * float(fold_share(determinant, region)),
        "folded_voxels": int((determinant <= 0).sum()),
        "jacobian_minimum": float(determinant.min()),
        "sd_log_jacobian": float(sd_log_jacobian(determinant, region)),
        "sd_log_jacobian_learn2reg": sd_log_jacobian_learn2reg(determinant),
        "non_diffeomorphic_volume_percent": _non_diffeomorphic_percent(field),
    }


def sd_log_jacobian_learn2reg(determinant: Tensor) -> float:
    """Learn2Reg's SDlogJ of a determinant (1, 1, X, Y, Z): two voxels cropped, ``std(log(clip(|J| + 3, ..)))``."""
    crop = slice(_LEARN2REG_CROP, -_LEARN2REG_CROP)
    inner = determinant[:, :, crop, crop, crop].double()
    return float((inner + 3).clamp(1e-9, 1e9).log().std(correction=0))


def _non_diffeomorphic_percent(field: Tensor) -> float:
    """Inverted tetrahedra in percent of the volume of all inner voxels, slab by slab."""
    depth = field.shape[2]
    inverted = 0.0
    for start in range(1, depth - 1, _SLAB):
        slab = field[:, :, start - 1 : min(start + _SLAB, depth - 1) + 1]
        inverted += float(non_diffeomorphic_volume(slab))
    return 100 * inverted / math.prod(n - 2 for n in field.shape[2:])
