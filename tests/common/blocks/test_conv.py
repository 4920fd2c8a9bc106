import pytest
import torch
from torch.nn import functional as F

from common.blocks.conv import (
    ConvAct,
    ConvNormAct,
    channels_last,
    conv_share,
    freeze,
    instance_norm,
    norm_act,
    read_out_head,
)

WIDTHS = [16, 6]  # with the kernels in inference, and without


@pytest.mark.parametrize("batch", [1, 3])
def test_plain_instance_norm(batch):
    x = torch.randn(batch, 5, 4, 6, 8) * 3 + 7
    torch.testing.assert_close(instance_norm(x), F.instance_norm(x), atol=1e-5, rtol=1e-5)
    laid = channels_last(x)
    assert instance_norm(laid).is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("enabled", [True, False])
def test_norm_and_activation(width, enabled):
    x = torch.randn(2, width, 5, 4, 6)
    expected = F.leaky_relu(F.instance_norm(x), 0.3)
    with torch.set_grad_enabled(enabled):
        torch.testing.assert_close(norm_act(channels_last(x), slope=0.3), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_shares_of_a_convolution_add_up(stride):
    conv, x = torch.nn.Conv3d(6, 4, 3, stride=stride, padding=1), torch.randn(1, 6, 8, 8, 8)
    first, second = x.split(3, dim=1)
    torch.testing.assert_close(conv_share(conv, second, 1, conv_share(conv, first, 0, None)), conv(x))


def plain(block, x):
    """A block by PyTorch alone, in double precision."""
    x = F.conv3d(x.double(), block.conv.weight.double(), padding=1)
    if isinstance(block, ConvNormAct):
        return F.leaky_relu(F.instance_norm(x), 0.01)
    return F.leaky_relu(x + block.conv.bias.double().view(-1, 1, 1, 1), 0.2)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("out_channels", WIDTHS)
@pytest.mark.parametrize("in_channels", [1, 12, 16])
@pytest.mark.parametrize("kind", [ConvAct, ConvNormAct])
def test_a_block_in_all_its_ways(kind, in_channels, out_channels, enabled):
    block, x = kind(in_channels, out_channels), channels_last(torch.randn(2, in_channels, 6, 4, 8))
    expected = plain(block, x)
    with torch.set_grad_enabled(enabled):
        for out in (block(x.clone()), block.over(x.clone(memory_format=torch.preserve_format))):
            torch.testing.assert_close(out.double(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize(("kind", "mode"), [(ConvAct, "nearest"), (ConvNormAct, "trilinear")])
def test_a_block_on_a_doubled_volume(kind, mode, enabled):
    block, coarse, skip = kind(7, 16), torch.randn(2, 4, 3, 2, 4), channels_last(torch.randn(2, 3, 6, 4, 8))
    expected = plain(block, torch.cat([F.interpolate(coarse, scale_factor=2, mode=mode), skip], dim=1))
    with torch.set_grad_enabled(enabled):
        torch.testing.assert_close(block.on_upsampled(coarse, skip).double(), expected, atol=1e-4, rtol=1e-4)


def test_voxelmorphs_unit_starts_as_kaiming_normal():
    block = ConvAct(32, 32, stride=2)
    spread = block.conv.weight.detach().std().item()
    assert spread == pytest.approx((2 / (27 * 32)) ** 0.5, rel=0.05) and not block.conv.bias.any()
    assert block(torch.zeros(1, 32, 8, 6, 4)).shape == (1, 32, 4, 3, 2)


def test_what_is_never_computed_is_frozen():
    head = read_out_head(16)
    assert [tuple(p.shape[:2]) for p in head.parameters() if p.dim() == 5] == [(8, 16), (3, 8)]
    assert not any(p.requires_grad for p in head.parameters())
    linear = torch.nn.Linear(2, 2)
    assert freeze(linear) is linear and not linear.weight.requires_grad
