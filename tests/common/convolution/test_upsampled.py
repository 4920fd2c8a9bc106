"""The convolution of a doubled volume from the coarse one: its folded weights, and the blocks that it works in."""

import pytest
import torch
from torch.nn import functional as F

from common.convolution import upsampled
from common.convolution.upsampled import _plane_weights, add_upsampled_conv

pytest.importorskip("numba")


@pytest.mark.parametrize("mode", ["trilinear", "nearest"])
@pytest.mark.parametrize("planes", [1, 2, 5])
def test_plane_weights_are_interpolation_and_taps_in_one(mode, planes):
    """Three taps on a doubled line, straight and by the shares of the coarse planes."""
    line, taps = torch.randn(planes, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    doubled = F.interpolate(line[None, None, :, None, None], scale_factor=(2, 1, 1), mode=mode)[0, 0, :, 0, 0]
    expected = F.conv1d(doubled[None, None], taps[None, None], padding=1)[0, 0]
    for x in range(planes):
        shares = torch.from_numpy(_plane_weights(mode, x == 0, x == planes - 1)) @ taps  # (2, 3)
        around = torch.stack([line[min(max(x + j, 0), planes - 1)] for j in (-1, 0, 1)])
        torch.testing.assert_close(shares @ around, expected[2 * x : 2 * x + 2])


@pytest.mark.parametrize("mode", ["trilinear", "nearest"])
@pytest.mark.parametrize("products", [1, 2**12, 2**18])  # a few rows at a time, and all at once
def test_adds_to_what_is_there(mode, products, monkeypatch):
    monkeypatch.setattr(upsampled, "_CACHED", products)
    coarse, weight = torch.randn(2, 5, 3, 7, 4), torch.randn(16, 5, 3, 3, 3)
    out = torch.randn(2, 16, 6, 14, 8).contiguous(memory_format=torch.channels_last_3d)
    doubled = F.interpolate(coarse.double(), scale_factor=2, mode=mode)
    expected = F.leaky_relu(out.double() + F.conv3d(doubled, weight.double(), padding=1), 0.2)
    with torch.no_grad():
        add_upsampled_conv(out, coarse, weight, mode, 0.2)
    torch.testing.assert_close(out.double(), expected, atol=1e-4, rtol=1e-4)


def test_is_linear_without_an_activation():
    coarse, weight = torch.randn(1, 3, 2, 3, 2), torch.randn(16, 3, 3, 3, 3)
    once, twice = (torch.zeros(1, 16, 4, 6, 4).contiguous(memory_format=torch.channels_last_3d) for _ in range(2))
    with torch.no_grad():
        add_upsampled_conv(once, coarse, weight, "trilinear", 1.0)
        for _ in range(2):
            add_upsampled_conv(twice, coarse, weight, "trilinear", 1.0)
    torch.testing.assert_close(twice, 2 * once, atol=1e-5, rtol=1e-5)
