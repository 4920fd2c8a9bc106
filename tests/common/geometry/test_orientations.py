import numpy as np
import pytest

from common.geometry import ORIENTATIONS, orientation_of, ras_directions, reorient, transform_points


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48
    assert ORIENTATIONS[0] == "RAS"


@pytest.mark.parametrize("code", ORIENTATIONS)
def test_reorient_moves_no_voxel_in_the_world(code):
    volume = np.arange(24.0).reshape(2, 3, 4)
    affine = np.array([[1.0, 0.1, 0, 5], [-0.1, 2.0, 0.05, 6], [0, -0.05, 3.0, 7], [0, 0, 0, 1]])
    turned, turned_affine = reorient(volume, affine, code)
    assert orientation_of(turned_affine) == code
    place = {v: tuple(transform_points(affine, [i])[0].round(9)) for i, v in np.ndenumerate(volume)}
    turned_place = {v: tuple(transform_points(turned_affine, [i])[0].round(9)) for i, v in np.ndenumerate(turned)}
    assert place == turned_place
    back, back_affine = reorient(turned, turned_affine, "RAS")
    assert np.array_equal(back, volume)
    assert np.allclose(back_affine, affine)


@pytest.mark.parametrize("code", ORIENTATIONS)
def test_ras_directions_do_not_depend_on_the_order_of_the_axes(code):
    angle = np.radians(20)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    expected = affine[:3, :3]
    scaled = affine @ np.diag([1.0, 2.0, 3.0, 1.0])
    _, turned = reorient(np.zeros((4, 5, 6)), scaled, code)
    assert np.allclose(ras_directions(turned), expected)


def test_sheared_axes_become_orthogonal():
    affine = np.eye(4)
    affine[0, 1] = 0.2
    axes = ras_directions(affine)
    assert np.allclose(axes.T @ axes, np.eye(3))
    assert np.linalg.det(axes) > 0
