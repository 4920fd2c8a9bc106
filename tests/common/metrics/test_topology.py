import numpy as np
import pytest

from common.metrics import betti_numbers, euler_number, topology_change

GRID = np.stack(np.meshgrid(*[np.arange(25) - 12.0] * 3, indexing="ij"))
RADIUS = np.sqrt((GRID**2).sum(0))
BALL = RADIUS <= 8
HOLLOW = (RADIUS <= 8) & (RADIUS >= 4)
TORUS = (np.sqrt(GRID[0] ** 2 + GRID[1] ** 2) - 7) ** 2 + GRID[2] ** 2 <= 9
TWO_BALLS = (((GRID - np.array([6, 0, 0]).reshape(3, 1, 1, 1)) ** 2).sum(0) <= 9) | (
    ((GRID + np.array([6, 0, 0]).reshape(3, 1, 1, 1)) ** 2).sum(0) <= 9
)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (BALL, (1, 0, 0)),
        (HOLLOW, (1, 0, 1)),
        (TORUS, (1, 1, 0)),
        (TWO_BALLS, (2, 0, 0)),
        (np.zeros((5, 5, 5)), (0, 0, 0)),
        (np.ones((5, 5, 5)), (1, 0, 0)),
    ],
    ids=["ball", "hollow ball", "torus", "two balls", "empty", "full"],
)
def test_known_shapes(mask: np.ndarray, expected: tuple[int, int, int]) -> None:
    assert betti_numbers(mask) == expected


def test_corner_contact_connects_the_foreground_but_not_the_background() -> None:
    touching = np.zeros((4, 4, 4), bool)
    touching[1, 1, 1] = touching[2, 2, 2] = True
    assert betti_numbers(touching) == (1, 0, 0)
    assert euler_number(touching) == 1
    # A cavity that meets the outside at a corner only is closed for a 6-connected background.
    shell = np.ones((3, 3, 3), bool)
    shell[1, 1, 1] = shell[0, 0, 0] = False
    assert betti_numbers(shell) == (1, 0, 1)


def test_euler_number_is_additive_over_distant_parts() -> None:
    joined = np.concatenate([TORUS, np.zeros_like(TORUS), HOLLOW])
    assert euler_number(joined) == euler_number(TORUS) + euler_number(HOLLOW) == 0 + 2


def test_change_by_structure() -> None:
    before = np.zeros(BALL.shape, np.uint8)
    before[BALL] = 1
    after = np.zeros(BALL.shape, np.uint8)
    after[TORUS] = 1
    assert topology_change(before, before, [1]) == {1: 0}
    assert topology_change(before, after, [1, 2]) == {1: 1}
    # A structure that vanishes loses its component.
    assert topology_change(before, np.zeros_like(after), [1]) == {1: 1}


def test_labels_of_floating_type_are_read_as_integers() -> None:
    before = np.where(TWO_BALLS, 3.0, 0.0)
    assert topology_change(before, np.where(BALL, 3.0, 0.0), [3]) == {3: 1}
