"""Which faces of a field of view cut through the anatomy."""

import numpy as np
import pytest

from common.geometry.cover import cut_faces

SHAPE = (60, 70, 64)


def ball(radius: float = 24.0, stem: bool = False) -> np.ndarray:
    """A ball in the middle, perhaps with a stem down to the lowest slice."""
    index = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in SHAPE), indexing="ij"))
    mask = np.linalg.norm(index, axis=0) < radius
    return mask | ((np.hypot(index[0], index[1]) < 5) & (index[2] < 0) & stem)


def test_a_ball_in_air_is_cut_by_no_face():
    assert cut_faces(ball()) == ()


def test_a_box_laid_tightly_around_it_does_not_cut_it():
    mask = ball()
    spans = [np.flatnonzero(mask.any(axis=tuple(k for k in range(3) if k != axis))) for axis in range(3)]
    tight = mask[tuple(slice(span[0], span[-1] + 1) for span in spans)]
    assert all(tight.take(face, axis).any() for axis in range(3) for face in (0, -1))
    assert cut_faces(tight) == ()


@pytest.mark.parametrize("missing", [6, 12, 24, 36])
def test_a_field_of_view_that_ends_in_it_does(missing: int):
    mask = ball()
    top = int(np.flatnonzero(mask.any(axis=(0, 1)))[-1])
    assert cut_faces(mask[..., : top + 1 - missing]) == ((2, True),)
    assert cut_faces(mask[..., ::-1][..., SHAPE[2] - 1 - top + missing :]) == ((2, False),)


def test_so_does_one_that_ends_in_the_stem():
    assert cut_faces(ball(stem=True)) == ((2, False),)
