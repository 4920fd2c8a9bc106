"""Short kernels with a Gaussian's variance."""

import numpy as np
import pytest
import torch

from common.refine.smoothing import short_gaussian, smooth


@pytest.mark.parametrize("sigma", [0.0, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0])
def test_sum_variance_and_response(sigma):
    taps = short_gaussian(sigma)
    place = np.arange(len(taps)) - len(taps) // 2
    assert taps.sum() == pytest.approx(1)
    assert (taps * place**2).sum() == pytest.approx(sigma**2)
    assert (taps * (-1.0) ** place).sum() >= -1e-12, "the finest ripple may be damped, never turned round"


def test_lengths():
    assert [len(short_gaussian(sigma)) for sigma in (0.0, 0.7, 1.0, 1.5)] == [1, 3, 5, 11]


def test_smooth_is_separable_and_keeps_constants():
    volume = torch.zeros(1, 1, 7, 7, 7, dtype=torch.float64)
    volume[..., 3, 3, 3] = 1
    taps = short_gaussian(1.0)
    spread = smooth(volume, taps)[0, 0, 1:6, 1:6, 1:6]
    torch.testing.assert_close(spread, torch.einsum("i,j,k->ijk", *[torch.from_numpy(taps)] * 3))
    torch.testing.assert_close(smooth(torch.full((1, 2, 3, 4, 5), 2.5), taps), torch.full((1, 2, 3, 4, 5), 2.5))
