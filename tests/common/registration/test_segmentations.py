"""Slicer's segmentations: layers, header, extents."""

from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.geometry import Grid
from common.registration.segmentations import Segmentation, read_segmentation, write_segmentation
from tests.common.registration.phantom import centred_affine

pytest.importorskip("SimpleITK")

GRID = Grid((8, 9, 7), centred_affine((8, 9, 7), degrees=(5, 0, 20)))
HEADER = {
    "Segment0_ID": "Segment_1", "Segment0_Name": "left tumour", "Segment0_LabelValue": "1", "Segment0_Layer": "0",
    "Segment0_Extent": "0 99 0 99 0 99",
    "Segment1_LabelValue": "1", "Segment1_Layer": "1", "Segment1_Extent": "0 1 0 1 0 1",
    "Segmentation_ReferenceImageExtentOffset": "5 6 7",
}  # fmt: skip


@pytest.mark.parametrize("count", [1, 2])
def test_layers_grid_and_header_come_back(tmp_path: Path, count: int):
    layers = np.zeros((count, *GRID.shape), dtype=np.uint8)
    layers[0, 2:5, 3:4, 1:7] = 1
    header = HEADER if count == 2 else {k: v for k, v in HEADER.items() if not k.startswith("Segment1")}
    write_segmentation(Segmentation(layers, GRID, header), tmp_path / "s.seg.nrrd")
    found = read_segmentation(tmp_path / "s.seg.nrrd")
    assert np.array_equal(found.layers, layers) and found.layers.dtype == np.uint8
    assert found.grid.shape == GRID.shape and np.allclose(found.grid.affine, GRID.affine, atol=1e-4)
    expected = header | {"Segment0_Extent": "2 4 3 3 1 6", "Segmentation_ReferenceImageExtentOffset": "0 0 0"}
    assert found.header == expected | ({"Segment1_Extent": "0 -1 0 -1 0 -1"} if count == 2 else {})


def test_what_is_no_segmentation(tmp_path: Path):
    (tmp_path / "s.seg.nrrd").write_text("no")
    with pytest.raises(InputError, match="expected a segmentation of 3D Slicer, got"):
        read_segmentation(tmp_path / "s.seg.nrrd")
    with pytest.raises(InputError, match="expected a file, got no such file"):
        read_segmentation(tmp_path / "absent.seg.nrrd")


def test_a_sheared_grid_is_refused(tmp_path: Path):
    sheared = GRID.affine.copy()
    sheared[0, 1] += 1
    with pytest.raises(InputError, match="expected a reference with orthogonal axes"):
        write_segmentation(Segmentation(np.zeros((1, 2, 2, 2)), Grid((2, 2, 2), sheared), {}), tmp_path / "s.seg.nrrd")
