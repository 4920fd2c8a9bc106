import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice
from torch.nn import functional as F

from common.errors import InputError
from common.metrics import dice_per_structure, mean_ignoring_nan


def test_equal_to_monai() -> None:
    rng = np.random.default_rng(0)
    fixed, moved = (rng.integers(0, 6, (9, 8, 7)).astype(np.uint8) for _ in range(2))
    ours = dice_per_structure(fixed, moved, range(1, 6))
    one_hot = [F.one_hot(torch.from_numpy(a).long(), 6).permute(3, 0, 1, 2)[None] for a in (moved, fixed)]
    theirs = compute_dice(*one_hot, include_background=False, ignore_empty=False)[0]
    assert list(ours.values()) == pytest.approx(theirs.tolist(), abs=1e-6)


def test_absent_structures() -> None:
    fixed = np.zeros((3, 3, 3), np.int16)
    moved = fixed.copy()
    fixed[0] = 1
    moved[2] = 2
    result = dice_per_structure(fixed, moved, [1, 2, 9])
    assert result[1] == 0 and result[2] == 0 and math.isnan(result[9])
    assert mean_ignoring_nan(list(result.values())) == 0
    assert math.isnan(mean_ignoring_nan([float("nan")]))


def test_half_overlap() -> None:
    fixed, moved = np.zeros((4, 1, 1), np.uint8), np.zeros((4, 1, 1), np.uint8)
    fixed[:2], moved[1:3] = 1, 1
    assert dice_per_structure(fixed, moved, [1]) == {1: 0.5}


def test_shapes_must_agree() -> None:
    with pytest.raises(InputError, match=r"of one shape are expected, got \(2, 2, 2\) and \(2, 2, 3\)"):
        dice_per_structure(np.zeros((2, 2, 2), int), np.zeros((2, 2, 3), int), [1])
