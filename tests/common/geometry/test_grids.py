import logging

import numpy as np
import pytest

from common.errors import InputError
from common.geometry import ORIENTATIONS, Grid, network_grid, reorient
from tests.common.registration.phantom import centred_affine

SHAPE = (40, 50, 45)
#: Foreground: a box of world points around the phantom's centre, 30 x 40 x 35 mm.
POINTS = np.array([[x, y, z] for x in (-12, 18) for y in (-25, 15) for z in (-10, 25)], dtype=float)


def inside(grid: Grid, points: np.ndarray, slack: float = 1e-6) -> bool:
    index = (points - grid.affine[:3, 3]) @ np.linalg.inv(grid.affine[:3, :3]).T
    return bool((index >= -slack).all() and (index <= np.array(grid.shape) - 1 + slack).all())


@pytest.mark.parametrize("spacing", [1.0, 1.7, 2.0, 3.5])
@pytest.mark.parametrize("degrees", [(0, 0, 0), (10, -15, 25)])
def test_the_foreground_and_its_margin_are_covered(spacing, degrees):
    fixed = Grid(SHAPE, centred_affine(SHAPE, degrees=degrees))
    grid = network_grid(fixed, POINTS, spacing=spacing, margin=4.0)
    wider = np.concatenate([POINTS + grid.affine[:3, k] / spacing * s for k in range(3) for s in (-4.0, 4.0)])
    assert inside(grid, wider)
    assert all(n % 16 == 0 for n in grid.shape)
    assert np.allclose(grid.spacing, spacing)
    assert np.allclose(grid.affine[:3, :3], np.asarray(fixed.affine[:3, :3]) / 2 * spacing)


@pytest.mark.parametrize("code", ORIENTATIONS)
def test_the_grid_does_not_depend_on_the_orientation(code):
    affine = centred_affine(SHAPE, spacing=(1.0, 1.5, 2.0), degrees=(5, 8, -12))
    expected = network_grid(Grid(SHAPE, affine), POINTS)
    turned, turned_affine = reorient(np.empty(SHAPE, dtype=np.uint8), affine, code)
    grid = network_grid(Grid(turned.shape, turned_affine), POINTS)
    assert grid.shape == expected.shape
    assert np.allclose(grid.affine, expected.affine)


def test_equal_spacing_keeps_the_voxels_of_the_fixed_image():
    fixed = Grid(SHAPE, centred_affine(SHAPE, degrees=(10, 0, 20), shift=(0.37, 0.11, -0.4)))
    grid = network_grid(fixed, POINTS, spacing=2.0)
    step = np.linalg.solve(fixed.affine, grid.affine)
    assert np.allclose(step, np.round(step), atol=1e-9)


def test_moving_foreground_counts_inside_the_fixed_view_only():
    fixed = Grid(SHAPE, centred_affine(SHAPE))
    far = POINTS + np.array([25, 0, 0])
    alone = network_grid(fixed, POINTS, spacing=1.0, multiple=1, margin=0)
    grid = network_grid(fixed, POINTS, far, spacing=1.0, multiple=1, margin=0)
    assert grid.shape[0] > alone.shape[0]
    assert grid.shape[1:] == alone.shape[1:]
    last = (grid.affine @ [*np.array(grid.shape) - 1, 1])[0]
    view = (fixed.affine @ [*np.array(SHAPE) - 1, 1])[0]
    assert last <= view + 1


def test_cube_and_fixed_shape():
    fixed = Grid(SHAPE, centred_affine(SHAPE))
    cube = network_grid(fixed, POINTS, spacing=1.0, margin=3.0, cube=True)
    assert cube.shape == (48, 48, 48)
    assert inside(cube, POINTS)
    given = network_grid(fixed, POINTS, spacing=1.0, shape=(64, 48, 80))
    assert given.shape == (64, 48, 80)
    centre = (given.affine @ [*(np.array(given.shape) - 1) / 2, 1])[:3]
    assert np.abs(centre - POINTS.mean(axis=0)).max() <= 2.0


def test_no_axis_is_smaller_than_asked_for():
    grid = network_grid(Grid(SHAPE, centred_affine(SHAPE)), POINTS, spacing=8.0, smallest=20)
    assert grid.shape == (32, 32, 32)
    assert inside(grid, POINTS)
    assert np.allclose((grid.affine @ [15.5, 15.5, 15.5, 1])[:3], POINTS.mean(axis=0), atol=8)


def test_too_small_a_shape_makes_the_spacing_larger_and_cuts_nothing(caplog):
    fixed = Grid(SHAPE, centred_affine(SHAPE))
    with caplog.at_level(logging.WARNING):
        grid = network_grid(fixed, POINTS, spacing=1.0, shape=(32, 32, 32))
    assert inside(grid, POINTS)
    assert 40 / 31 <= grid.spacing[0] < 43 / 31
    assert "does not fit 32x32x32 voxels of 1 mm" in caplog.text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"spacing": 0.0}, "a spacing above 0 mm, got 0.0"),
        ({"multiple": 0}, "multiple >= 1"),
        ({"margin": -1.0}, "margin >= 0 mm"),
        ({"shape": (32, 30, 32)}, r"three multiples of 16, got \[32, 30, 32\]"),
    ],
)
def test_bad_options(options, text):
    with pytest.raises(InputError, match=text):
        network_grid(Grid(SHAPE, np.eye(4)), POINTS, **options)
