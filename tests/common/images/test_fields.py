import nibabel as nib
import numpy as np
import pytest
import torch

from common.errors import InputError
from common.geometry import lps_to_ddf
from common.images import read_field, save_field
from tests.common.registration.phantom import centred_affine
from tests.conftest import smooth_ddf


def test_field_comes_back(tmp_path):
    ddf, affine = smooth_ddf((9, 8, 7))[0], centred_affine((9, 8, 7), spacing=(1, 2, 3), degrees=(10, 20, 30))
    save_field(ddf, affine, tmp_path / "w.nii.gz")
    field, grid = read_field(tmp_path / "w.nii.gz")
    assert grid.shape == (9, 8, 7)
    assert np.allclose(grid.affine, affine, atol=1e-5)
    assert torch.allclose(lps_to_ddf(field, grid.affine), ddf, atol=1e-5)
    assert torch.allclose(torch.linalg.vector_norm(field, dim=0).max(), torch.tensor(6.0), atol=2.0)


def test_bad_fields(tmp_path):
    with pytest.raises(InputError, match="got no such file"):
        read_field(tmp_path / "missing.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((5, 5, 5, 3), "f4"), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"expected shape \(X, Y, Z, 1, 3\), got \(5, 5, 5, 3\)"):
        read_field(tmp_path / "a.nii")
    (tmp_path / "b.nii").write_text("no")
    with pytest.raises(InputError, match="expected a NIfTI file"):
        read_field(tmp_path / "b.nii")


@pytest.mark.parametrize(("unit", "size"), [("meter", 1e-3), ("micron", 1e3)])
def test_units_of_the_header_are_those_of_the_grid(tmp_path, caplog, unit, size):
    """As ITK reads it: the grid is converted, the vectors are millimetres."""
    SimpleITK = pytest.importorskip("SimpleITK")
    affine = centred_affine((9, 8, 7), spacing=(1, 2, 3))
    save_field(smooth_ddf((9, 8, 7))[0], affine, tmp_path / "mm.nii.gz")
    image = nib.load(tmp_path / "mm.nii.gz")
    other = nib.Nifti1Image(np.asarray(image.dataobj), np.diag([size, size, size, 1]) @ affine, image.header)
    other.header.set_xyzt_units(unit)
    nib.save(other, tmp_path / "other.nii.gz")
    field, grid = read_field(tmp_path / "other.nii.gz")
    assert np.allclose(grid.affine, affine, atol=1e-3)
    assert torch.equal(field, read_field(tmp_path / "mm.nii.gz")[0])
    assert f"its unit is the {unit}: voxel sizes and positions were converted to millimetres" in caplog.text
    theirs = SimpleITK.ReadImage(str(tmp_path / "other.nii.gz"))
    assert np.allclose(theirs.GetSpacing(), grid.spacing, atol=1e-3)
    assert np.allclose(theirs.GetPixel(4, 4, 4), field[:, 4, 4, 4].numpy(), atol=1e-5)


def test_a_damaged_field_is_not_used(tmp_path):
    save_field(smooth_ddf((9, 8, 7))[0], np.eye(4), tmp_path / "w.nii.gz")
    content = bytearray((tmp_path / "w.nii.gz").read_bytes())
    content[-6] ^= 0x10
    (tmp_path / "w.nii.gz").write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"displacement field .*w.nii.gz: expected a NIfTI file, got CRC check failed"):
        read_field(tmp_path / "w.nii.gz")
