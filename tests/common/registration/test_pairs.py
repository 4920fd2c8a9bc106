import json
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import InputError
from common.images import save_field
from common.registration import registration_pairs
from tests.common.registration.phantom import make_image


@pytest.fixture
def images(tmp_path) -> Path:
    for name in "abc":
        make_image(tmp_path / f"{name}.nii.gz", shape=(8, 9, 10), spacing=(5, 5, 5))
    make_image(tmp_path / "far.nii.gz", shape=(8, 9, 10), shift=(900, 0, 0))
    return tmp_path


def written(folder: Path, content) -> str:
    (folder / "list.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder / "list.json")


def test_one_pair(images, monkeypatch):
    monkeypatch.chdir(images)
    pairs = registration_pairs("a.nii.gz", "b.nii.gz", fixed_label="a.nii.gz", moving_label=None)
    assert pairs == [
        {"fixed": str(images / "a.nii.gz"), "moving": str(images / "b.nii.gz"), "fixed_label": str(images / "a.nii.gz")}
    ]


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"test": x}, lambda x: {"name": "kit", "validation": x}])
def test_datalist_is_relative_to_its_file_and_names_are_unique(images, wrap):
    entries = [
        {"fixed": "a.nii.gz", "moving": "./b.nii.gz", "kind": "T1", "comment": "left out"},
        {"fixed": "a.nii.gz", "moving": "b.nii.gz"},
        {"fixed": str(images / "c.nii.gz"), "moving": "b.nii.gz", "id": "subject 7"},
    ]
    pairs = registration_pairs(datalist=written(images, wrap(entries)))
    assert [pair["name"] for pair in pairs] == ["b_to_a", "b_to_a_2", "subject 7"]
    assert all(Path(pair["moving"]).exists() and set(pair) <= {"fixed", "moving", "name", "kind"} for pair in pairs)
    assert pairs[0]["kind"] == "T1"


def test_section(images):
    content = {"test": [], "other": [{"fixed": "a.nii.gz", "moving": "b.nii.gz"}]}
    assert len(registration_pairs(datalist=written(images, content), section="other")) == 1


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "expected a JSON file, got text that is no JSON"),
        ([], "expected at least one item under .*pairs.*, got an empty list"),
        ({"training": []}, "expected a list under test or validation"),
        ("3", "or a list of pairs, got int"),
        ([{"fixed": "a.nii.gz"}], "entry 1: expected an object with the paths 'fixed' and 'moving'"),
        (["a.nii.gz"], "entry 1: expected an object"),
        ([{"fixed": "a.nii.gz", "moving": "gone.nii.gz"}, {"fixed": "a.nii.gz", "moving": "no.nii.gz"}], "gone.nii.gz"),
        ([{"fixed": "a.nii.gz", "moving": "far.nii.gz"}], "expected an overlap in world space"),
        ([{"fixed": "a.nii.gz", "moving": "b.nii.gz", "name": "../x"}], "expected a name that can be a folder's"),
        ([{"fixed": "a.nii.gz", "moving": "b.nii.gz", "name": ".."}], "expected a name that can be a folder's"),
    ],
)  # fmt: skip
def test_bad_datalists(images, content, text):
    with pytest.raises(InputError, match=text):
        registration_pairs(datalist=written(images, content))


def test_missing_datalist_and_contradictions(images):
    with pytest.raises(InputError, match=r"nowhere.json: expected a JSON file, got: No such file"):
        registration_pairs(datalist=images / "nowhere.json")
    with pytest.raises(InputError, match="expected a fixed and a moving image, or a datalist, got fixed=None"):
        registration_pairs()
    with pytest.raises(InputError, match="either a fixed and a moving image or a datalist, got both"):
        registration_pairs("a", "b", datalist=[{"fixed": "a", "moving": "b"}])


def test_labels_and_fields_are_looked_at(images):
    (images / "text.nii.gz").write_text("no labels")
    pair = (str(images / "a.nii.gz"), str(images / "b.nii.gz"))
    with pytest.raises(InputError, match=r"moving_label image .*text.nii.gz: expected an image"):
        registration_pairs(*pair, moving_label=str(images / "text.nii.gz"))
    with pytest.raises(InputError, match=r"expected shape \(X, Y, Z, 1, 3\)"):
        registration_pairs(*pair, true_field=str(images / "a.nii.gz"))
    save_field(torch.zeros(3, 4, 4, 4), np.eye(4), images / "w.nii.gz")
    assert registration_pairs(*pair, true_field=str(images / "w.nii.gz"))[0]["true_field"].endswith("w.nii.gz")


def test_the_files_of_a_result_are_looked_at_before_the_first_pair(images):
    inside = images / "moved.nii.gz"
    inside.write_bytes((images / "b.nii.gz").read_bytes())
    with pytest.raises(InputError, match=f"the result {inside} would replace an input .moving {inside}"):
        registration_pairs(str(images / "a.nii.gz"), str(inside), output_dir=images)
    assert registration_pairs(str(images / "a.nii.gz"), str(inside), output_dir=images / "out")


def test_names_that_come_from_long_file_names_are_cut(images):
    for letter in "xy":
        (images / f"{letter * 240}.nii.gz").write_bytes((images / "a.nii.gz").read_bytes())
    names = ("x" * 240, "y" * 240)
    entries = [{"moving": f"{names[k]}.nii.gz", "fixed": f"{names[1 - k]}.nii.gz"} for k in (0, 1, 0)]
    pairs = registration_pairs(datalist=written(images, entries), output_dir=images / "out")
    x, y = "x" * 100, "y" * 100
    assert [pair["name"] for pair in pairs] == [f"{x}_to_{y}", f"{y}_to_{x}", f"{x}_to_{y}_2"]
