"""Headers as people have them: what is good is used, what is bad is named once, what cannot be used is refused."""

import gzip
import re

import nibabel as nib
import numpy as np
import pytest

from common.errors import InputError
from common.images import read_header, read_volume
from tests.common.images.test_volumes import AFFINE, volume


def written(path, sform=1, qform=1, **fields):
    """Write an image and change fields of its header, in the file itself."""
    image = nib.Nifti1Image(volume(), AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(AFFINE, 1)
    nib.save(image, path)
    raw = bytearray(path.read_bytes())
    header = np.frombuffer(raw, dtype=nib.Nifti1Header.template_dtype, count=1).copy()
    for name, value in {"sform_code": sform, "qform_code": qform, **fields}.items():
        header[name][0] = value
    raw[: header.nbytes] = header.tobytes()
    path.write_bytes(bytes(raw))
    return path


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"quatern_b": 0.7, "quatern_c": 0.7, "quatern_d": 0.7}, "its qform is no rotation; the sform is used"),
        ({"pixdim": [-1, -1.5, 2, 3, 1, 0, 0, 0]}, r"voxel sizes are given as \(-1.5, 2, 3\) in pixdim; the sform"),
        ({"pixdim": [1, 0, 0, 0, 0, 0, 0, 0]}, r"voxel sizes are given as \(0, 0, 0\) in pixdim; the sform"),
        ({"pixdim": [1, np.nan, 2, 3, 0, 0, 0, 0]}, r"voxel sizes are given as \(nan, 2, 3\) in pixdim; the sform"),
    ],
)
def test_a_good_sform_beside_something_useless_is_used(tmp_path, caplog, fields, text):
    image = read_volume(written(tmp_path / "a.nii", **fields), "fixed")
    assert np.allclose(image.affine, AFFINE)
    assert np.array_equal(image.voxels, volume())
    assert len([record for record in caplog.records if "pixdim" in record.message or "qform" in record.message]) == 1
    assert re.search(text, caplog.text)


def test_a_quaternion_that_was_rounded_is_a_rotation(tmp_path):
    """w^2 is -3.8e-7: half a turn about an axis, as single precision has it."""
    half = {"quatern_b": 0.6, "quatern_c": 0.8000003, "quatern_d": 0.0, "pixdim": [1, 1.5, 2, 3, 0, 0, 0, 0]}
    image = read_volume(written(tmp_path / "a.nii", sform=0, **half), "fixed")
    turn = np.array([[-0.28, 0.96, 0], [0.96, 0.28, 0], [0, 0, -1]])
    assert np.allclose(image.affine[:3, :3], turn * (1.5, 2, 3), atol=1e-5)


def test_no_sform_and_no_rotation_is_refused(tmp_path):
    path = written(tmp_path / "a.nii", sform=0, quatern_b=0.9, quatern_c=0.9)
    with pytest.raises(InputError, match=r"fixed image .*a.nii: expected an image .* got .*w2 should be positive"):
        read_header(path, "fixed")


@pytest.mark.parametrize(("code", "unit", "factor"), [(1, "meter", 1000), (3, "micron", 0.001)])
@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (0, 1), (1, 0)])
def test_other_units_become_millimetres_with_a_word(tmp_path, caplog, code, unit, factor, sform, qform):
    image = read_volume(written(tmp_path / "a.nii", sform, qform, xyzt_units=code), "fixed")
    expected = AFFINE.copy()
    expected[:3] *= factor
    assert np.allclose(image.affine, expected, rtol=1e-5, atol=1e-3 * factor)
    assert f"its unit is the {unit}: voxel sizes and positions were converted to millimetres" in caplog.text


def test_itk_converts_units_to_the_same_place(tmp_path):
    itk = pytest.importorskip("itk")
    path = written(tmp_path / "a.nii", xyzt_units=3)
    theirs, ours = itk.imread(str(path), itk.F), read_volume(path, "fixed").affine
    assert np.allclose(np.diag([-1, -1, 1]) @ ours[:3, 3], list(theirs.GetOrigin()))
    assert np.allclose(np.linalg.norm(ours[:3, :3], axis=0), list(theirs.GetSpacing()))


def test_names_that_do_not_say_what_is_inside(tmp_path):
    plain = written(tmp_path / "a.nii")
    (tmp_path / "b.nii").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "c.nii.gz").write_bytes(plain.read_bytes())
    with pytest.raises(InputError, match=r"b.nii: expected an image that is not .*, got gzip data: call it b.nii.gz$"):
        read_header(tmp_path / "b.nii", "fixed")
    with pytest.raises(InputError, match=r"c.nii.gz: expected an image compressed by gzip.* call it c.nii$"):
        read_header(tmp_path / "c.nii.gz", "fixed")


def test_a_doubt_is_said_once_by_nobody_else(tmp_path, caplog, capfd):
    path = written(tmp_path / "a.nii", pixdim=[1, -1.5, 2, 3, 0, 0, 0, 0])
    read_header(path, "fixed", warn=False)
    assert not caplog.records
    read_volume(path, "fixed")
    assert len(caplog.records) == 1 and "nibabel" not in capfd.readouterr().err
