import numpy as np
import pytest

from common.errors import InputError
from common.geometry import check_affine, index_map, is_left_handed, shear_of, spacing_of, swap_ras_lps
from common.geometry.affines import transform_points


def oblique() -> np.ndarray:
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array([1.5, 2.0, 0.7])
    affine[:3, 3] = (10, -20, 30)
    return affine


def test_lps_is_its_own_inverse_and_keeps_the_spacing():
    assert np.array_equal(swap_ras_lps(swap_ras_lps(oblique())), oblique())
    assert np.allclose(spacing_of(swap_ras_lps(oblique())), [1.5, 2.0, 0.7])
    assert is_left_handed(swap_ras_lps(oblique())) == is_left_handed(oblique())


def test_index_map_goes_through_the_world():
    world = np.diag([1.1, 0.9, 1.0, 1.0])
    points = np.random.default_rng(2).uniform(0, 20, (5, 3))
    target = np.diag([2.0, 3.0, 4.0, 1.0])
    there = transform_points(index_map(oblique(), target, world), points)
    assert np.allclose(transform_points(target, there), transform_points(world @ oblique(), points))


def test_shear_is_found():
    sheared = oblique()
    assert shear_of(sheared) < 1e-12
    sheared[:3, 0] += 0.1 * sheared[:3, 1]
    assert shear_of(sheared) > 0.05


@pytest.mark.parametrize(
    ("affine", "text"),
    [
        (np.full((4, 4), np.nan), "a.nii: expected a finite 4x4 affine"),
        (
            np.diag([1.0, 0.0, 1.0, 1.0]),
            r"a.nii: expected a voxel spacing above zero along every axis, got \(1, 0, 1\)",
        ),
        ([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "a.nii: expected an affine whose three axes span"),
        (np.eye(3), "expected a finite 4x4 affine"),
    ],
)
def test_bad_affines_are_told(affine, text):
    with pytest.raises(InputError, match=text):
        check_affine(affine, "a.nii")


def test_good_affine_comes_back():
    assert np.array_equal(check_affine(oblique(), "a.nii"), oblique())
