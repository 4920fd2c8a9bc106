"""Labels as people have them end up as whole numbers on their image's grid, with a word."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.registration.labels import fitted_label

AFFINE = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, -6], [0, 0, 3.0, 7], [0, 0, 0, 1]])


def volume(values: np.ndarray, affine: np.ndarray = AFFINE) -> MetaTensor:
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None]
    return MetaTensor(tensor, affine=torch.from_numpy(affine.copy()), meta={"filename_or_obj": "file.nii"})


def labels() -> np.ndarray:
    values = np.zeros((8, 9, 10))
    values[2:5, 3:6, 4:8] = np.arange(36).reshape(3, 3, 4) % 5
    return values


IMAGE = volume(np.zeros((8, 9, 10)))


def test_labels_on_the_grid_are_left_alone(caplog):
    out = fitted_label(volume(labels()), IMAGE, "label")
    assert np.array_equal(out[0].numpy(), labels()) and not caplog.text


def test_a_cropped_segmentation_is_put_back(caplog):
    shifted = AFFINE.copy()
    shifted[:3, 3] += AFFINE[:3, :3] @ [2, 3, 4]
    out = fitted_label(volume(labels()[2:5, 3:6, 4:8], shifted), IMAGE, "label")
    assert np.array_equal(out[0].numpy(), labels())
    assert "label: its grid is not that of its image; it was resampled by its own header" in caplog.text


def test_another_orientation_is_the_same_place():
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = 7
    out = fitted_label(volume(labels()[::-1], AFFINE @ flip), IMAGE, "label")
    assert np.array_equal(out[0].numpy(), labels())


def test_an_origin_that_is_nearly_right_is_right(caplog):
    near = AFFINE.copy()
    near[1, 3] += 0.02
    out = fitted_label(volume(labels(), near), IMAGE, "label")
    assert np.array_equal(out[0].numpy(), labels()) and np.allclose(out.affine, AFFINE)
    assert "label: its header is off by 0.013 voxels; it is taken to lie on its image" in caplog.text


def test_nearly_whole_numbers_are_rounded(caplog):
    out = fitted_label(volume(labels() + 1e-4), IMAGE, "label")
    assert np.array_equal(out[0].numpy(), labels())
    assert "label: values up to 0.0001 away from whole numbers were rounded" in caplog.text


@pytest.mark.parametrize(
    ("values", "affine", "text"),
    [
        (labels() + 0.2, AFFINE, "expected whole numbers, got fractions"),
        (labels() * np.nan, AFFINE, "expected whole numbers, got values that are not finite"),
        (labels() + 2**24, AFFINE, r"expected labels below 2\^24 .held as float32., got 16777220"),
        (labels(), AFFINE + np.outer([1, 1, 1, 0], [0, 0, 0, 500]), "inside of file.nii, got none that lie there"),
    ],
)
def test_what_are_no_labels(values, affine, text):
    with pytest.raises(InputError, match=f"^label: .*{text}"):
        fitted_label(volume(values, np.asarray(affine)), IMAGE, "label")
