import pytest
import torch

from common.blocks.residual import NORMS, ResidualBlock


@pytest.mark.parametrize("norm", NORMS)
def test_starts_as_the_identity_and_learns(norm):
    block, tokens = ResidualBlock(6, norm), torch.randn(2, 3, 4, 5, 6)
    assert torch.equal(block(tokens), tokens)
    block(tokens).square().sum().backward()
    assert block.norm2.weight.grad.any()


def test_takes_a_grid_of_one_voxel():
    block, tokens = ResidualBlock(4), torch.randn(2, 1, 1, 1, 4)
    with torch.no_grad():
        block.norm2.bias.fill_(0.5)
        torch.testing.assert_close(block(tokens), tokens + 0.5)


def test_instance_norm_is_torchs():
    norm, x = ResidualBlock(4).norm1, torch.randn(2, 4, 3, 4, 5)
    torch.testing.assert_close(norm(x), torch.nn.functional.instance_norm(x, weight=norm.weight, bias=norm.bias))


def test_refuses_an_unknown_norm():
    with pytest.raises(ValueError, match="instance, batch, group, got 'layer'"):
        ResidualBlock(4, "layer")
