import torch
from torch.nn import functional as F

from common.blocks.spatial_mamba import GatedConv, SpatialMambaBlock
from common.convolution import slabs


def unit(conv, x):
    return F.relu(F.instance_norm(conv(x)))


def test_gated_conv_is_the_formula():
    layer, x = GatedConv(6).double(), torch.randn(2, 6, 4, 5, 3, dtype=torch.float64)
    both = unit(layer.conv2, unit(layer.conv1, x))
    expected = x + unit(layer.fuse, unit(layer.gate_conv, both[:, :3]) * both[:, 3:])
    torch.testing.assert_close(layer(x), expected)


def test_block_scans_in_row_major_order():
    block, x = SpatialMambaBlock(4, d_state=3).double(), torch.randn(2, 4, 3, 4, 5, dtype=torch.float64)
    y = block.gated(x)
    tokens = y.flatten(2).transpose(1, 2)
    scanned = (tokens + block.mamba(block.norm(tokens))).transpose(1, 2).view_as(y)
    expected = block.mlp2(F.gelu(block.mlp1(F.instance_norm(scanned))))
    torch.testing.assert_close(block(x), expected)


def test_inference_leaves_its_input_alone_and_may_run_in_slabs(monkeypatch):
    block, x = SpatialMambaBlock(4, d_state=3), torch.randn(2, 4, 6, 4, 5)
    expected, before = block(x), x.clone()
    monkeypatch.setattr(slabs, "SLAB_VOXELS", 40)
    with torch.no_grad():
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(x, before)


def test_moves_between_types_as_every_module_does():
    assert SpatialMambaBlock(4).double().gated.conv1.weight.dtype == torch.float64
