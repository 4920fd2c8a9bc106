import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy import ndimage

from common.metrics import surface_distances
from common.metrics.distance import surface_points


def ball(centre: tuple[float, float, float], radius: float, shape: tuple[int, int, int] = (24, 22, 20)) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
    return (((grid - np.array(centre).reshape(3, 1, 1, 1)) ** 2).sum(0) <= radius**2).astype(np.uint8)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.7, 1.3)])
def test_equal_to_monai(spacing: tuple[float, float, float]) -> None:
    fixed, moved = ball((11, 10, 9), 6), ball((12, 11, 9), 5)
    ours = surface_distances(fixed, moved, [1], spacing)[1]
    pair = [torch.from_numpy(mask)[None, None] for mask in (moved, fixed)]
    theirs = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=spacing)
    assert ours["hd95"] == pytest.approx(float(theirs), abs=1e-5)
    # MONAI averages the two directed means, ours weighs every surface voxel alike.
    one, other = (
        float(compute_average_surface_distance(*p, include_background=True, spacing=spacing))
        for p in (pair, pair[::-1])
    )
    assert min(one, other) - 1e-5 <= ours["assd"] <= max(one, other) + 1e-5


def test_pooled_definition_against_distance_transforms() -> None:
    fixed, moved = ball((11, 10, 9), 6), ball((13, 10, 9), 4)
    edges = [mask.astype(bool) ^ ndimage.binary_erosion(mask) for mask in (fixed, moved)]
    maps = [ndimage.distance_transform_edt(~edge) for edge in edges]
    pooled = np.concatenate([maps[1][edges[0]], maps[0][edges[1]]])
    ours = surface_distances(fixed, moved, [1], (1, 1, 1))[1]
    assert ours["hd95_pooled"] == pytest.approx(np.percentile(pooled, 95))
    assert ours["assd"] == pytest.approx(pooled.mean())


def test_a_shifted_slab_is_off_by_the_shift_times_the_spacing() -> None:
    fixed, moved = np.zeros((20, 6, 6), np.uint8), np.zeros((20, 6, 6), np.uint8)
    fixed[5:7], moved[8:10] = 4, 4
    assert surface_distances(fixed, moved, [4], (2.5, 1, 1))[4] == {"hd95": 7.5, "hd95_pooled": 7.5, "assd": 6.25}


def test_structures_share_one_pass() -> None:
    labels = ball((11, 10, 9), 6)
    labels[ball((11, 10, 9), 3) > 0] = 2
    points = surface_points(labels)
    for name in (1, 2):
        mask = labels == name
        assert {tuple(p) for p in points[name]} == {tuple(p) for p in np.argwhere(mask ^ ndimage.binary_erosion(mask))}


def test_faces_of_the_volume_are_surface_and_absent_structures_have_no_distance() -> None:
    full = np.ones((3, 3, 3), np.uint8)
    assert len(surface_points(full)[1]) == 26
    assert surface_points(np.zeros((3, 3, 3), np.uint8)) == {}
    result = surface_distances(full, np.zeros_like(full), [1], (1, 1, 1))[1]
    assert all(math.isnan(v) for v in result.values())
