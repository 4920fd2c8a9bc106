import numpy as np
import pytest
import torch

from common.errors import InputError
from common.geometry import Grid, ddf_to_lps
from common.geometry.affines import transform_points
from common.geometry.transforms import (
    Affine,
    Composite,
    DisplacementField,
    apply_to_points,
    compose,
    parts_of,
    ras_lps_points,
    to_field,
)
from tests.common.registration.phantom import centred_affine, world_points
from tests.conftest import smooth_ddf

GRID = Grid((20, 25, 18), centred_affine((20, 25, 18), spacing=(2.0, 1.5, 1.8), degrees=(10, 5, -8)))


def affine(seed: int = 0) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3] += np.random.default_rng(seed).normal(0, 0.1, (3, 4))
    matrix[:3, 3] *= 50
    return matrix


def field(seed: int = 0, source: str = "fixed", target: str = "moving") -> DisplacementField:
    return DisplacementField(GRID, smooth_ddf(GRID.shape, 1.5, seed=seed)[0], source, target)


def voxels_inside(count: int = 50) -> np.ndarray:
    """Indices of voxels at least four voxels inside of the grid."""
    generator = np.random.default_rng(1)
    return np.stack([generator.integers(4, n - 4, count) for n in GRID.shape], axis=1)


def test_affine_in_lps_and_back():
    lps = Affine(affine()).lps
    assert np.allclose(Affine.from_lps(lps).matrix, affine())
    points = np.random.default_rng(0).normal(0, 50, (9, 3))
    there = transform_points(lps, ras_lps_points(points))
    assert np.allclose(ras_lps_points(there), transform_points(affine(), points))


def test_inverted_affine_swaps_the_spaces():
    back = Affine(affine(), "fixed", "moving").inverted()
    assert (back.source, back.target) == ("moving", "fixed")
    assert np.allclose(back.matrix @ affine(), np.eye(4))


@pytest.mark.parametrize(
    ("matrix", "text"),
    [
        (np.eye(3), "finite 4x4"),
        (np.full((4, 4), np.nan), "finite 4x4"),
        (np.ones((4, 4)), "last row 0 0 0 1"),
        (np.diag([1.0, 1.0, 0.0, 1.0]), "an inverse"),
    ],
)
def test_what_is_no_affine(matrix: np.ndarray, text: str):
    with pytest.raises(InputError, match=text):
        Affine(matrix)


def test_what_is_no_field():
    with pytest.raises(InputError, match=r"expected shape \(3, 20, 25, 18\) for its grid, got \(3, 2, 2, 2\)"):
        DisplacementField(GRID, torch.zeros(3, 2, 2, 2))
    with pytest.raises(InputError, match="expected finite vectors"):
        DisplacementField(GRID, torch.full((3, *GRID.shape), float("nan")))


def test_field_in_lps_and_back():
    one = field()
    assert torch.equal(one.lps, ddf_to_lps(one.ddf, GRID.affine))
    assert torch.allclose(DisplacementField.from_lps(GRID, one.lps).ddf, one.ddf, atol=1e-5)


def test_points_of_voxels_move_by_their_vectors():
    one, index = field(), voxels_inside()
    moved = apply_to_points(one, transform_points(GRID.affine, index))
    vectors = one.ddf.numpy()[:, index[:, 0], index[:, 1], index[:, 2]].T
    assert np.allclose(moved, transform_points(GRID.affine, index + vectors), atol=1e-4)


def test_points_outside_of_a_field_stay():
    far = transform_points(GRID.affine, [[-0.6, 5, 5], [19.6, 5, 5], [500, 500, 500]])
    assert np.array_equal(apply_to_points(field(), far), far)


def test_a_chain_maps_the_points_part_by_part():
    second = Affine(affine(1), "aligned", "moving")
    chain = compose(field(0, "fixed", "aligned"), second)
    points = transform_points(GRID.affine, voxels_inside())
    expected = apply_to_points(second, apply_to_points(field(), points))
    assert (chain.source, chain.target) == ("fixed", "moving")
    assert np.allclose(apply_to_points(chain, points), expected)


def test_neighbouring_affines_become_one():
    steps = [Affine(affine(0), "a", "b"), Affine(affine(1), "b", "c"), field(0, "c", "d"), Affine(affine(2), "d", "e")]
    chain = compose(*steps)
    assert [(part.source, part.target) for part in parts_of(chain)] == [("a", "c"), ("c", "d"), ("d", "e")]
    assert np.allclose(parts_of(chain)[0].matrix, affine(1) @ affine(0))
    assert [part.target for part in parts_of(compose(compose(*steps[:2]), compose(*steps[2:])))] == ["c", "d", "e"]


def test_a_chain_that_does_not_fit_is_refused():
    message = "expected the one after fixed -> moving to start in moving, got fixed -> moving"
    with pytest.raises(InputError, match=message):
        compose(field(), Affine(affine()))
    with pytest.raises(InputError, match="expected at least one"):
        Composite(())


@pytest.mark.parametrize("number", range(4))
def test_a_sampled_chain_agrees_at_the_voxels(number: int):
    warp, linear = field(0, "fixed", "aligned"), Affine(affine(1), "aligned", "moving")
    other = Grid((15, 14, 13), centred_affine((15, 14, 13), spacing=(1.0, 1.2, 1.1), degrees=(-5, 0, 20)))
    chain = [warp, compose(warp, linear), compose(Affine(affine(2), "fixed", "fixed"), warp, linear), linear][number]
    dense = to_field(chain, other)
    points = world_points(other.shape, other.affine).reshape(-1, 3)
    assert (dense.source, dense.target) == (chain.source, chain.target)
    assert np.abs(apply_to_points(dense, points) - apply_to_points(chain, points)).max() < 1e-3
