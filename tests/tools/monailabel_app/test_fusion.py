"""Several label maps become one: SimpleITK's votes and STAPLE, with ties settled by the best atlas."""

import numpy as np
import pytest

from tools.monailabel_app.fusion import METHODS, fuse


def ball(centre: tuple[float, float, float], radius: float, value: int) -> np.ndarray:
    points = np.stack(np.meshgrid(*[np.arange(24)] * 3, indexing="ij"), axis=-1)
    return np.where(np.linalg.norm(points - np.array(centre), axis=-1) < radius, value, 0).astype(np.int32)


TRUTH = ball((12, 12, 12), 7, 53)
#: Five raters who err by a voxel, each in another direction.
RATERS = [ball((12 + dx, 12 + dy, 12 + dz), 7, 53) for dx, dy, dz in
          [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1)]]  # fmt: skip


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.logical_and(a, b).sum() / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("method", ["voting", "staple"])
def test_fusion_is_better_than_every_rater(method: str):
    fused = fuse(RATERS, method, [1.0] * 5)
    assert set(np.unique(fused)) == {0, 53} and fused.dtype == np.int32
    assert dice(fused, TRUTH) > max(dice(rater, TRUTH) for rater in RATERS) + 0.02


def test_the_best_is_one_of_them():
    assert fuse(RATERS, "best", [1, 2, 5, 3, 4]) is RATERS[2]


@pytest.mark.parametrize("method", METHODS)
def test_one_atlas_is_left_as_it_is(method: str):
    assert fuse([TRUTH], method, [0.3]) is TRUTH


@pytest.mark.parametrize("method", METHODS)
def test_equal_maps_stay_as_they_are(method: str):
    both = TRUTH + ball((4, 4, 4), 3, 2)
    assert np.array_equal(fuse([both, both.copy(), both.copy()], method, [1, 1, 1]), both)


@pytest.mark.parametrize("best", [0, 1])
def test_ties_go_to_the_best_atlas(best: int):
    maps = [ball((12, 12, 12), 7, 17), ball((12, 12, 12), 7, 53)]
    similarities = [1.0, 0.5] if best == 0 else [0.5, 1.0]
    assert np.array_equal(fuse(maps, "voting", similarities), maps[best])


@pytest.mark.parametrize("method", METHODS)
def test_background_alone(method: str):
    empty = np.zeros((4, 5, 6), np.int32)
    assert not fuse([empty, empty], method, [1, 1]).any()
