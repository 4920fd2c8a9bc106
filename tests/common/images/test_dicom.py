"""A folder is one volume only if its slices follow each other at one distance."""

import numpy as np
import pytest

from common.errors import InputError
from common.images import read_header, read_volume
from tests.common.images.test_volumes import SHAPE, volume

itk = pytest.importorskip("itk")
ROOT = "1.2.826.0.1.3680043.2.1125.1"


def write_slice(path, values, position, modality="MR", number=0, series=2) -> None:
    plane = itk.image_from_array(np.ascontiguousarray(values.T[None]))
    plane.SetSpacing([1.5, 2.0, 3.0])
    plane.SetOrigin([float(p) for p in position])
    tags = plane.GetMetaDataDictionary()
    uids = {"0020|000d": f"{ROOT}.1", "0020|000e": f"{ROOT}.{series}"}
    for tag, text in {"0008|0060": modality, "0020|0013": str(number), **uids}.items():
        tags[tag] = text
    gdcm = itk.GDCMImageIO.New()
    gdcm.KeepOriginalUIDOn()
    writer = itk.ImageFileWriter.New(plane)
    writer.SetFileName(str(path))
    writer.SetImageIO(gdcm)
    writer.Update()


def write_series(folder, positions, modality="MR") -> None:
    """Slices of ``volume`` at positions (N, 3), named in the wrong order."""
    for k, position in enumerate(positions):
        write_slice(folder / f"{len(positions) - k}.dcm", volume("i2")[:, :, k], position, modality, k)


def steps(*z: float, tilt: float = 0.0) -> list[tuple[float, float, float]]:
    return [(10.0, 20.0 + tilt * height, 30.0 + height) for height in z]


EVEN = (0, 3, 6, 9, 12, 15, 18)


def test_one_volume_with_its_modality(tmp_path):
    write_series(tmp_path, steps(*EVEN), "CT")
    image = read_volume(str(tmp_path), "fixed")
    assert np.array_equal(image.voxels, volume("i2"))
    assert np.allclose(image.affine, [[-1.5, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
    assert image.modality == "CT" and image.in_ras().modality == "CT"


@pytest.mark.parametrize(
    ("positions", "text"),
    [
        (steps(0, 3, 6, 12, 15, 18), r"slices missing or unevenly spaced: 6.00 mm between 36.00 and 42.00 mm, 3.00 mm"),
        (steps(0, 3, 6, 9.2, 12, 15, 18), "unevenly spaced: 3.20 mm between 36.00 and 39.20 mm"),
        (steps(0, 3, 6, 6, 9, 12, 15), r"2 slices at one position \(36.00 mm\): several volumes in one\?"),
        (steps(*EVEN, tilt=0.2), "a gantry tilted by 11.3 degrees: resample the series to right angles first"),
    ],
)
def test_slices_that_are_no_volume_are_refused(tmp_path, positions, text):
    write_series(tmp_path, positions)
    with pytest.raises(InputError, match=f"fixed image {tmp_path}: expected an image .* got ValueError: .*{text}"):
        read_header(str(tmp_path), "fixed")


def test_rounded_positions_are_no_gap(tmp_path):
    write_series(tmp_path, steps(0, 3.02, 5.99, 9.0, 12.01, 15, 18))
    assert read_header(str(tmp_path), "fixed").grid.shape == SHAPE


def test_a_scout_in_the_series_and_two_series(tmp_path):
    write_series(tmp_path, steps(*EVEN[:-1]))
    write_slice(tmp_path / "scout.dcm", np.zeros((9, 9), "i2"), (10, 20, 90), number=9)
    with pytest.raises(InputError, match="slices of 2 sizes, spacings or directions in one series: a scout among them"):
        read_header(str(tmp_path), "fixed")
    (tmp_path / "scout.dcm").unlink()
    write_slice(tmp_path / "other.dcm", volume("i2")[:, :, 0], (10, 20, 90), series=3)
    with pytest.raises(InputError, match="a folder with 2 DICOM series"):
        read_header(str(tmp_path), "fixed")


def test_a_slice_that_is_cut_short(tmp_path):
    write_series(tmp_path, steps(*EVEN))
    path = tmp_path / "3.dcm"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"fixed image .*: expected"):
        read_volume(str(tmp_path), "fixed")
