"""The conditional mean and the remapping by it."""

import numpy as np
import pytest
import torch

from common.refine.conditional import BINS, conditional_mean, remap
from tests.common.refine.phantom import volumes


def curve_of(function):
    moved = volumes((20, 20, 20), 1, 0)
    return moved, conditional_mean(moved, function(moved), torch.ones_like(moved))


@pytest.mark.parametrize("function", [lambda v: 1 - v, lambda v: 4 * (v - 0.5) ** 2, lambda v: 0.3 + 0 * v])
def test_finds_the_relation_and_sends_the_image_through_it(function):
    moved, curve = curve_of(function)
    error = (remap(moved, curve) - function(moved)).abs()
    assert float(error.mean()) < 0.02


def test_empty_bins_take_their_neighbours_values():
    moved = torch.tensor([0.1, 0.12, 0.9]).view(1, 1, 3, 1, 1)
    curve = conditional_mean(moved, moved, torch.ones_like(moved))
    assert curve.shape == (BINS,)
    assert np.isfinite(curve).all()
    assert (np.diff(curve) >= -1e-12).all()


def test_voxels_without_weight_do_not_count():
    moved = volumes((12, 12, 12), 1, 0)
    weight = (moved < 2).float()
    weight[..., :6] = 0
    fixed = torch.where(weight > 0, moved, torch.full_like(moved, 9.0))
    assert conditional_mean(moved, fixed, weight).max() <= 1
    assert conditional_mean(moved, fixed, torch.zeros_like(moved)).tolist() == [0.0] * BINS
