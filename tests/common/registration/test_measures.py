import numpy as np
import pytest
import torch

from common.geometry import sampling
from common.registration.measures import dice_figures, error_figures, field_figures, jacobian_map, similarity
from common.spatial import jacobian_determinant
from tests.conftest import smooth_ddf

MASK = np.ones((10, 11, 12), dtype=bool)


def test_similarity_knows_itself_and_a_remapped_copy():
    image = torch.rand(10, 11, 12)
    same = similarity(image, image, MASK)
    inverted = similarity(image, 5 - 3 * image, MASK)
    other = similarity(image, torch.rand(10, 11, 12), MASK)
    assert same["ncc"] == pytest.approx(1)
    assert inverted["ncc"] == pytest.approx(-1)
    assert same["mutual_information"] == pytest.approx(np.log(32), abs=0.05)
    assert inverted["mutual_information"] == pytest.approx(same["mutual_information"], rel=0.02)
    assert other["mutual_information"] < 0.6
    assert abs(other["ncc"]) < 0.1


def test_similarity_agrees_with_numpy():
    random = np.random.default_rng(5)
    a = random.uniform(size=MASK.shape)
    b = 0.5 * a + random.uniform(size=MASK.shape)
    mask = random.uniform(size=MASK.shape) > 0.5
    found = similarity(torch.from_numpy(a).float(), torch.from_numpy(b).float(), mask)
    joint = np.histogram2d(a[mask], b[mask], bins=32)[0] / mask.sum()
    expected = sum(
        joint[i, j] * np.log(joint[i, j] / joint[i].sum() / joint[:, j].sum()) for i, j in np.argwhere(joint > 0)
    )
    assert found["ncc"] == pytest.approx(np.corrcoef(a[mask], b[mask])[0, 1], abs=1e-5)
    assert found["mutual_information"] == pytest.approx(expected, rel=5e-3)


def test_similarity_to_a_constant_is_zero():
    assert similarity(torch.rand(10, 11, 12), torch.ones(10, 11, 12), MASK) == {"ncc": 0.0, "mutual_information": 0.0}


@pytest.mark.parametrize("voxels", [1, 30, 100, 1_000_000])
def test_jacobian_by_rows_is_that_of_the_whole(voxels, monkeypatch):
    monkeypatch.setattr(sampling, "VOXELS_AT_ONCE", voxels)
    ddf = smooth_ddf((13, 5, 6), amplitude=3.0)
    assert torch.allclose(jacobian_map(ddf[0]), jacobian_determinant(ddf)[0, 0], atol=1e-6)


def test_field_figures():
    jacobian = torch.ones(10, 11, 12)
    jacobian[0, 0, :6] = -1
    jacobian[1, 0, 0] = 4
    mask = MASK.copy()
    mask[0] = False
    length = torch.full((10, 11, 12), 2.0)
    length[0] = 9
    figures = field_figures(jacobian, length, mask)
    assert figures["folds_percent"] == pytest.approx(100 * 6 / 1320)
    assert figures["folds_foreground_percent"] == 0
    assert (figures["jacobian_minimum"], figures["jacobian_maximum"]) == (-1, 4)
    assert figures["displacement_mm_max"] == 2
    assert figures["sd_log_jacobian_foreground"] == pytest.approx(np.std(np.log(jacobian.numpy()[1:])), rel=1e-5)


def test_error_figures():
    length = torch.arange(1320.0).view(10, 11, 12)
    assert error_figures(length, MASK) == pytest.approx({"mean": 659.5, "median": 659.5, "p95": 1253.05, "max": 1319})


def test_dice_figures():
    a = torch.zeros(4, 4, 4)
    a[0], a[1] = 3, 7
    b = a.clone()
    b[1, :2] = 0
    figures = dice_figures(a, b)
    assert figures["per_label"] == {"3": 1.0, "7": pytest.approx(2 * 8 / 24)}
    assert figures["mean"] == pytest.approx((1 + 2 / 3) / 2)
