"""A start that folds is made one to one before anything else."""

import torch

from common.refine.determinants import cell_determinants
from common.refine.start import one_to_one, prepared_start
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
