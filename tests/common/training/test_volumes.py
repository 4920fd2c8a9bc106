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
    block_factors,
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
    assert shrink(image, (2, 2, 2), label=False)[0, 0, 0] == image[:2, :2, :2].mean()
    label = torch.zeros(4, 4, 4, dtype=torch.uint8)
    label[0, :2, :2] = 3
    label[1, 0, 0] = 3  # five of eight
    assert shrink(label, (2, 2, 2), label=True)[0, 0, 0] == 3 and shrink(label, (2, 2, 2), label=True)[1, 1, 1] == 0
    assert shrink(torch.ones(5, 4, 4), (2, 1, 4), label=False).shape == (3, 4, 1)
    assert shrink(image, (1, 1, 1), label=False) is image


def test_validation_pairs(datalist: Path) -> None:
    (pair,) = load_pairs(str(datalist), GRID)
    assert pair["image"].shape == (2, 16, 16, 16) and pair["kind"] == "T1-CT"
    assert pair["image"].min() >= 0 and pair["image"].max() == 1
    assert pair["moving_label"].shape == pair["fixed_label"].shape == (1, 16, 16, 16)


def test_ras_order_and_spacing(tmp_path: Path) -> None:
    values = np.zeros((4, 6, 8), np.float32)
    values[0, 5, 7] = 1.0
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, 1, 1, 1])), tmp_path / "las.nii.gz")
    volume = load_volume(tmp_path / "las.nii.gz", TrainingGrid(1.0, None), label=False)
    assert volume.voxels[3, 5, 7] == 255 and volume.file.affine[0, 3] == -3
    assert block_factors((1.0, 0.5, 1.0), (2.0, 2.0, 2.0)) == (2, 4, 2)
    assert block_factors((1.0, 1.0, 1.5), (2.0, 2.0, 2.0)) is None
    with pytest.raises(
        InputError, match=r"las.nii.gz: a training grid of .* is finer than the file's \[1.0, 1.0, 1.0\]"
    ):
        load_volume(tmp_path / "las.nii.gz", TrainingGrid(0.8, None), label=False)


def test_a_spacing_between_whole_numbers_is_resampled_over_the_same_extent(tmp_path: Path) -> None:
    """VMambaMorph's 176x208x192 voxels of 1 mm on 128x128x128, an eleventh of it."""
    x, y, z = np.meshgrid(*[np.arange(n) + 0.5 for n in (22, 26, 24)], indexing="ij")
    nibabel.save(nibabel.Nifti1Image((x + 2 * y + 3 * z).astype(np.float32), np.eye(4)), tmp_path / "image.nii.gz")
    nibabel.save(nibabel.Nifti1Image((x > 11).astype(np.uint8) * 7, np.eye(4)), tmp_path / "label.nii.gz")
    grid = TrainingGrid([1.375, 1.625, 1.5], [16, 16, 16])
    image = load_volume(tmp_path / "image.nii.gz", grid, label=False).voxels.float()
    assert image.shape == (16, 16, 16)
    rate = (image[-2, 8, 8] - image[1, 8, 8]) / 13, (image[8, 8, -2] - image[8, 8, 1]) / 13  # inside, linear
    assert float(rate[1] / rate[0]) == pytest.approx(3 * 1.5 / 1.375, rel=0.05)
    label = load_volume(tmp_path / "label.nii.gz", grid, label=True).voxels
    assert label[:8].eq(0).all() and label[8:].eq(7).all()


def test_alignment_is_checked_in_world_space(tmp_path: Path, datalist: Path) -> None:
    image = nibabel.load(tmp_path / "s1_t1.nii.gz")
    affine = image.affine.copy()
    affine[2, 3] += 40
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(image.dataobj), affine), tmp_path / "s1_t1.nii.gz")
    with pytest.raises(InputError, match=r"list.json: s1's t1 lies 40.0 mm away from s0's t1 by its header"):
        load_subjects(str(datalist), ["t1"], GRID)
    assert len(load_subjects(str(datalist), ["t1"], GRID, aligned_by="arrays")) == 3
    with pytest.raises(InputError, match="aligned_by: expected world or arrays, got 'index'"):
        load_subjects(str(datalist), ["t1"], GRID, aligned_by="index")
    content = json.loads(datalist.read_text())
    content["validation"][0]["moving"] = "s1_t1.nii.gz"
    datalist.write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=r"validation pair 0's fixed lies 40.0 mm away from validation pair 0's moving"
    ):
        load_pairs(str(datalist), GRID)


def test_the_grid_is_stated(datalist: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "common.training.volumes"):
        subject, *_ = load_subjects(str(datalist), ["t1"], TrainingGrid(2.0, None, multiple=16))
    assert subject.shape == (32, 32, 32)
    assert caplog.messages == ["training grid: 32 x 32 x 32 voxels of 2 x 2 x 2 mm, chosen from the data"]


def test_bad_volumes_are_named(tmp_path: Path, datalist: Path) -> None:
    with pytest.raises(InputError, match="finite intensities"):
        to_bytes(torch.tensor([[[0.0, float("nan")]]]), tmp_path)
    with pytest.raises(InputError, match="constant 2"):
        to_bytes(torch.full((2, 2, 2), 2.0), tmp_path)
    with pytest.raises(InputError, match=r"label indices 0\.\.255"):
        load_volume(tmp_path / "s0_t1.nii.gz", GRID, label=True)
    with pytest.raises(InputError, match=r"training image .*none.nii.gz: expected an image file, got no such file"):
        load_volume(tmp_path / "none.nii.gz", GRID, label=True)
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
