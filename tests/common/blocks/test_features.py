import pytest
import torch
from torch.nn import functional as F

from common.blocks.features import ConvUNet


def plain_unet(network, x):
    def conv(block, x):
        return F.leaky_relu(F.conv3d(x, block.conv.weight, block.conv.bias, padding=1), 0.2)

    skips = []
    for block in network.encoder:
        x = conv(block, x)
        skips.append(x)
        x = F.max_pool3d(x, 2)
    for block in network.decoder:
        x = torch.cat([F.interpolate(conv(block, x), scale_factor=2), skips.pop()], dim=1)
    for block in network.final:
        x = conv(block, x)
    return x


@pytest.mark.parametrize("decoder", [[16, 32], [16, 16, 16, 5]])
@pytest.mark.parametrize("channels", [1, 3])
def test_unet_with_and_without_kernels(decoder, channels):
    network, x = ConvUNet(channels, [16, 32], decoder), torch.randn(2, channels, 8, 12, 4)
    expected = plain_unet(network, x)
    assert network.out_channels == expected.shape[1]
    torch.testing.assert_close(network(x), expected, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(network(x), expected, atol=1e-4, rtol=1e-4)
