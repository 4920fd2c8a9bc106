import nibabel as nib
import pytest

from common.errors import InputError
from common.images import read_header
from tests.common.images.test_volumes import AFFINE, volume


def test_something_else_than_a_path_is_told():
    with pytest.raises(InputError, match="fixed image: expected a path, got 3"):
        read_header(3, "fixed")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sform", "qform", "shift", "text"),
    [
        (0, 0, 0, "sform and qform code are 0"),
        (0, 1, 0, "sform code is 0"),
        (1, 1, 5, "disagree by up to 5"),
        (1, 1, 0, ""),
    ],
)
def test_doubtful_headers_give_a_warning(tmp_path, caplog, sform, qform, shift, text):
    image = nib.Nifti1Image(volume(), AFFINE)
    image.set_sform(AFFINE, sform)
    moved = AFFINE.copy()
    moved[0, 3] += shift
    image.set_qform(moved, qform)
    nib.save(image, tmp_path / "a.nii")
    read_header(tmp_path / "a.nii", "fixed")
    assert text in caplog.text if text else not caplog.text


def test_sheared_axes_give_a_warning(tmp_path, caplog):
    sheared = AFFINE.copy()
    sheared[:3, 0] += 0.1 * sheared[:3, 1]
    nib.save(nib.Nifti1Image(volume(), sheared), tmp_path / "a.nii")
    read_header(tmp_path / "a.nii", "fixed")
    assert "not orthogonal; ITK and ANTs do not read" in caplog.text
