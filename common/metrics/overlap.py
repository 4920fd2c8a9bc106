"""Dice overlap of two label maps, all structures in one pass."""

from collections.abc import Sequence

import numpy as np

from common.errors import InputError


def check_same_grid(fixed: np.ndarray, moved: np.ndarray) -> None:
    """Raise ``InputError`` unless both are label maps (X, Y, Z) of one shape."""
    if fixed.ndim != 3 or fixed.shape != moved.shape:
        raise InputError(f"two label maps (X, Y, Z) of one shape are expected, got {fixed.shape} and {moved.shape}")


def dice_per_structure(fixed: np.ndarray, moved: np.ndarray, structures: Sequence[int]) -> dict[int, float]:
    """Dice overlap ``2 |A and B| / (|A| + |B|)`` of every structure.

    Args:
        fixed: (X, Y, Z) integers, labels of the fixed image.
        moved: (X, Y, Z) integers, moving labels on the fixed grid.
        structures: label indices to score; background is not among them by convention.

    Returns:
        Dice by label index, 0 to 1. A structure that is in neither map is NaN (nothing to score, left out of means);
        one that is in one map only is 0. Equal to MONAI's ``compute_dice(ignore_empty=False)`` where both are present.

    Raises:
        InputError: the shapes differ.
    """
    check_same_grid(fixed, moved)
    size = int(max(fixed.max(), moved.max(), max(structures, default=0))) + 1
    count_fixed = np.bincount(fixed.reshape(-1), minlength=size)
    count_moved = np.bincount(moved.reshape(-1), minlength=size)
    both = np.bincount(fixed[fixed == moved].reshape(-1), minlength=size)
    total = count_fixed + count_moved
    return {k: float(2 * both[k] / total[k]) if total[k] else float("nan") for k in structures}


def mean_ignoring_nan(values: Sequence[float]) -> float:
    """Mean of the values that are numbers; NaN where there is none (NumPy's would also warn)."""
    numbers = [v for v in values if not np.isnan(v)]
    return float(np.mean(numbers)) if numbers else float("nan")
