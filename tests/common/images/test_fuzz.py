"""NIfTI files with any bytes in their headers: an image on a usable grid, or one line that says what is wrong."""

import gzip
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InputError
from common.images.volumes import read_volume
from tests.fuzzing import edited, edits, fuzzed

#: Fields that say how large, of which type and where the voxels are: (offset, bytes).
FIELDS = {
    "dim": (40, 16),
    "datatype": (70, 4),
    "pixdim": (76, 32),
    "offset": (108, 12),
    "forms": (252, 76),
    "magic": (344, 8),
}
VOXELS = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The bytes of one small image in NIfTI's two versions."""
    folder = tmp_path_factory.mktemp("images")
    found = {}
    for number, kind in ((1, nib.Nifti1Image), (2, nib.Nifti2Image)):
        nib.save(kind(VOXELS, np.diag([1.0, 2.0, 3.0, 1.0])), folder / f"{number}.nii")
        found[number] = (folder / f"{number}.nii").read_bytes()
    return found


def read(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"image{suffix}")
        path.write_bytes(gzip.compress(content, 1) if suffix.endswith(".gz") else content)
        try:
            volume = read_volume(path, "fixed")
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            return
        assert volume.voxels.ndim == 3 and min(volume.voxels.shape) >= 2
        assert np.isfinite(volume.affine).all() and abs(np.linalg.det(volume.affine[:3, :3])) > 0


@fuzzed
@given(st.sampled_from((1, 2)), edits(539), st.sampled_from((".nii", ".nii.gz")))
def test_headers_with_other_bytes(images, version, replaced, suffix):
    read(edited(images[version], replaced), suffix)


@fuzzed
@given(st.sampled_from(list(FIELDS.values())), st.binary(min_size=80, max_size=80))
def test_headers_with_other_fields(images, field, content):
    start, length = field
    image = images[1]
    read(image[:start] + content[:length] + image[start + length :], ".nii")


@fuzzed
@given(st.sampled_from((1, 2)), st.integers(0, 800), st.sampled_from((".nii", ".nii.gz")))
def test_files_cut_short(images, version, kept, suffix):
    read(images[version][:kept], suffix)
