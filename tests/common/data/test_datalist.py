import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from common.data.datalist import (
    PAIR_SECTIONS,
    SECTIONS,
    file_entries,
    folder_of,
    read_datalist,
    read_section,
    resolve,
    role_of,
)
from common.data.datalist_check import check_datalist
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
    assert "expected a JSON file, got text that is no JSON" in texts(tmp_path, "{")[0]
    assert "expected a JSON object" in texts(tmp_path, "3")[0]
    assert "expected items under one of" in texts(tmp_path, {"train": []})[0]
    assert "expected items under one of" in texts(tmp_path, [])[0]
    with pytest.raises(InputError, match=r"none\.json: expected a JSON file, got: No such file"):
        read_datalist(tmp_path / "none.json")


PAIR = {"fixed": "c.nii.gz", "moving": "b.nii.gz"}


@pytest.mark.parametrize(
    ("content", "section"),
    [
        ([PAIR], None),
        ({"pairs": [PAIR]}, None),
        ({"training": [{}], "validation": [PAIR], "test": []}, None),
        ({"test": [{"image": "a.nii.gz"}], "registration_test": [PAIR]}, None),  # Learn2Reg
        ({"test": [{}], "mine": [PAIR]}, "mine"),
    ],
)
def test_the_section_that_holds_pairs(tmp_path: Path, content: Any, section: str | None) -> None:
    (tmp_path / "list.json").write_text(json.dumps(content))
    assert read_section(tmp_path / "list.json", section) == [PAIR]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"training": [{}]}, r"expected a list under test or validation or .*, got \['training'\]"),
        ({"test": []}, "expected at least one item under test or"),
        ({"test": {}}, "expected a list under test"),
    ],
)
def test_no_pairs_to_be_found(tmp_path: Path, content: Any, text: str) -> None:
    (tmp_path / "list.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=text):
        read_section(tmp_path / "list.json")


def test_every_section_says_what_it_holds() -> None:
    assert {section.items for section in SECTIONS.values()} == {"subjects", "pairs"}
    assert PAIR_SECTIONS[0] == "test" and "training" not in PAIR_SECTIONS


def test_other_formats_than_nifti_are_read(tmp_path: Path, listing: dict[str, Any]) -> None:
    itk = pytest.importorskip("itk")
    itk.imwrite(itk.imread(str(tmp_path / "a.nii.gz"), itk.F), str(tmp_path / "a.nrrd"))
    assert texts(tmp_path, _change(listing, "training", t1="a.nrrd")) == []


def _change(listing: dict[str, Any], section: str, **entries: Any) -> dict[str, Any]:
    listing[section][0] = {**listing[section][0], **entries}
    return listing


@pytest.mark.parametrize(
    ("section", "entries", "text"),
    [
        (
            "training",
            {"t1": "missing.nii.gz"},
            "t1 image {folder}/missing.nii.gz: expected an image file",
        ),
        ("training", {"t1": "text.nii.gz"}, "t1 image {folder}/text.nii.gz: expected an image"),
        ("training", {"t1": "flat.nii.gz"}, "every voxel is 3"),
        ("training", {"t1": "four.nii.gz"}, "got 4-D of shape 6x7x8x2"),
        ("training", {"t1": "nan.nii.gz"}, "expected finite voxels, got NaN or infinity"),
        ("training", {"label": "a.nii.gz"}, "a label holds whole numbers"),
        ("training", {"label": "small.nii.gz"}, "label has shape (5, 7, 8), t1 has (6, 7, 8)"),
        ("training", {"label": "moved.nii.gz"}, "label and t1 have different affines"),
        ("training", {"label": "nine.nii.gz"}, "holds the values [9], which the list's labels do not name"),
        ("training", {"mask": "b_label.nii.gz"}, "a mask holds 0 and 1"),
        ("validation", {"fixed": None}, "a pair expects both moving and fixed"),
        ("validation", {"fixed_keypoints": None}, "keypoints are needed for both sides"),
        ("validation", {"fixed_keypoints": "three.csv"}, "as many moving as fixed keypoints, got 2 and 3"),
        ("validation", {"fixed_keypoints": "bad.csv"}, "bad.csv, line 1: expected three numbers, got '1 2'"),
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
    assert any(text.format(folder=tmp_path) in found for found in texts(tmp_path, changed))


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
    assert folder_of(tmp_path / "list.json") == tmp_path.resolve()
    assert resolve(tmp_path, "../x.nii") == tmp_path / ".." / "x.nii"
    assert resolve(tmp_path, "/x.nii") == Path("/x.nii")


def test_the_data_kit_is_usable() -> None:
    assert check_datalist(shared_path("data/datalist_2mm.json"), read_voxels=False) == []
