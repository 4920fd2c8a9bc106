import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from common.errors import InputError
from common.evaluation import read_landmarks, read_pairs, read_structures


@pytest.fixture
def datalist(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        nibabel.save(nibabel.Nifti1Image(np.ones((6, 6, 6), np.uint8), np.eye(4)), tmp_path / f"{name}.nii.gz")
    pair = {"fixed": "a.nii.gz", "moving": "b.nii.gz", "kind": "T1-CT", "fixed_keypoints": "a.csv"}
    content = {"labels": {"0": "Background", "4": "Ventricle"}, "validation": [pair, {**pair, "kind": "other"}]}
    path = tmp_path / "list.json"
    path.write_text(json.dumps(content))
    return path


def test_pairs_have_absolute_paths_names_kinds_and_landmarks(datalist: Path) -> None:
    first, second = read_pairs(str(datalist))
    assert first["fixed"] == str(datalist.parent / "a.nii.gz")
    assert (first["name"], second["name"]) == ("b_to_a", "b_to_a_2")
    assert (first["kind"], second["kind"]) == ("T1-CT", "other")
    assert first["fixed_keypoints"] == str(datalist.parent / "a.csv") and "moving_keypoints" not in first


def test_structures_without_background(datalist: Path) -> None:
    assert read_structures(str(datalist)) == {4: "Ventricle"}


def test_what_is_missing_is_named(datalist: Path) -> None:
    with pytest.raises(InputError, match=r"expects a datalist with pairs and labels \(--datalist\), got none"):
        read_pairs(None)
    with pytest.raises(InputError, match="expected a list of pairs under test, got none"):
        read_pairs(str(datalist), "test")


def test_landmark_files(tmp_path: Path) -> None:
    good, short, words = tmp_path / "good.csv", tmp_path / "short.csv", tmp_path / "words.csv"
    good.write_text("1,2,3\n4.5,5,6\n")
    short.write_text("1,2\n")
    words.write_text("x,y,z\n")
    assert read_landmarks(good).tolist() == [[1, 2, 3], [4.5, 5, 6]]
    for bad in (short, words, tmp_path / "none.csv"):
        with pytest.raises(InputError, match=f"{bad}: expected three numbers a line with commas between them, got"):
            read_landmarks(bad)
