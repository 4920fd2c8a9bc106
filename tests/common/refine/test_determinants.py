"""The ten determinants seen from the cells, held to those seen from the voxels."""

import pytest
import torch

from common.refine.determinants import cell_determinants, smallest_determinant
from common.spatial import finite_difference_determinants
from tests.conftest import smooth_ddf


def test_identity_has_ones():
    torch.testing.assert_close(cell_determinants(torch.zeros(3, 4, 5, 3)), torch.ones(3, 4, 2))


@pytest.mark.parametrize("amplitude", [1.0, 6.0])
def test_smallest_is_that_of_the_voxels_determinants(amplitude):
    """Cells all round a voxel hold its eight corner tetrahedra; a margin of still voxels makes the faces agree."""
    field = smooth_ddf((13, 12, 11), amplitude).double()
    field = torch.nn.functional.pad(field, [2] * 6)
    expected = float(finite_difference_determinants(field).min())
    assert smallest_determinant(field, planes=4) == pytest.approx(expected)
    assert smallest_determinant(field.float()) == pytest.approx(expected, abs=1e-5), "the kernel"


def test_a_cell_whose_inner_tetrahedron_alone_is_turned_round():
    """All eight corners are right, and yet the cell folds: one of the two last determinants sees it."""
    field = torch.zeros(3, 2, 2, 2)
    for i, j, k in ((0, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1)):
        field[:, i, j, k] = torch.tensor([0.5 - i, 0.5 - j, 0.5 - k]) * 0.9
    corners = finite_difference_determinants(torch.nn.functional.pad(field[None].double(), [2] * 6))
    assert float(cell_determinants(field).min()) == pytest.approx(float(corners[0, :, 1:3, 1:3, 1:3].min()), abs=2)
    assert float(cell_determinants(field).min()) < 1
