"""Jacobian determinants, folds and the non-diffeomorphic volume, on fields whose answer is known."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from common.spatial import (
    finite_difference_determinants,
    fold_share,
    jacobian_determinant,
    non_diffeomorphic_volume,
    sd_log_jacobian,
)
from tests.conftest import smooth_ddf


def linear_field(matrix: torch.Tensor, shape=(6, 7, 5)) -> torch.Tensor:
    axes = [torch.arange(n, dtype=torch.float64) for n in shape]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return (torch.einsum("kj,jxyz->kxyz", matrix.double(), grid) - grid)[None]


MATRICES = {
    "identity": torch.eye(3),
    "stretch": torch.diag(torch.tensor([1.5, 0.5, 2.0])),
    "shear": torch.tensor([[1.0, 0.3, 0.0], [0.0, 1.0, -0.2], [0.1, 0.0, 1.0]]),
    "mirror": torch.diag(torch.tensor([-0.5, 1.0, 1.0])),
}


@pytest.mark.parametrize("name", MATRICES)
def test_linear_maps_have_their_matrix_determinant(name):
    ddf = linear_field(MATRICES[name])
    expected = torch.det(MATRICES[name].double())
    determinant = jacobian_determinant(ddf)
    torch.testing.assert_close(determinant, expected.expand_as(determinant))
    ten = finite_difference_determinants(ddf)
    assert ten.shape == (1, 10, 4, 5, 3)
    torch.testing.assert_close(ten, expected.expand_as(ten))


def test_the_axis_pairing_is_not_mixed_up():
    """u0 = -1.5 x0 folds everywhere; pairing component 0 with axis 2 would report no fold at all."""
    ddf = linear_field(MATRICES["mirror"])
    assert fold_share(jacobian_determinant(ddf)).item() == 1.0


def test_fold_share_counts_within_the_mask():
    determinant = torch.ones(2, 1, 4, 4, 4)
    determinant[0, 0, 0, 0, 0] = -1
    determinant[0, 0, 1, 0, 0] = 0
    torch.testing.assert_close(fold_share(determinant), torch.tensor([2 / 64, 0.0], dtype=torch.float64))
    mask = torch.zeros_like(determinant)
    mask[:, :, 0] = 1
    torch.testing.assert_close(fold_share(determinant, mask), torch.tensor([1 / 16, 0.0], dtype=torch.float64))


def test_sd_log_jacobian():
    determinant = torch.ones(1, 1, 2, 2, 2)
    determinant[:, :, 0] = math.e
    assert sd_log_jacobian(determinant).item() == pytest.approx(0.5)
    assert sd_log_jacobian(torch.full((1, 1, 3, 3, 3), 2.0)).item() == pytest.approx(0.0, abs=1e-9)
    assert torch.isfinite(sd_log_jacobian(-determinant)).all()


def test_a_smooth_field_has_no_non_diffeomorphic_volume():
    assert non_diffeomorphic_volume(smooth_ddf((12, 12, 12), 1.0)).item() == 0.0


def test_a_mirrored_region_counts_its_whole_volume():
    ddf = linear_field(torch.diag(torch.tensor([-1.0, 1.0, 1.0])))
    # every interior voxel owns one cell of volume 1, turned inside out
    assert non_diffeomorphic_volume(ddf).item() == pytest.approx(4 * 5 * 3)
    mask = torch.zeros(1, 1, 6, 7, 5)
    mask[:, :, 2, 3, 2] = 1
    assert non_diffeomorphic_volume(ddf, mask).item() == pytest.approx(1.0)


def test_one_displaced_voxel_is_seen_by_the_tetrahedra_but_not_by_central_differences():
    """Central differences skip the centre voxel, the checkerboard problem that the ten determinants solve."""
    ddf = torch.zeros(1, 3, 7, 7, 7)
    ddf[0, 0, 3, 3, 3] = 1.5  # pushed past its neighbour
    assert jacobian_determinant(ddf)[0, 0, 3, 3, 3].item() == 1.0
    assert (finite_difference_determinants(ddf) <= 0).any()
    assert non_diffeomorphic_volume(ddf).item() > 0


def inverted_volume_of_all_cells(position: np.ndarray) -> float:
    """Brute force: cut every cell into five tetrahedra in both ways, add up the negative volumes, halve."""
    total = 0.0
    for origin in product(*[range(n - 1) for n in position.shape[1:]]):
        corner = {o: position[(slice(None), *np.add(origin, o))] for o in product((0, 1), repeat=3)}
        for parity in (0, 1):
            apexes = [o for o in corner if sum(o) % 2 == parity]
            others = [o for o in corner if sum(o) % 2 != parity]
            cut = [(apex, *[o for o in others if np.abs(np.subtract(o, apex)).sum() == 1]) for apex in apexes]
            for tetrahedron in [*cut, tuple(others)]:
                edges = np.stack([corner[o] - corner[tetrahedron[0]] for o in tetrahedron[1:]])
                plain = np.stack([np.subtract(o, tetrahedron[0]) for o in tetrahedron[1:]])
                total += max(0.0, -np.linalg.det(edges) * np.sign(np.linalg.det(plain)) / 6)
    return total / 2


def test_non_diffeomorphic_volume_equals_the_sum_over_all_cells():
    """The field is zero near the border, where the function has fewer cells than the brute force."""
    ddf = torch.zeros(1, 3, 8, 8, 8, dtype=torch.float64)
    ddf[:, :, 3:5, 3:5, 3:5] = 2 * torch.randn(1, 3, 2, 2, 2, dtype=torch.float64)
    grid = np.stack(np.meshgrid(*[np.arange(8.0)] * 3, indexing="ij"))
    expected = inverted_volume_of_all_cells(ddf[0].numpy() + grid)
    assert expected > 0.5
    assert non_diffeomorphic_volume(ddf).item() == pytest.approx(expected)


def test_three_voxels_an_axis_are_needed():
    with pytest.raises(ValueError, match="at least 3 voxels an axis"):
        finite_difference_determinants(torch.zeros(1, 3, 2, 5, 5))
