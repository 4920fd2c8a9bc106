"""Reading a result back: everything in RAS order, on one grid, in one window."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch

from common.errors import InputError
from common.geometry import Grid, ddf_to_lps, resample
from common.images import read_field, read_volume, save_field
from common.report import read_result
from tests.common.report.conftest import FURTHER


@pytest.fixture
def folder(result_folder, tmp_path):
    return shutil.copytree(result_folder, tmp_path / "out")


def test_everything_is_there_in_one_order(result_folder):
    result = read_result(result_folder)
    assert list(result.images) == ["fixed", "before", "aligned", "moved"]
    assert list(result.labels) == ["fixed", "aligned", "moved"]
    assert result.start == "aligned"
    shapes = {volume.shape for volume in (*result.images.values(), *result.labels.values(), result.jacobian)}
    assert shapes == {(26, 29, 23)} and result.ddf.shape == (3, 26, 29, 23)
    assert all(volume.min() >= 0 and volume.max() <= 1 for volume in result.images.values())
    np.testing.assert_allclose(result.spacing, 2)


def test_the_field_moves_the_moving_image_onto_the_moved_one(result_folder):
    """The field as read, in voxels of the RAS grid, samples the moving image to what was written."""
    result, metrics = read_result(result_folder), json.loads((result_folder / "metrics.json").read_text())
    moving, moved = read_volume(metrics["moving"], "moving"), read_volume(result_folder / "moved.nii.gz", "moved")
    ras = moved.in_ras()
    voxels = torch.from_numpy(np.ascontiguousarray(moving.voxels, np.float32))[None]
    again = resample(voxels, moving.affine, ras.grid, fill=0.0, ddf=torch.from_numpy(result.ddf))[0].numpy()
    np.testing.assert_allclose(again, ras.voxels, atol=0.05)


def test_the_alignment_shows_what_it_did(result_folder):
    """2 mm to the right in the moving world: a voxel of the fixed grid."""
    images = read_result(result_folder).images
    np.testing.assert_allclose(images["aligned"][4:-4], images["before"][5:-3], atol=1e-4)


def test_box_and_centre_hold_the_phantom(result_folder):
    result = read_result(result_folder)
    seen = np.argwhere(result.images["fixed"] > 0.1)
    for axis, part in enumerate(result.box):
        assert part.start <= seen[:, axis].min() and seen[:, axis].max() < part.stop
        assert part.start < result.centre[axis] < part.stop


def test_a_field_on_a_coarser_grid_is_brought_to_the_images(folder):
    _, grid = read_field(folder / "warp.nii.gz")
    coarse = Grid((13, 15, 12), grid.affine @ np.diag([2, 2, 2, 1]))
    there = torch.zeros(3, *coarse.shape)
    there[0] = 1.5
    save_field(there, coarse.affine, folder / "warp.nii.gz")
    lps = ddf_to_lps(there[:, :1, :1, :1], coarse.affine)[:, 0, 0, 0]
    expected = np.diag([-1, -1, 1]) @ lps.numpy()  # RAS millimetres
    np.testing.assert_allclose(read_result(folder).millimetres()[:, 13, 14, 11], expected, atol=1e-4)


def test_without_a_jacobian_file_it_is_computed(folder):
    written = read_result(folder).jacobian
    (folder / "jacobian.nii.gz").unlink()
    np.testing.assert_allclose(read_result(folder).jacobian[1:-1, 1:-1, 1:-1], written[1:-1, 1:-1, 1:-1], atol=1e-3)


def test_labels_that_were_put_away_are_left_out(folder, tmp_path):
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["moving_label"] = str(tmp_path / "gone.nii.gz")
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert list(read_result(folder).labels) == ["fixed", "moved"]


def test_constant_images_and_no_numbers_do_not_end_it(folder, tmp_path):
    image = nib.load(folder / "moved.nii.gz")
    voxels = np.zeros(image.shape, np.float32)
    nib.save(nib.Nifti1Image(voxels, image.affine), tmp_path / "flat.nii.gz")
    voxels[3, 3, 3] = np.nan
    nib.save(nib.Nifti1Image(voxels, image.affine), folder / "moved.nii.gz")
    result = read_result(folder, fixed=tmp_path / "flat.nii.gz")
    assert result.box == tuple(slice(0, n) for n in result.jacobian.shape)
    assert result.centre == tuple(n // 2 for n in result.jacobian.shape)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"fixed": None}, r"expected metrics.json to name the fixed image, got none: give --fixed"),
        ({"fixed": "/gone.nii.gz"}, r"fixed image /gone.nii.gz: expected"),
        ({"fixed_label": "moving"}, r"fixed_label .*: expected the shape of the fixed image, \(26, 29, 23\)"),
    ],
)
def test_what_does_not_belong_together_is_named(folder, change, text):
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics |= {key: metrics[value] if value == "moving" else value for key, value in change.items()}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(InputError, match=text):
        read_result(folder)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_damaged_metrics_are_named(folder, content):
    (folder / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=r"metrics\.json: expected"):
        read_result(folder)


def test_the_fixture_is_as_a_run_writes_it(result_folder):
    metrics = json.loads((result_folder / "metrics.json").read_text())
    assert {"fixed", "moving", "fixed_label", "moving_label", "similarity", "dice", "command", *FURTHER} <= set(metrics)
