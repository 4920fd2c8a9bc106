"""Convolutions written over their input against the plain ones."""

import pytest
import torch
from torch.nn import functional as F

from common.convolution import in_place
from common.convolution.in_place import conv_over

KINDS = [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)]


@pytest.fixture(autouse=True)
def small_bands(monkeypatch):
    """Cut volumes of any size into bands of one or two rows."""
    monkeypatch.setattr(in_place, "_SMALLEST", 0)
    monkeypatch.setattr(in_place, "_BAND", 2 * 16 * 6 * 5 * 2)
    monkeypatch.setattr(in_place, "_PYTORCH_SLOW", 0)


def volume(*shape, kind=torch.float32):
    return torch.randn(shape).to(kind).contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize(("kind", "tolerance"), KINDS)
@pytest.mark.parametrize("rows", [8, 9, 17])
@pytest.mark.parametrize("slope", [1.0, 0.2])
def test_convolution_over_its_input(kind, tolerance, rows, slope):
    x, weight, bias = volume(2, 16, rows, 6, 5, kind=kind), torch.randn(16, 16, 3, 3, 3), torch.randn(16)
    weight, bias = weight.to(kind), bias.to(kind)
    plain = F.leaky_relu(F.conv3d(x.float(), weight.float(), bias.float(), padding=1), slope)
    with torch.no_grad():
        ours = conv_over(x, weight, bias, slope)
    assert ours.data_ptr() == x.data_ptr()
    assert (ours.float() - plain).abs().max() < tolerance * plain.abs().max()


def test_convolution_added_to_another():
    x, weight, total = volume(1, 3, 16, 6, 5), torch.randn(16, 3, 3, 3, 3), volume(1, 16, 16, 6, 5)
    expected = total + F.conv3d(x, weight, padding=1)
    before = x.clone()
    with torch.no_grad():
        ours = conv_over(x, weight, None, total=total)
    assert ours.data_ptr() == total.data_ptr() and torch.equal(x, before)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_under_autocast_a_float32_volume_is_left_alone():
    x, weight = volume(1, 16, 16, 6, 5), torch.randn(16, 16, 3, 3, 3)
    before = x.clone()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        ours = conv_over(x, weight, None)
    assert ours.dtype == torch.bfloat16 and torch.equal(x, before)


def test_gradients_take_the_plain_way():
    x, weight = volume(1, 16, 16, 6, 5), torch.randn(16, 16, 3, 3, 3, requires_grad=True)
    before = x.clone()
    conv_over(x, weight, None, 0.2).sum().backward()
    assert weight.grad is not None and torch.equal(x, before)
