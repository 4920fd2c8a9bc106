"""The datalist command: what it prints for a list that can be used, one that cannot, and one that it makes."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from common.errors import InputError
from tools.datalist import datalist


def write_images(folder: Path, *names: str) -> None:
    """Small images that are not constant."""
    for number, name in enumerate(names):
        voxels = np.random.default_rng(number).integers(0, 255, (6, 7, 8)).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / name)


def test_a_list_that_can_be_used_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_images(tmp_path, "a.nii.gz", "b.nii.gz")
    pair = {"fixed": "a.nii.gz", "moving": "b.nii.gz"}
    (tmp_path / "list.json").write_text(json.dumps({"validation": [pair]}))
    datalist(str(tmp_path / "list.json"))
    assert "list.json: usable: 1 validation items, 0 warnings" in capsys.readouterr().out


def test_errors_are_printed_and_end_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_images(tmp_path, "a.nii.gz")
    pair = {"fixed": "a.nii.gz", "moving": "absent.nii.gz"}
    (tmp_path / "list.json").write_text(json.dumps({"validation": [pair]}))
    with pytest.raises(InputError, match=r"list\.json: 1 errors, 0 warnings"):
        datalist(str(tmp_path / "list.json"))
    assert "absent.nii.gz" in capsys.readouterr().out


def test_voxels_are_read_unless_it_is_told_not_to(tmp_path: Path):
    write_images(tmp_path, "a.nii.gz", "b.nii.gz")
    constant = nibabel.Nifti1Image(np.zeros((6, 7, 8), np.uint8), np.eye(4))
    nibabel.save(constant, tmp_path / "b.nii.gz")
    (tmp_path / "list.json").write_text(json.dumps({"validation": [{"fixed": "a.nii.gz", "moving": "b.nii.gz"}]}))
    datalist(str(tmp_path / "list.json"), voxels=False)
    with pytest.raises(InputError, match="1 errors"):
        datalist(str(tmp_path / "list.json"))
