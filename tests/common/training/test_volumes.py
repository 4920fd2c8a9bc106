import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from common.errors import InputError
from common.training.config import classes_of, identifiers_of
from common.training.grid import TrainingGrid
from common.training.volumes import (
    block_factor,
    load_pairs,
    load_subjects,
    load_volume,
    shrink,
    to_bytes,
)
from tests.common.training.tiny import write_data_set

GRID = TrainingGrid(2.0, [16, 16, 16])


@pytest.fixture
def datalist(tmp_path: Path) -> Path:
    return write_data_set(tmp_path)


def test_subjects_are_on_one_grid_in_bytes(datalist: Path) -> None:
    subjects = load_subjects(str(datalist), ["t1", "ct"], GRID)
    assert [s.name for s in subjects] == ["s0", "s1", "s2"]
    for subject in subjects:
        assert set(subject.images) == {"t1", "ct"}
        for image in subject.images.values():
            assert image.shape == (16, 16, 16) and image.dtype == torch.uint8
            assert image.min() == 0 and image.max() == 255  # min-max, as inference scales
        assert subject.label is not None and set(subject.label.unique().tolist()) == {0, 1, 2}


def test_a_coarser_grid_takes_block_means_and_majorities() -> None:
    image = torch.arange(64.0).view(4, 4, 4)
    assert shrink(image, 2, label=False)[0, 0, 0] == image[:2, :2, :2].mean()
    label = torch.zeros(4, 4, 4, dtype=torch.uint8)
    label[0, :2, :2] = 3
    label[1, 0, 0] = 3  # five of eight
    assert shrink(label, 2, label=True)[0, 0, 0] == 3 and shrink(label, 2, label=True)[1, 1, 1] == 0
    assert shrink(torch.ones(5, 4, 4), 2, label=False).shape == (3, 2, 2)
    assert shrink(image, 1, label=False) is image


def test_validation_pairs(datalist: Path) -> None:
    (pair,) = load_pairs(str(datalist), GRID)
    assert pair["image"].shape == (2, 16, 16, 16) and pair["kind"] == "T1-CT"
    assert pair["image"].min() >= 0 and pair["image"].max() == 1
    assert pair["moving_label"].shape == pair["fixed_label"].shape == (1, 16, 16, 16)


def test_ras_order_and_spacing(tmp_path: Path) -> None:
    values = np.zeros((4, 6, 8), np.float32)
    values[0, 5, 7] = 1.0
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, 1, 1, 1])), tmp_path / "las.nii.gz")
    assert load_volume(tmp_path / "las.nii.gz", 1.0, label=False)[3, 5, 7] == 255
    assert block_factor((1.0, 1.0, 1.0), 2.0, tmp_path) == 2
    with pytest.raises(InputError, match="whole fraction"):
        block_factor((1.0, 1.0, 1.5), 2.0, tmp_path)
    with pytest.raises(InputError, match="whole fraction"):
        block_factor((2.0, 2.0, 2.0), 1.0, tmp_path)


def test_bad_volumes_are_named(tmp_path: Path, datalist: Path) -> None:
    with pytest.raises(InputError, match="finite intensities"):
        to_bytes(torch.tensor([[[0.0, float("nan")]]]), tmp_path)
    with pytest.raises(InputError, match="constant 2"):
        to_bytes(torch.full((2, 2, 2), 2.0), tmp_path)
    with pytest.raises(InputError, match=r"label indices 0\.\.255"):
        load_volume(tmp_path / "s0_t1.nii.gz", 2.0, label=True)
    with pytest.raises(InputError, match=r"training image .*none.nii.gz: expected an image file, got no such file"):
        load_volume(tmp_path / "none.nii.gz", 2.0, label=True)
    content = json.loads(datalist.read_text())
    with pytest.raises(InputError, match=r"training item s0 has no \['t2'\]"):
        load_subjects(str(datalist), ["t2"], GRID)
    nibabel.save(nibabel.Nifti1Image(np.random.rand(8, 16, 16), np.diag([2.0, 2, 2, 1])), tmp_path / "odd.nii.gz")
    content["training"][1]["t1"] = "odd.nii.gz"
    datalist.write_text(json.dumps(content))
    with pytest.raises(InputError, match="volumes on one grid"):
        load_subjects(str(datalist), ["t1"], GRID)


def test_label_tables_of_a_datalist(datalist: Path, tmp_path: Path) -> None:
    assert classes_of(str(datalist)) == [1, 2] and classes_of(str(datalist), ignore=[1]) == [2]
    assert identifiers_of(str(datalist)) == [0, 3, 2]
    (tmp_path / "bare.json").write_text('{"training": []}')
    assert identifiers_of(str(tmp_path / "bare.json")) is None
