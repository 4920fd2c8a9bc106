"""The picture of a registration: what is drawn where, and what is refused."""

import sys

import nibabel as nib
import numpy as np
import pytest

from common.errors import InputError
from common.images import save_field
from common.report import draw_registration, read_result

pytest.importorskip("matplotlib")


@pytest.fixture
def registration(tmp_path):
    """A fixed image with one bright corner, in an order that is not RAS, and a field of one voxel along its axis 0."""
    import torch

    volume = np.full((12, 10, 8), 0.2, np.float32)
    volume[8:, 5:, 4:] = 1
    affine = np.array([[0, 0, 2.0, 0], [-1.5, 0, 0, 3], [0, 1.0, 0, -4], [0, 0, 0, 1]])
    result = tmp_path / "result"
    result.mkdir()
    for path in (tmp_path / "fixed.nii.gz", tmp_path / "moving.nii.gz", result / "moved.nii.gz"):
        nib.save(nib.Nifti1Image(volume, affine), path)
    nib.save(nib.Nifti1Image(np.ones_like(volume), affine), result / "jacobian.nii.gz")
    ddf = torch.zeros(3, 12, 10, 8)
    ddf[0] = 1.0
    save_field(ddf, affine, result / "warp.nii.gz")
    return tmp_path


def test_the_picture_is_written(registration):
    path = draw_registration(
        registration / "fixed.nii.gz", registration / "moving.nii.gz", registration / "result", registration / "out.png"
    )
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert path.stat().st_size > 5000


def test_volumes_and_field_are_turned_to_ras_together(registration):
    result = read_result(registration / "result", registration / "fixed.nii.gz", registration / "moving.nii.gz")
    assert result.images["fixed"].shape == (8, 12, 10)
    # axis 0 of the file runs to the posterior in steps of 1.5 mm: in RAS order that is axis 1, backwards
    np.testing.assert_allclose(result.ddf[1], -1, atol=1e-6)
    np.testing.assert_allclose(result.ddf[[0, 2]], 0, atol=1e-6)
    assert result.images["fixed"][-1, 0, -1] == 1


def test_a_folder_without_a_result_is_named(registration):
    with pytest.raises(InputError, match=r"expected the result of a registration, got no moved\.nii\.gz"):
        draw_registration(registration / "fixed.nii.gz", registration / "moving.nii.gz", registration, "out.png")


def test_another_grid_is_refused(registration):
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3), np.float32), np.eye(4)), registration / "other.nii.gz")
    with pytest.raises(InputError, match=r"expected the grid of .*other.nii.gz, \(3, 3, 3\), got \(12, 10, 8\)"):
        draw_registration(
            registration / "other.nii.gz", registration / "moving.nii.gz", registration / "result", "o.png"
        )


def test_without_matplotlib_the_line_says_how_to_get_it(registration, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match="pictures and reports need matplotlib: pip install matplotlib"):
        draw_registration(
            registration / "fixed.nii.gz", registration / "moving.nii.gz", registration / "result", "o.png"
        )
