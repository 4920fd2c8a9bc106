import pytest
import torch
from torch import nn
from torch.nn import functional as F

from common.convolution import slabs
from common.convolution.slabs import can_run_in_slabs, run_in_slabs, slab_rows


@pytest.mark.parametrize("rows", [1, 3, 4, 7, 20])
def test_slabs_of_a_chain_equal_the_whole(rows):
    first, second = nn.Conv3d(5, 4, 3, padding=1).double(), nn.Conv3d(4, 2, 3, padding=1).double()

    def chain(coarse, fine):
        up = F.interpolate(coarse, scale_factor=2, mode="trilinear", align_corners=False)
        return second(first(torch.cat([up, fine], dim=1)))

    coarse = torch.randn(2, 2, 7, 3, 4, dtype=torch.float64)
    fine = torch.randn(2, 3, 14, 6, 8, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(run_in_slabs(chain, [coarse, fine], 2, rows), chain(coarse, fine))


def test_the_memory_layout_of_the_slabs_is_kept():
    x = torch.randn(1, 4, 6, 5, 5).contiguous(memory_format=torch.channels_last_3d)
    out = run_in_slabs(lambda slab: slab * 2, [x], 0, 2)
    assert out.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(out, x * 2)


def test_only_large_inference_is_cut():
    large = 4 * slabs.SLAB_VOXELS
    assert not can_run_in_slabs(False, large)  # gradients are recorded
    with torch.no_grad():
        assert can_run_in_slabs(False, large)
        assert not can_run_in_slabs(True, large)
        assert not can_run_in_slabs(False, 1000)


def test_rows_follow_from_the_plane():
    assert slab_rows((160, 192, 160)) == slabs.SLAB_VOXELS // (192 * 160)
    assert slab_rows((10, 2000, 2000), scale=4) == 2
