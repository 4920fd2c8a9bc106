import nibabel as nib
import numpy as np
import pytest
import torch

from common.errors import InputError
from common.registration import LoadPaird, load_image
from tests.common.images.test_volumes import AFFINE, SHAPE, volume


@pytest.mark.parametrize("dtype", ["u1", "i2", "f8", ">i2"])
def test_every_image_becomes_float32_with_one_channel(tmp_path, dtype):
    nib.save(nib.Nifti1Image(volume(dtype), AFFINE, dtype=dtype), tmp_path / "a.nii.gz")
    image = load_image(str(tmp_path / "a.nii.gz"), "fixed")
    assert image.dtype == torch.float32
    assert image.shape == (1, *SHAPE)
    assert image.is_contiguous()
    assert np.array_equal(image[0].numpy(), volume())
    assert np.allclose(image.affine, AFFINE)
    assert image.meta["filename_or_obj"] == str(tmp_path / "a.nii.gz") and image.meta["modality"] == ""


@pytest.mark.parametrize(("least", "value"), [(0, 0), (-50, -50)])
def test_a_background_of_nan_is_background(tmp_path, caplog, least, value):
    values = np.full((9, 9, 9), np.nan, "f4")
    values[3:6, 3:6, 3:6] = np.linspace(least, 100, 27).reshape(3, 3, 3)
    values[0, 0, 0] = np.inf
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    image = load_image(str(tmp_path / "a.nii"), "fixed")[0].numpy()
    assert np.array_equal(image[3:6, 3:6, 3:6], values[3:6, 3:6, 3:6])
    assert (np.delete(image.ravel(), np.flatnonzero(np.isfinite(values))) == value).all()
    assert "a.nii: 702 voxels around it are NaN or infinite; they count as background" in caplog.text


def test_nan_inside_stays_for_the_check(tmp_path, caplog):
    values = np.ones((9, 9, 9), "f4")
    values[4, 4, 4] = np.nan
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    assert np.isnan(load_image(str(tmp_path / "a.nii"), "fixed")).sum() == 1 and not caplog.text


def test_the_pair_keeps_other_entries_and_drops_empty_ones(tmp_path):
    nib.save(nib.Nifti1Image(volume(), AFFINE), tmp_path / "a.nii")
    path = str(tmp_path / "a.nii")
    out = LoadPaird()({"fixed": path, "moving": path, "moving_label": path, "fixed_label": None, "name": "x"})
    assert out["name"] == "x"
    assert out["moving_label"].shape == (1, *SHAPE)
    assert "fixed_label" not in out
    assert out["clock"]["load"] > 0


def test_a_missing_side_is_named(tmp_path):
    nib.save(nib.Nifti1Image(volume(), AFFINE), tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"expected a path under the key 'moving', got only \['fixed'\]"):
        LoadPaird()({"fixed": str(tmp_path / "a.nii"), "moving": ""})
    with pytest.raises(InputError, match=r"fixed_label image .*no.nii: expected an image file, got no such file"):
        LoadPaird()(dict.fromkeys(("fixed", "moving"), str(tmp_path / "a.nii")) | {"fixed_label": tmp_path / "no.nii"})
