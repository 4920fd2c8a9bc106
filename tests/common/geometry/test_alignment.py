import numpy as np
import pytest

from common.geometry import Grid
from common.geometry.alignment import closest_rotation, distinct, implausible, mean_distance, pose_of, share_within

TURN = np.array([[0.8, -0.6, 0, 3], [0.6, 0.8, 0, 4], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def scaled(*scales: float) -> np.ndarray:
    return TURN @ np.diag([*scales, 1.0])


def test_an_affine_taken_apart():
    pose = pose_of(scaled(1.2, 1.1, 0.9), (0, 0, 0))
    assert pose.rotation_degrees == pytest.approx(np.degrees(np.arctan2(0.6, 0.8)))
    assert pose.scales == pytest.approx((1.2, 1.1, 0.9))
    assert pose.shift_mm == pytest.approx(5)
    assert pose_of(TURN, (-5.0, 10.0, 0.0)).shift_mm == pytest.approx(
        np.hypot(-4 + 5 - 6 + 3, -3 - 10 + 8 + 4 + 0), abs=20
    )


@pytest.mark.parametrize("scales", [(1, 1, 1), (1.3, 0.7, 1), (-1, 1, 1)])
def test_the_closest_rotation_is_one(scales: tuple[float, ...]):
    turn = closest_rotation(scaled(*scales))
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.linalg.det(turn) == pytest.approx(1)


@pytest.mark.parametrize(
    ("matrix", "overlap", "reason"),
    [
        (scaled(1, 1, 1), 1.0, None),
        (scaled(1.25, 1.25, 1.25), 1.0, None),
        (scaled(0.8, 0.8, 0.8), 0.6, None),
        (scaled(-1, 1, 1), 1.0, "it mirrors the image"),
        (np.diag([-1.0, -1.0, 1.0, 1.0]), 1.0, "it turns by 180 degrees, expected at most 75"),
        (scaled(1.6, 1.6, 1.6), 1.0, "it scales by 1.60 to 1.60, expected 0.69 to 1.45"),
        (scaled(0.5, 1, 1), 1.0, "it scales by 0.50 to 1.00, expected 0.69 to 1.45"),
        (scaled(1.3, 0.9, 1), 1.0, "it stretches one axis 1.44 times as much as another, expected at most 1.35"),
        (scaled(1, 1, 1), 0.2, "only 20 % of the smaller image lies within the other one"),
    ],
)
def test_what_cannot_be_right(matrix: np.ndarray, overlap: float, reason: str | None):
    assert implausible(matrix, overlap) == ([] if reason is None else [reason])


def test_share_within_a_region():
    grid = Grid((4, 4, 4), np.diag([2.0, 2.0, 2.0, 1.0]))
    region = np.zeros(grid.shape, dtype=bool)
    region[1:3, 1:3, 1:3] = True
    points = np.array([[2.0, 2, 2], [4, 4, 4], [0, 0, 0], [100, 0, 0]])
    assert share_within(points, np.eye(4), grid, region) == 0.5
    shift = np.eye(4)
    shift[:3, 3] = 2
    assert share_within(points, shift, grid, region) == 0.5
    assert share_within(points[:0], np.eye(4), grid, region) == 0


def test_distinct_poses_come_best_first():
    points = np.random.default_rng(0).normal(0, 50, (100, 3))
    poses = []
    for score, shift in ((0.5, 0.0), (0.9, 3.0), (0.8, 4.0), (0.7, 20.0)):
        matrix = np.eye(4)
        matrix[0, 3] = shift
        poses.append((score, matrix))
    assert mean_distance(poses[0][1], poses[3][1], points) == pytest.approx(20)
    assert distinct(poses, points, keep=3, apart=2.0) == [1, 3, 0]
    assert distinct(poses, points, keep=2, apart=2.0) == [1, 3]
