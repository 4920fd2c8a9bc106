"""The CPU kernels against the plain PyTorch that they replace."""

import pytest
import torch
from torch.nn import functional as F

from common.convolution import ops

KINDS = [(torch.float32, 2e-5), (torch.bfloat16, 2e-2)]


def volume(*shape, kind=torch.float32):
    return torch.randn(shape).to(kind).contiguous(memory_format=torch.channels_last_3d)


def assert_close(ours, plain, tolerance):
    """The largest error, relative to the largest value."""
    assert ours.shape == plain.shape
    error = (ours.float() - plain.float()).abs().max() / plain.float().abs().max()
    assert error < tolerance


@pytest.mark.parametrize(("kind", "tolerance"), KINDS)
@pytest.mark.parametrize("mode", ["trilinear", "nearest"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 3), (5, 4, 3)])
def test_convolution_of_an_upsampled_volume(kind, tolerance, mode, shape):
    fine = [2 * n for n in shape]
    coarse, skip = volume(2, 5, *shape, kind=kind), volume(2, 3, *fine, kind=kind)
    weight, bias = torch.randn(16, 8, 3, 3, 3, dtype=kind), torch.randn(16, dtype=kind)
    joint = torch.cat([F.interpolate(coarse.float(), scale_factor=2.0, mode=mode), skip.float()], dim=1)
    plain = F.leaky_relu(F.conv3d(joint, weight.float(), bias.float(), padding=1), 0.2)
    with torch.no_grad():
        assert ops.applies(skip, 16)
        ours = ops.conv_on_upsampled(coarse, skip, weight, bias, mode, slope=0.2)
    assert ours.dtype == kind
    assert_close(ours, plain, tolerance)


def test_gradients_and_odd_widths_take_the_plain_way():
    coarse, skip = volume(1, 4, 2, 2, 2), volume(1, 4, 4, 4, 4)
    weight = torch.randn(6, 8, 3, 3, 3, requires_grad=True)
    with torch.no_grad():
        assert not ops.applies(skip, 6)
        expected = ops.conv_on_upsampled(coarse, skip, weight, None, "trilinear")
    out = ops.conv_on_upsampled(coarse, skip, weight, None, "trilinear")
    torch.testing.assert_close(out, expected)
    out.sum().backward()
    assert weight.grad is not None and weight.grad.any()


@pytest.mark.parametrize(("kind", "tolerance"), KINDS)
def test_pooling(kind, tolerance):
    x = volume(2, 32, 6, 4, 8, kind=kind)
    with torch.no_grad():
        assert torch.equal(ops.max_pool(x), F.max_pool3d(x, 2))
        assert_close(ops.average_pool(x), F.avg_pool3d(x.float(), 3, 2, 1), tolerance)
        odd = volume(1, 16, 5, 4, 4)
        assert torch.equal(ops.max_pool(odd), F.max_pool3d(odd, 2))


def test_first_convolution_returns_channels_last():
    image, weight, bias = torch.randn(2, 1, 5, 6, 7), torch.randn(32, 1, 3, 3, 3), torch.randn(32)
    plain = F.leaky_relu(F.conv3d(image, weight, bias, padding=1), 0.2)
    for enabled in (False, True):
        with torch.set_grad_enabled(enabled):
            ours = ops.conv_from_one(image, weight, bias, 0.2)
        assert ours.is_contiguous(memory_format=torch.channels_last_3d)
        assert_close(ours, plain, 1e-5)


@pytest.mark.parametrize(("kind", "tolerance"), KINDS)
def test_last_convolution(kind, tolerance):
    weight, bias, x = torch.randn(3, 16, 3, 3, 3), torch.randn(3), volume(2, 16, 3, 5, 4, kind=kind)
    plain = F.conv3d(x.float(), weight, bias, padding=1)
    with torch.no_grad():
        ours = ops.conv_to_three(x, weight, bias)
    assert ours.dtype == torch.float32
    assert_close(ours, plain, tolerance)


@pytest.mark.parametrize(("kind", "tolerance"), KINDS)
@pytest.mark.parametrize("channels", [16, 48])
def test_instance_norm_of_values_far_from_zero(kind, tolerance, channels):
    x = volume(2, channels, 7, 9, 11) * 3 + (500 if kind == torch.float32 else 5)
    x = x.to(kind)
    plain = F.leaky_relu(F.instance_norm(x.double()), 0.01)
    ours = ops.instance_norm_leaky_(x, 1e-5, 0.01)
    assert ours.data_ptr() == x.data_ptr()
    assert_close(ours, plain, 10 * tolerance)
