from pathlib import Path

import nibabel
import numpy as np
import pytest

from common.data.datalist import read_datalist
from common.data.datalist_check import check_datalist
from common.data.recipes import RECIPES, make_datalist, remap
from common.errors import InputError
from tools.datalist import datalist as datalist_command


def fill(folder: Path, count: int, values: tuple[int, ...], image: str, label: str) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        for pattern, data in ((image, rng.random((5, 6, 7))), (label, rng.choice((0, *values), (5, 6, 7)))):
            path = folder / pattern.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            kind = np.float32 if pattern == image else np.int16
            nibabel.save(nibabel.Nifti1Image(data.astype(kind), np.eye(4)), path)


def test_the_tables_have_the_papers_numbers_of_structures() -> None:
    counts = {name: len(recipe.labels) for name, recipe in RECIPES.items()}
    assert counts == {"sr_reg": 16, "ixi": 16, "oasis": 35, "lpba40": 54, "mindboggle": 62, "abdomen_ct_ct": 13}
    for recipe in RECIPES.values():
        assert set(recipe.table.values()) in (set(), set(recipe.labels))
        assert max(recipe.labels) < 256


def test_remap_merges_and_drops() -> None:
    label = np.array([0, 2, 41, 5, 24, 60, 999])
    assert remap(label, RECIPES["sr_reg"].table).tolist() == [0, 2, 2, 0, 0, 28, 0]
    assert remap(np.array([1002, 2035, 7]), RECIPES["mindboggle"].table).tolist() == [1, 62, 0]


def test_a_release_with_a_layout_needs_no_patterns(tmp_path: Path) -> None:
    image, label = "OASIS_{}/aligned_norm.nii.gz", "OASIS_{}/aligned_seg35.nii.gz"
    fill(tmp_path / "data", 9, (1, 2, 35), image, label)
    content = make_datalist("oasis", str(tmp_path / "data"), str(tmp_path / "oasis.json"))
    assert [len(content[k]) for k in ("training", "validation", "test")] == [7, 1, 0] or len(content["training"]) == 7
    assert not [f for f in check_datalist(tmp_path / "oasis.json") if f.level == "error"]


def test_a_set_without_layout_takes_patterns_and_writes_its_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    fill(tmp_path / "data", 8, (1002, 2035, 17), "{}_t1.nii.gz", "{}_dkt.nii.gz")
    datalist_command(
        str(tmp_path / "m.json"),
        make="mindboggle",
        folder=str(tmp_path / "data"),
        images={"t1": "*_t1.nii.gz"},
        label="*_dkt.nii.gz",
    )
    assert "usable" in capsys.readouterr().out
    content = read_datalist(tmp_path / "m.json")
    assert len(content["training"]) == 5 and len(content["test"]) == 6  # all ordered pairs of three
    written = nibabel.load(content["training"][0]["label"])
    assert set(np.unique(np.asanyarray(written.dataobj))) <= {0, 1, 62}


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a data set among"):
        make_datalist("acdc", str(tmp_path), "x.json")
    with pytest.raises(InputError, match="no fixed layout: give a glob pattern"):
        make_datalist("lpba40", str(tmp_path), "x.json")
    with pytest.raises(InputError, match=r"expected files like OASIS_\*"):
        make_datalist("oasis", str(tmp_path), "x.json")
    fill(tmp_path, 4, (21,), "{}_t1.nii.gz", "{}_l.nii.gz")
    (tmp_path / "3_l.nii.gz").unlink()
    with pytest.raises(InputError, match="one file of each kind a subject"):
        make_datalist("lpba40", str(tmp_path), "x.json", {"t1": "*_t1.nii.gz"}, "*_l.nii.gz")
    (tmp_path / "3_t1.nii.gz").unlink()
    (tmp_path / "2_t1.nii.gz").unlink()
    (tmp_path / "2_l.nii.gz").unlink()
    with pytest.raises(InputError, match="at least 3 subjects, found 2"):
        make_datalist("lpba40", str(tmp_path), "x.json", {"t1": "*_t1.nii.gz"}, "*_l.nii.gz")
