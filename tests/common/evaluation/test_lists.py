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
    (tmp_path / "a.csv").write_text("x,y,z\n1,2,3\n4,5,6\n")
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
    with pytest.raises(InputError, match="expected a list under test, got"):
        read_pairs(str(datalist), "test")


def test_landmarks_belong_together(datalist: Path) -> None:
    pair = {"fixed_keypoints": str(datalist.parent / "a.csv"), "moving_keypoints": str(datalist.parent / "b.csv")}
    (datalist.parent / "b.csv").write_text("1 2 3\n4.5 5 6\n")
    landmarks = read_landmarks(pair)
    assert landmarks is not None
    assert [points.tolist() for points in landmarks] == [[[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4.5, 5, 6]]]
    assert read_landmarks({"fixed_keypoints": "a.csv"}) is None
    (datalist.parent / "b.csv").write_text("1 2 3\n")
    with pytest.raises(InputError, match=r"points .*b.csv: expected 2 points, as in .*a.csv, got 1"):
        read_landmarks(pair)


def test_landmarks_are_read_before_the_first_pair(datalist: Path) -> None:
    content = json.loads(datalist.read_text())
    content["validation"][1]["moving_keypoints"] = "none.csv"
    datalist.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"points .*none.csv: expected a text file"):
        read_pairs(str(datalist))
