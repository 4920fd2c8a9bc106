import pytest
import torch
from torch.nn import functional as F

from common.blocks.head import DisplacementHead
from common.convolution import ops


def awake_head(channels):
    """A head whose field reaches 40 voxels, as one of a coarse pass does."""
    torch.manual_seed(0)
    head = DisplacementHead(channels)
    torch.nn.init.normal_(head.weight, 0.0, 10.0 / (27 * channels) ** 0.5)
    return head


def features(channels, kind):
    return torch.randn(2, channels, 6, 5, 7).to(kind).contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("channels", [16, 12])  # widths that the kernel takes, and that it does not
def test_runs_in_float32_under_autocast(channels, train, kind):
    head, x = awake_head(channels), features(channels, kind)
    oracle = F.conv3d(x.double(), head.weight.double(), head.bias.double(), padding=1)
    with torch.set_grad_enabled(train), torch.autocast("cpu", dtype=torch.bfloat16):
        assert ops.applies(x, channels) == (channels == 16 and not train)
        field = head(x)
    assert oracle.abs().max() > 30
    assert field.dtype == torch.float32
    torch.testing.assert_close(field.double(), oracle, atol=1e-4, rtol=0)


def test_gradients_under_autocast_are_those_without():
    head, x = awake_head(16), features(16, torch.float32)
    gradients = []
    for enabled in (False, True):
        head.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            field = head(x)
        field.square().sum().backward()
        gradients.append(head.weight.grad)
    assert torch.equal(*gradients)


def test_wider_weights_give_a_wider_field():
    head, x = awake_head(16).double(), features(16, torch.float64)
    with torch.no_grad():
        assert head(x).dtype == torch.float64


def test_starts_near_zero_or_as_pytorch_does():
    torch.manual_seed(0)
    near = DisplacementHead(32)
    assert 0.9e-5 < near.weight.std() < 1.1e-5 and not near.bias.any()
    assert DisplacementHead(32, deviation=None).weight.std() > 1e-2
