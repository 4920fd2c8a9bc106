"""A file whose container knows that it is damaged is not used, whatever the container."""

import nibabel as nib
import numpy as np
import pytest

from common.errors import InputError
from common.images import read_volume

SHAPE = (30, 31, 32)


def voxels() -> np.ndarray:
    """Half of it compresses well, so that a changed byte does not always break the stream."""
    random = np.random.default_rng(0)
    return np.where(np.arange(32) < 16, random.integers(0, 255, SHAPE), 7).astype("f4")


def write(path) -> None:
    if path.suffix in (".gz", ".mgz"):
        kind = nib.MGHImage if path.suffix == ".mgz" else nib.Nifti1Image
        nib.save(kind(voxels(), np.eye(4)), path)
        return
    itk = pytest.importorskip("itk")
    itk.imwrite(itk.image_from_array(voxels()), str(path), compression=True)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mgz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
@pytest.mark.parametrize("where", [0.3, 0.5, 0.7, "checksum", "end"])
def test_a_changed_byte_or_a_missing_end_is_noticed(tmp_path, name, where):
    path = tmp_path / name
    write(path)
    assert read_volume(path, "fixed").voxels.size == np.prod(SHAPE)
    data = next(file for file in tmp_path.iterdir() if file.suffix in (".gz", ".mgz", ".nrrd", ".mha", ".raw", ".zraw"))
    content = bytearray(data.read_bytes())
    if where == "end":
        content = content[:-40]
    else:
        content[-6 if where == "checksum" else int(where * len(content))] ^= 0x10
    data.write_bytes(bytes(content))
    with pytest.raises(
        InputError, match=r"fixed image .*: expected (a complete image, got a truncated or damaged|an image)"
    ):
        read_volume(path, "fixed")


def test_what_is_not_compressed_has_no_checksum(tmp_path):
    itk = pytest.importorskip("itk")
    for name in ("a.nrrd", "a.mha"):
        itk.imwrite(itk.image_from_array(voxels()), str(tmp_path / name), compression=False)
        assert read_volume(tmp_path / name, "fixed").voxels.size == np.prod(SHAPE)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nii"])
def test_too_few_bytes_of_plain_data(tmp_path, name):
    itk = pytest.importorskip("itk")
    itk.imwrite(itk.image_from_array(voxels()), str(tmp_path / name), compression=False)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-5000])
    with pytest.raises(InputError, match="expected a complete image, got a truncated or damaged one"):
        read_volume(tmp_path / name, "fixed")
