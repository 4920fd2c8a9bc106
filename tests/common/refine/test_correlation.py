"""The local correlation: its value against a loop over windows, its derivative against autograd."""

import pytest
import torch

from common.refine.correlation import box_sum, central_gradient, correlation, correlation_slope, windows_of
from tests.common.refine.phantom import volumes

SHAPE = (7, 8, 9)


def setting(masked=False, radius=1, channels=1):
    fixed, moved = (volumes(SHAPE, channels, seed).double() for seed in (0, 1))
    centres = torch.ones(1, 1, *SHAPE)
    centres[..., :2] = 0
    mask = None
    if masked:
        mask = torch.ones(1, 1, *SHAPE).double()
        mask[..., 2:4, 2:5, 3:5] = 0
    return fixed, moved, windows_of(fixed, centres, mask, radius, 1e-3)


@pytest.mark.parametrize("masked", [False, True])
def test_value_of_every_window(masked):
    """Each window by its definition: means, variances and covariance of the counted voxels in it."""
    fixed, moved, windows = setting(masked)
    value = correlation(fixed, moved, windows)[0, 0]
    for x, y, z in [(0, 0, 2), (3, 3, 4), (1, 2, 2), (6, 7, 8), (3, 2, 0)]:
        part = tuple(slice(max(c - 1, 0), c + 2) for c in (x, y, z))
        counted = torch.ones(SHAPE, dtype=torch.bool) if windows.mask is None else windows.mask[0, 0] > 0
        some = counted[part]
        a, b = fixed[0, 0][part][some], moved[0, 0][part][some]
        expected = 0.0
        if z >= 2 and counted[x, y, z] and len(a) >= 27 / 4:
            cross = ((a - a.mean()) * (b - b.mean())).mean()
            expected = cross**2 / ((a.var(unbiased=False) + 1e-3) * (b.var(unbiased=False) + 1e-3))
        assert float(value[x, y, z]) == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("channels", [1, 2])
def test_exact_slope_is_the_gradient_of_the_sum(masked, channels):
    fixed, moved, windows = setting(masked, channels=channels)
    moved.requires_grad_()
    gradient = torch.autograd.grad(correlation(fixed, moved, windows).sum(), moved)[0]
    slope, energy = correlation_slope(fixed, moved.detach(), windows, exact=True)
    torch.testing.assert_close(slope, gradient, rtol=1e-9, atol=1e-12)
    assert float(energy) == pytest.approx(float(correlation(fixed, moved.detach(), windows).sum()))


def test_approximate_slope_is_the_centre_windows_own():
    """The derivative of one window's value to its centre, times the window's size."""
    fixed, moved, windows = setting()
    moved.requires_grad_()
    value = correlation(fixed, moved, windows)
    slope, _ = correlation_slope(fixed, moved.detach(), windows, exact=False)
    for x, y, z in [(3, 3, 4), (0, 1, 3)]:
        own = torch.autograd.grad(value[0, 0, x, y, z], moved, retain_graph=True)[0][0, 0, x, y, z]
        assert float(slope[0, 0, x, y, z] * windows.count[0, 0, x, y, z]) == pytest.approx(float(own), abs=1e-12)


def test_masked_voxels_change_nothing():
    fixed, moved, windows = setting(masked=True)
    hidden = windows.mask == 0
    other = torch.where(hidden, torch.rand_like(moved), moved)
    for exact in (False, True):
        here, there = (correlation_slope(fixed, m, windows, exact)[0] for m in (moved, other))
        torch.testing.assert_close(here, there)
        assert float(here[hidden].abs().max()) == 0


def test_box_sum_counts_zeros_outside():
    assert box_sum(torch.ones(1, 1, 4, 4, 4), 1)[0, 0, 0, 0].tolist() == [8, 12, 12, 8]


def test_central_gradient_of_a_ramp():
    x, y, z = torch.meshgrid(*[torch.arange(5.0)] * 3, indexing="ij")
    gradient = central_gradient((x + 2 * y + 3 * z)[None, None])[0, 0, :, 2, 2, 2]
    assert gradient.tolist() == [1, 2, 3]
