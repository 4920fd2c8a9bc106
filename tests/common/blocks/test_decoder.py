import pytest
import torch
from torch.nn import functional as F

from common.blocks.decoder import UpBlock


def plain(block, x, skip):
    joined = torch.cat([F.interpolate(x, scale_factor=2, mode="trilinear"), skip], dim=1)
    for unit in (block.conv1, block.conv2):
        joined = F.leaky_relu(F.instance_norm(F.conv3d(joined, unit.conv.weight, padding=1)), 0.01)
    return joined


@pytest.mark.parametrize("widths", [(5, 3, 16), (32, 16, 16), (8, 4, 6)])  # the kernels take multiples of 16
@pytest.mark.parametrize("batch", [1, 2])
def test_doubles_joins_and_convolves_twice(widths, batch):
    block = UpBlock(*widths)
    x, skip = torch.randn(batch, widths[0], 4, 3, 5), torch.randn(batch, widths[1], 8, 6, 10)
    expected = plain(block.double(), x.double(), skip.double())
    block.float()
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            out = block(x, skip.clone(memory_format=torch.channels_last_3d))
        assert out.shape == (batch, widths[2], 8, 6, 10)
        torch.testing.assert_close(out.double(), expected, atol=1e-4, rtol=1e-4)


def test_gradients_are_those_of_the_plain_block():
    block, x, skip = UpBlock(16, 16, 16).double(), torch.randn(1, 16, 3, 2, 4), torch.randn(1, 16, 6, 4, 8)
    expected = torch.autograd.grad(plain(block, x.double(), skip.double()).square().sum(), list(block.parameters()))
    block.float()
    ours = torch.autograd.grad(block(x, skip).square().sum(), list(block.parameters()))
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a.double(), b, atol=1e-3 * float(b.abs().max()), rtol=0)
