"""The kit command: a list that training takes, of the sample and of label maps."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from common.data.datalist_check import check_datalist
from common.errors import InputError
from common.training.grid import TrainingGrid
from common.training.volumes import load_pairs, load_subjects
from tools.kit import kit


def voxels(path: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(path).dataobj)


def test_a_kit_of_the_sample_is_what_training_takes(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    kit(str(tmp_path), subjects=4, spacing=4.0)
    assert "datalist_4mm.json: 2 training subjects, 4 validation pairs, 5 structures, 4 mm" in capsys.readouterr().out
    assert check_datalist(tmp_path / "datalist_4mm.json") == []
    first, second = load_subjects(str(tmp_path / "datalist_4mm.json"), ["t1", "ct"], TrainingGrid(4.0, None, 16))
    assert first.shape == (48, 64, 48) and not first.images["t1"].equal(second.images["t1"])
    assert len(load_pairs(str(tmp_path / "datalist_4mm.json"), TrainingGrid(4.0, None, 16))) == 4
    t1, label = (voxels(tmp_path / "volumes" / f"s01_{key}.nii.gz") for key in ("t1", "label"))
    assert set(np.unique(label)) == {0, 2, 3, 24, 41, 42} and not t1[label == 0].any()
    white, grey, fluid = (t1[np.isin(label, values)].mean() for values in ((2, 41), (3, 42), (24,)))
    assert white > grey > fluid
    affine = nibabel.load(tmp_path / "volumes" / "s01_label.nii.gz").affine
    sides = [(affine[:3, :3] @ np.argwhere(label == value).T).mean(1)[0] + affine[0, 3] for value in (2, 41)]
    assert sides[0] < 0 < sides[1]  # left has negative coordinates


def test_label_maps_of_a_user_make_subjects_of_their_own(tmp_path: Path) -> None:
    affine = np.diag([-1.0, 1, 1, 1])
    for number in range(3):
        label = np.zeros((40, 36, 34), np.int16)
        label[8:32, 6:30, 5:29], label[12 + number : 20, 10:20, 9:20], label[1, 1, 1] = 3, 17, 1001
        nibabel.save(nibabel.Nifti1Image(label, affine), tmp_path / f"p{number}_aseg.nii.gz")
    kit(str(tmp_path / "kit"), label=str(tmp_path / "*_aseg.nii.gz"), subjects=5, spacing=2.0)
    content = json.loads((tmp_path / "kit" / "datalist_2mm.json").read_text())
    assert content["labels"]["17"] == "left hippocampus" and content["freesurfer_ids"]["17"] == 17
    assert not [
        finding for finding in check_datalist(tmp_path / "kit" / "datalist_2mm.json") if finding.level == "error"
    ]
    maps = [voxels(tmp_path / "kit" / "volumes" / f"s0{n}_label.nii.gz") for n in (1, 2, 4)]
    assert maps[0].shape == (20, 18, 17) and set(np.unique(maps[0])) == {0, 3, 17}
    assert not np.array_equal(maps[0], maps[1]) and not np.array_equal(
        maps[0], maps[2]
    )  # the fourth is a deformed copy
    place = nibabel.load(tmp_path / "kit" / "volumes" / "s01_label.nii.gz").affine
    assert np.allclose(place, [[2, 0, 0, -38.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1]])


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"label: expected label maps like .*none\.nii\.gz, found none"):
        kit(str(tmp_path), label=str(tmp_path / "none.nii.gz"))
    with pytest.raises(InputError, match="at least 4 subjects, two of which validate, got 2"):
        kit(str(tmp_path), subjects=2)
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 8), np.uint8), np.diag([1.5, 1.5, 1.5, 1])), tmp_path / "a.nii.gz")
    with pytest.raises(
        InputError, match=r"a.nii.gz: a kit of 2 mm needs voxels of a whole fraction, got \[1.5 1.5 1.5\] mm"
    ):
        kit(str(tmp_path), label=str(tmp_path / "a.nii.gz"), subjects=4)
