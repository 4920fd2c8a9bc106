"""Images of four axes: volume by volume, with their step."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from common.errors import InputError
from common.images.series import read_series, save_series

AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])


def write(path: Path, shape: tuple[int, ...], step: float = 1.5) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 99, shape).astype(np.int16)
    image = nib.Nifti1Image(values, AFFINE)
    if len(shape) > 3:
        image.header["pixdim"][4] = step
        image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return values


def test_every_volume_and_the_step(tmp_path: Path):
    values = write(tmp_path / "bold.nii.gz", (5, 6, 7, 3))
    series = read_series(tmp_path / "bold.nii.gz", "input")
    assert (series.count, series.step, series.unit, series.grid.shape) == (3, 1.5, "sec", (5, 6, 7))
    assert np.array_equal(np.stack(list(series.volumes()), axis=-1), values)
    save_series(values.astype(np.float32), series, series.grid, tmp_path / "out.nii.gz")
    again = nib.load(tmp_path / "out.nii.gz")
    assert np.array_equal(again.get_fdata(), values) and np.allclose(again.affine, AFFINE)
    assert again.header.get_zooms()[3] == 1.5 and again.header.get_xyzt_units() == ("mm", "sec")


@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 6, 7, 1)])
def test_one_volume_is_a_series_of_one(tmp_path: Path, shape: tuple[int, ...]):
    values = write(tmp_path / "t1.nii", shape)
    series = read_series(tmp_path / "t1.nii", "input")
    assert series.count == 1
    assert np.array_equal(next(series.volumes()), values.reshape(5, 6, 7))


def test_what_is_no_series(tmp_path: Path):
    write(tmp_path / "five.nii", (5, 6, 7, 1, 3))
    with pytest.raises(InputError, match=r"input image .*five.nii: expected a 3-D image"):
        read_series(tmp_path / "five.nii", "input")
    with pytest.raises(InputError, match="no such file"):
        read_series(tmp_path / "absent.nii", "input")


def test_a_damaged_series_is_named(tmp_path: Path):
    write(tmp_path / "bold.nii", (5, 6, 7, 3))
    whole = (tmp_path / "bold.nii").read_bytes()
    (tmp_path / "bold.nii").write_bytes(whole[:-200])
    with pytest.raises(InputError, match="expected a complete image, got a damaged one"):
        list(read_series(tmp_path / "bold.nii", "input").volumes())
