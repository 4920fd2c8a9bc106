import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from common.data.datalist import file_entries, read_datalist, resolve, role_of
from common.data.datalist_check import check_datalist, read_points
from common.errors import InputError
from tests.conftest import shared_path
from tools.datalist import datalist as datalist_command


def volume(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> str:
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path.name


@pytest.fixture
def listing(tmp_path: Path) -> dict[str, Any]:
    """A good list: one subject, one pair, on disk in tmp_path/list.json once ``write`` is called."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        volume(tmp_path / f"{name}.nii.gz", rng.random((6, 7, 8)).astype(np.float32))
        volume(tmp_path / f"{name}_label.nii.gz", rng.integers(0, 3, (6, 7, 8)).astype(np.uint8))
    (tmp_path / "points.csv").write_text("x,y,z\n1,2,3\n4,5,6\n")
    pair = {
        "moving": "b.nii.gz",
        "fixed": "c.nii.gz",
        "moving_label": "b_label.nii.gz",
        "fixed_label": "c_label.nii.gz",
    }
    return {
        "labels": {"0": "Background", "1": "one", "2": "two"},
        "numTraining": 1,
        "training": [{"id": "a", "t1": "a.nii.gz", "label": "a_label.nii.gz"}],
        "validation": [{**pair, "moving_keypoints": "points.csv", "fixed_keypoints": "points.csv"}],
    }


def texts(tmp_path: Path, content: Any) -> list[str]:
    path = tmp_path / "list.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return [str(finding) for finding in check_datalist(path)]


def test_a_good_list_has_no_findings(tmp_path: Path, listing: dict[str, Any], capsys: pytest.CaptureFixture) -> None:
    assert texts(tmp_path, listing) == []
    datalist_command(str(tmp_path / "list.json"))
    assert "usable: 1 training, 1 validation items, 0 warnings" in capsys.readouterr().out


def test_it_is_told_what_is_wrong_with_the_file_itself(tmp_path: Path) -> None:
    assert "expected a readable JSON datalist" in texts(tmp_path, "{")[0]
    assert "expected a JSON object" in texts(tmp_path, "[]")[0]
    assert "expected items under one of" in texts(tmp_path, {"train": []})[0]
    with pytest.raises(InputError, match=r"none\.json: expected a readable JSON datalist"):
        read_datalist(tmp_path / "none.json")


def _change(listing: dict[str, Any], section: str, **entries: Any) -> dict[str, Any]:
    listing[section][0] = {**listing[section][0], **entries}
    return listing


@pytest.mark.parametrize(
    ("section", "entries", "text"),
    [
        ("training", {"t1": "missing.nii.gz"}, "the file does not exist"),
        ("training", {"t1": "text.nii.gz"}, "expected a readable volume"),
        ("training", {"t1": "flat.nii.gz"}, "every voxel is 3"),
        ("training", {"t1": "four.nii.gz"}, "expected a 3-D volume, got shape (6, 7, 8, 2)"),
        ("training", {"t1": "nan.nii.gz"}, "the voxels hold NaN or infinity"),
        ("training", {"label": "a.nii.gz"}, "a label holds whole numbers"),
        ("training", {"label": "small.nii.gz"}, "label has shape (5, 7, 8), t1 has (6, 7, 8)"),
        ("training", {"label": "moved.nii.gz"}, "label and t1 have different affines"),
        ("training", {"label": "nine.nii.gz"}, "holds the values [9], which the list's labels do not name"),
        ("training", {"mask": "b_label.nii.gz"}, "a mask holds 0 and 1"),
        ("validation", {"fixed": None}, "a pair expects both moving and fixed"),
        ("validation", {"fixed_keypoints": None}, "keypoints are needed for both sides"),
        ("validation", {"fixed_keypoints": "three.csv"}, "as many moving as fixed keypoints, got 2 and 3"),
        ("validation", {"fixed_keypoints": "bad.csv"}, "expected rows of three numbers"),
        ("validation", {"fixed_label": "one.nii.gz"}, "the labels [2] are in one of moving_label and fixed_label only"),
    ],
)
def test_each_kind_of_mistake_is_named(
    tmp_path: Path, listing: dict[str, Any], section: str, entries: dict[str, Any], text: str
) -> None:
    image = np.random.default_rng(1).random((6, 7, 8)).astype(np.float32)
    (tmp_path / "text.nii.gz").write_text("no image")
    volume(tmp_path / "flat.nii.gz", np.full((6, 7, 8), 3, np.float32))
    volume(tmp_path / "four.nii.gz", np.stack([image, image], -1))
    volume(tmp_path / "nan.nii.gz", np.where(image > 0.5, np.nan, image).astype(np.float32))
    volume(tmp_path / "small.nii.gz", (image[1:] > 0.5).astype(np.uint8))
    volume(tmp_path / "moved.nii.gz", (image > 0.5).astype(np.uint8), np.diag([1, 1, 2, 1.0]))
    volume(tmp_path / "nine.nii.gz", ((image > 0.5) * 9).astype(np.uint8))
    volume(tmp_path / "one.nii.gz", (image > 0.5).astype(np.uint8))
    (tmp_path / "three.csv").write_text("1 2 3\n4 5 6\n7 8 9\n")
    (tmp_path / "bad.csv").write_text("1 2\n3 4\n")
    changed = _change(listing, section, **entries)
    changed[section][0] = {key: value for key, value in changed[section][0].items() if value is not None}
    assert any(text in found for found in texts(tmp_path, changed))


def test_leaks_and_counts_are_warnings(tmp_path: Path, listing: dict[str, Any]) -> None:
    listing["training"].append({"id": "b", "t1": "b.nii.gz"})
    found = texts(tmp_path, listing)
    assert found[0].startswith("warning: training and validation: 1 files are in both")
    assert "numTraining says 1, there are 2" in found[1]


def test_the_command_fails_with_the_number_of_errors(tmp_path: Path, listing: dict[str, Any]) -> None:
    texts(tmp_path, _change(listing, "training", t1="missing.nii.gz"))
    with pytest.raises(InputError, match=r"list\.json: 1 errors, 0 warnings"):
        datalist_command(str(tmp_path / "list.json"))


def test_items_and_paths(tmp_path: Path) -> None:
    assert [role_of(key) for key in ("label", "fixed_label", "moving_mask", "fixed_keypoints", "t1")] == [
        "label",
        "label",
        "mask",
        "keypoints",
        "image",
    ]
    assert file_entries({"id": "a", "t1": "a.NII.gz", "n": 3}) == {"t1": "a.NII.gz"}
    assert resolve(tmp_path / "list.json", "../x.nii") == (tmp_path.parent / "x.nii").resolve()
    (tmp_path / "p.txt").write_text("1 2 3\n")
    assert read_points(tmp_path / "p.txt").tolist() == [[1.0, 2.0, 3.0]]


def test_the_data_kit_is_usable() -> None:
    assert check_datalist(shared_path("data/datalist_2mm.json"), read_voxels=False) == []
