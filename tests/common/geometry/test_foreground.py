import numpy as np
import pytest

from common.geometry import background_value, corner_points, extreme_points, foreground_mask


def framed(background: float, level: float = 50.0) -> np.ndarray:
    volume = np.full((12, 13, 14), background)
    volume[4:8, 3:9, 5:10] = level
    return volume


@pytest.mark.parametrize("background", [0.0, -1024.0, -3.0])
def test_a_frame_is_background(background):
    volume = framed(background)
    assert background_value(volume) == background
    assert np.array_equal(foreground_mask(volume), volume == 50.0)


def test_ringing_below_the_background_counts_as_foreground_and_does_not_hide_it():
    volume = framed(0.0)
    volume[3, 5, 6] = -4.0
    mask = foreground_mask(volume)
    assert background_value(volume) == 0.0
    assert mask[3, 5, 6]
    assert mask.sum() == (volume != 0).sum()


@pytest.mark.parametrize("volume", [np.random.default_rng(0).uniform(0, 1, (9, 9, 9)), framed(50.0, level=0.0)])
def test_without_background_everything_is_foreground(volume):
    assert background_value(volume) is None
    assert foreground_mask(volume).all()


def test_extreme_points_reach_as_far_as_all_points_in_every_direction():
    random = np.random.default_rng(3)
    mask = random.uniform(size=(9, 8, 7)) > 0.9
    affine = np.eye(4)
    affine[:3] = random.standard_normal((3, 4))
    every = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    points = extreme_points(mask, affine)
    for direction in random.standard_normal((20, 3)):
        assert np.isclose((points @ direction).max(), (every @ direction).max())


def test_extreme_points_of_nothing():
    assert extreme_points(np.zeros((3, 3, 3), dtype=bool), np.eye(4)).shape == (0, 3)


def test_corner_points_are_the_faces():
    points = corner_points((2, 3, 4), np.diag([2.0, 1.0, 1.0, 1.0]))
    assert points.min(axis=0).tolist() == [-1.0, -0.5, -0.5]
    assert points.max(axis=0).tolist() == [3.0, 2.5, 3.5]
