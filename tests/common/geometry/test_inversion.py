import numpy as np
import pytest
import torch

from common.errors import InputError
from common.geometry import Grid
from common.geometry.affines import transform_points
from common.geometry.inversion import ALIGNED, inverse, invert_points, split, thin_out
from common.geometry.transforms import Affine, DisplacementField, apply_to_points, compose, parts_of, to_field
from tests.common.geometry.test_transforms import GRID, affine, field, voxels_inside

#: 40 degrees, a fifth larger, 60 mm away: no fixed-point iteration converges on it.
LARGE = np.array([[0.92, -0.77, 0, 60], [0.77, 0.92, 0, -10], [0, 0, 1.2, 5], [0, 0, 0, 1.0]])


def inner_points() -> np.ndarray:
    return transform_points(GRID.affine, voxels_inside())


def test_affines_are_inverted_exactly():
    back, residual = inverse(Affine(affine()))
    assert np.allclose(back.matrix, np.linalg.inv(affine()))
    assert residual.max_mm == 0


@pytest.mark.parametrize("number", range(3))
def test_there_and_back(number: int):
    warp, linear = field(0, "fixed", ALIGNED), Affine(LARGE, ALIGNED, "moving")
    one = [field(), compose(warp, linear), to_field(compose(warp, linear), GRID)][number]
    back, residual = inverse(one)
    points = inner_points()
    distance = np.linalg.norm(apply_to_points(back, apply_to_points(one, points)) - points, axis=1)
    assert (back.source, back.target) == ("moving", "fixed")
    assert residual.mean_mm <= residual.max_mm < 0.5
    assert distance.max() <= residual.max_mm + 1e-3
    assert distance.mean() < 0.02


def test_a_fold_shows_in_the_residual():
    ddf = torch.zeros(3, *GRID.shape)
    ddf[0, 8], ddf[0, 12] = 6.0, -6.0  # two planes change places
    assert inverse(DisplacementField(GRID, ddf))[1].max_mm > 5


def test_a_field_is_split_into_a_small_one_and_an_affine():
    warp = field(0, "fixed", ALIGNED)
    whole = to_field(compose(warp, Affine(LARGE, ALIGNED, "moving")), GRID)
    chain = split(whole)
    rest, linear = parts_of(chain)
    assert rest.ddf.abs().max() < 2 < whole.ddf.abs().max()
    assert np.allclose(linear.matrix[:3, :3], LARGE[:3, :3], atol=0.15)
    points = inner_points()
    assert np.abs(apply_to_points(chain, points) - apply_to_points(whole, points)).max() < 1e-3


def test_half_the_resolution_keeps_an_eighth_of_the_vectors():
    one = field()
    thin, error = thin_out(one, 4.0)
    assert thin.grid.shape == (11, 10, 9)
    assert np.allclose(thin.grid.affine[:3, 3], GRID.affine[:3, 3])
    points = inner_points()
    apart = np.linalg.norm(apply_to_points(thin, points) - apply_to_points(one, points), axis=1)
    assert 0 < apart.mean() < 0.3
    assert apart.max() <= error.max_mm + 1e-3


def test_the_thin_field_covers_the_whole_one():
    grid = Grid((9, 10, 11), np.eye(4))
    ones = DisplacementField(grid, torch.ones(3, *grid.shape))
    thin, error = thin_out(ones, 3.0)
    assert thin.grid.shape == (4, 4, 5)
    assert error.max_mm < 1e-6


def test_a_finer_field_is_refused():
    with pytest.raises(InputError, match=r"at least the field's own 1\.5 mm, got 1"):
        thin_out(field(), 1.0)


def test_points_are_followed_back():
    chain = compose(field(0, "fixed", ALIGNED), Affine(affine(1), ALIGNED, "moving"))
    there = apply_to_points(chain, inner_points())
    back, missed = invert_points(chain, there)
    assert np.abs(back - inner_points()).max() < 1e-3 and missed.max() < 1e-3


def test_points_are_followed_back_through_a_field_that_holds_an_alignment():
    whole = to_field(compose(field(0, "fixed", ALIGNED), Affine(LARGE, ALIGNED, "moving")), GRID)
    back, missed = invert_points(whole, apply_to_points(whole, inner_points()))
    assert np.abs(back - inner_points()).max() < 1e-3 and missed.max() < 1e-3


def test_a_point_from_nowhere_is_known_by_what_it_misses():
    _, missed = invert_points(field(), [[500.0, 500.0, 500.0]])
    assert missed[0] > 0.01
