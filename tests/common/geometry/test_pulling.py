"""One interpolation through a chain, held to SimpleITK's, and what label interpolation promises."""

import numpy as np
import pytest
import torch

from common.errors import InputError
from common.geometry import Grid
from common.geometry.pulling import coverage, pull, share_inside
from common.geometry.transforms import Affine, DisplacementField, compose, to_field
from tests.common.geometry.test_transforms import GRID, affine, field
from tests.common.registration.phantom import centred_affine, world_points

OTHER = Grid((21, 19, 23), centred_affine((21, 19, 23), spacing=(1.7, 2.1, 1.6), degrees=(-6, 12, 4)))


def random_volume(kind: type = np.float32) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 200, OTHER.shape).astype(kind)


def chain():
    return compose(field(0, "fixed", "aligned"), Affine(affine(1) * 0.3 + 0.7 * np.eye(4), "aligned", "moving"))


def no_field(grid: Grid) -> DisplacementField:
    return DisplacementField(grid, torch.zeros(3, *grid.shape))


@pytest.mark.parametrize(("ours", "theirs"), [("linear", "sitkLinear"), ("nearest", "sitkNearestNeighbor"),
                                              ("cubic", "sitkBSpline3")])  # fmt: skip
def test_the_same_voxels_as_simple_itk(ours: str, theirs: str):
    itk = pytest.importorskip("SimpleITK")
    from common.registration.simple_itk import to_image
    from common.registration.transform_files import _to_itk

    volume, transform = random_volume(), chain()
    expected = itk.Resample(
        to_image(volume, OTHER), to_image(np.zeros(GRID.shape, np.float32), GRID),
        _to_itk(transform.parts, "chain"), getattr(itk, theirs), -7.0,
    )  # fmt: skip
    expected = itk.GetArrayFromImage(expected).T
    got = pull(volume, OTHER.affine, to_field(transform, GRID), ours, fill=-7.0)
    apart = np.abs(got - expected)
    # Voxels within rounding of the volume's rim, or of the middle between two, may fall on either side.
    assert (apart > 0.05).mean() < 1e-3 and np.median(apart) < 1e-3
    assert (expected != -7.0).mean() > 0.3


@pytest.mark.parametrize("interpolation", ["nearest", "label", "linear", "cubic"])
def test_without_displacement_nothing_changes(interpolation: str):
    volume = random_volume(np.int16)
    got = pull(volume, OTHER.affine, no_field(OTHER), interpolation)
    assert got.dtype == (np.int16 if interpolation in ("nearest", "label") else np.float32)
    assert np.allclose(got, volume, atol=1e-2)


@pytest.mark.parametrize("interpolation", ["nearest", "label"])
def test_large_labels_stay_exact(interpolation: str):
    volume = random_volume(np.uint32) + np.uint32(2**31 + 1)
    got = pull(volume, OTHER.affine, to_field(chain(), GRID), interpolation)
    assert set(np.unique(got)) <= {0, *np.unique(volume)} and got.dtype == np.uint32


def test_a_label_is_the_argmax_of_the_linear_one_hot_maps():
    volume = np.random.default_rng(0).integers(0, 4, OTHER.shape).astype(np.uint8)
    place = to_field(chain(), GRID)
    shares = np.stack([pull((volume == k).astype(np.float32), OTHER.affine, place) for k in range(4)])
    got = pull(volume, OTHER.affine, place, "label")
    largest = np.take_along_axis(shares, got[None].astype(int), axis=0)[0]
    inside = shares.sum(axis=0) > 0.5
    assert np.allclose(largest[inside], shares.max(axis=0)[inside], atol=1e-4)


def test_in_a_tie_the_smaller_label_wins():
    volume = np.full((2, 2, 2), 5, dtype=np.uint8)
    volume[1] = 2
    between = np.eye(4)
    between[0, 3] = 0.5
    assert pull(volume, np.eye(4), no_field(Grid((2, 2, 2), between)), "label")[0, 0, 0] == 2


def test_what_is_no_interpolation():
    with pytest.raises(InputError, match="interpolation: expected one of linear, nearest, label, cubic, got 'spline'"):
        pull(random_volume(), OTHER.affine, no_field(OTHER), "spline")


def test_coverage_tells_of_fields_elsewhere():
    far = Grid(GRID.shape, GRID.affine + np.array([[0, 0, 0, 500.0], *[[0, 0, 0, 0]] * 3]))
    half = Grid(GRID.shape, GRID.affine.copy())
    half.affine[:3, 3] += GRID.affine[:3, 0] * GRID.shape[0] / 2
    assert coverage(field(), GRID) == [1.0]
    assert coverage(field(), far) == [0.0]
    assert coverage(field(), half)[0] == pytest.approx(0.5, abs=0.05)
    assert coverage(Affine(affine()), GRID) == []
    assert share_inside(GRID, world_points(GRID.shape, GRID.affine).reshape(-1, 3)) == 1.0
