import numpy as np
import pytest

from common.errors import InputError
from common.metrics import landmark_errors

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 0, 1.5, -4], [0, -1, 0, 7], [0, 0, 0, 1]])


def test_a_perfect_field_has_no_error_and_the_identity_has_the_shift_in_millimetres() -> None:
    fixed = np.array([[2.0, 3, 4], [1.25, 5.5, 2]])
    moving = fixed + np.array([1, -2, 0.5])
    field = np.broadcast_to(np.array([1, -2, 0.5]).reshape(3, 1, 1, 1), (3, 8, 8, 8))
    assert landmark_errors(field, fixed, moving, AFFINE) == pytest.approx([0, 0], abs=1e-12)
    expected = np.linalg.norm([2 * 1, 1.5 * 0.5, 1 * 2])
    assert landmark_errors(np.zeros((3, 8, 8, 8)), fixed, moving, AFFINE) == pytest.approx([expected] * 2)


def test_fields_are_sampled_between_voxels() -> None:
    field = np.zeros((3, 8, 8, 8))
    field[0] = 0.5 * np.arange(8).reshape(8, 1, 1)
    error = landmark_errors(field, np.array([[2.5, 1, 1]]), np.array([[3.75, 1, 1]]), np.eye(4))
    assert error == pytest.approx([0])


def test_two_grids() -> None:
    moving_affine = np.diag([1.0, 1.0, 3.0, 1.0])
    points = np.array([[1.0, 2, 3]])
    assert landmark_errors(np.zeros((3, 5, 5, 5)), points, points, np.eye(4), moving_affine) == pytest.approx([6])


@pytest.mark.parametrize(
    ("fixed", "moving", "text"),
    [
        ([[1, 1, 1]], [[1, 1, 1], [2, 2, 2]], r"two lists of N x 3 points are expected, got \(1, 3\) and \(2, 3\)"),
        ([[1, 1]], [[1, 1]], "N x 3 points"),
        (
            [[1, 1, 9]],
            [[1, 1, 1]],
            r"1 fixed points lie outside of the grid \(5, 5, 5\), the first at \[1.0, 1.0, 9.0\]",
        ),
    ],
)
def test_bad_points(fixed: list, moving: list, text: str) -> None:
    with pytest.raises(InputError, match=text):
        landmark_errors(np.zeros((3, 5, 5, 5)), np.array(fixed), np.array(moving), np.eye(4))
