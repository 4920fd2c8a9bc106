import numpy as np
import pytest
import torch

from common.geometry import Grid, carry_ddf, ddf_to_lps, displacement_mm, lps_to_ddf, sampling
from common.geometry.affines import transform_points
from tests.common.registration.phantom import centred_affine, world_points
from tests.conftest import smooth_ddf

NETWORK = Grid((16, 16, 16), centred_affine((16, 16, 16), spacing=(3.0, 3.0, 3.0)))
FIXED = Grid((20, 25, 18), centred_affine((20, 25, 18), spacing=(1.5, 1.2, 1.9), degrees=(10, 5, -8)))


def affine_ddf(matrix: np.ndarray, grid: Grid) -> torch.Tensor:
    """The exact field of a world affine on a grid: linear, so trilinear interpolation makes no error."""
    points = world_points(grid.shape, grid.affine)
    moved = points @ matrix[:3, :3].T + matrix[:3, 3] - points
    return torch.from_numpy(np.moveaxis(moved @ np.linalg.inv(grid.affine[:3, :3]).T, -1, 0)).float()


def slight(seed: int) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3] += np.random.default_rng(seed).normal(0, 0.03, (3, 4))
    return matrix


def covered(grid: Grid) -> np.ndarray:
    index = transform_points(np.linalg.inv(NETWORK.affine), world_points(grid.shape, grid.affine))
    return ((index >= 0) & (index <= 15)).all(axis=-1)


@pytest.mark.parametrize("voxels", [10, 1_000_000])
def test_carry_is_exact_for_linear_fields(voxels, monkeypatch):
    monkeypatch.setattr(sampling, "VOXELS_AT_ONCE", voxels)
    out = carry_ddf(affine_ddf(slight(0), NETWORK), NETWORK.affine, FIXED)
    inside = covered(FIXED)
    assert inside.mean() > 0.5
    assert np.allclose(out.numpy()[:, inside], affine_ddf(slight(0), FIXED).numpy()[:, inside], atol=1e-4)


def test_alignment_comes_after_the_field():
    field, alignment = slight(1), slight(2)
    alignment[:3, 3] = (4, -3, 2)
    out = carry_ddf(affine_ddf(field, NETWORK), NETWORK.affine, FIXED, alignment)
    inside = covered(FIXED)
    assert np.allclose(out.numpy()[:, inside], affine_ddf(alignment @ field, FIXED).numpy()[:, inside], atol=1e-4)


def test_beyond_the_network_grid_the_last_vectors_go_on():
    ddf = torch.full((3, 16, 16, 16), 2.0)
    wide = Grid((40, 40, 40), centred_affine((40, 40, 40), spacing=(3.0, 3.0, 3.0)))
    assert torch.allclose(carry_ddf(ddf, NETWORK.affine, wide), torch.tensor(2.0))


def test_lps_and_back():
    ddf = smooth_ddf((9, 8, 7))[0]
    lps = ddf_to_lps(ddf, FIXED.affine)
    assert torch.allclose(lps_to_ddf(lps, FIXED.affine), ddf, atol=1e-5)
    one = FIXED.affine[:3, :3] @ ddf[:, 3, 4, 5].double().numpy() * [-1, -1, 1]
    assert np.allclose(lps[:, 3, 4, 5], one, atol=1e-5)
    assert torch.allclose(displacement_mm(ddf, FIXED.affine)[3, 4, 5].double(), torch.tensor(np.linalg.norm(one)))
