"""A start that folds is made one to one before anything else."""

import torch

from common.refine.descent import hold_back
from common.refine.determinants import cell_determinants, cells_below
from common.refine.smoothing import short_gaussian, smooth
from common.refine.start import _smoothed_near, one_to_one, prepared_start
from tests.conftest import smooth_ddf


def test_a_good_field_is_returned_as_it_is():
    field = smooth_ddf((12, 12, 12), 0.5)
    assert one_to_one(field) is field


def test_a_fold_is_smoothed_away_where_it_is():
    field = torch.zeros(1, 3, 40, 24, 24)
    field[:, 0, 10, 10, 10] = 2.5
    mended = one_to_one(field, 0.1)
    assert float(cell_determinants(field[0]).min()) < 0 < 0.1 <= float(cell_determinants(mended[0]).min())
    assert torch.equal(mended[:, :, 25:], field[:, :, 25:])


def test_a_field_beyond_help_is_drawn_back():
    field = 20 * torch.randn(1, 3, 10, 10, 10, generator=torch.Generator().manual_seed(0))
    assert float(cell_determinants(prepared_start(field)[0]).min()) >= 0.05


def test_blocks_smooth_as_the_whole_field_would():
    """Troubled cells on both sides of a block's edge and at the grid's."""
    field = torch.zeros(1, 3, 36, 20, 20)
    field[:, 0, 15, 10, 10], field[:, 1, 17, 1, 18] = 2.5, -2.0
    cells, keep = cells_below(field, 0.1), torch.ones(36, 20, 20)
    hold_back(keep, cells, 1.0)
    expected = torch.lerp(smooth(field, short_gaussian(1.0)), field, keep)
    torch.testing.assert_close(_smoothed_near(field, cells, 1.0), expected)
    assert torch.equal(cells, cells_below(field.double(), 0.1)), "the kernel finds the same cells"
