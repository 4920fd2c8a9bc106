"""Datalists of the papers' data sets, from a tiny tree of each layout."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from common.data.datalist import read_datalist
from common.data.datalist_check import check_datalist
from common.data.preparation import Preparation
from common.data.recipes import RECIPES, make_datalist
from common.errors import InputError
from common.training.grid import TrainingGrid
from common.training.volumes import load_pairs, load_subjects
from tools.datalist import datalist as datalist_command

SHAPE = (5, 6, 7)


def write(path: Path, values: np.ndarray, kind: type = np.float32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values.astype(kind), np.eye(4)), path)


def fill(folder: Path, names: list[str], values: tuple[int, ...], images: list[str], label: str) -> None:
    """A tree with a file of each kind a name; ``{}`` in the patterns is the name."""
    rng = np.random.default_rng(0)
    for name in names:
        for pattern in images:
            write(folder / pattern.format(name), rng.random(SHAPE))
        write(folder / label.format(name), rng.choice((0, *values), SHAPE), np.int16)


#: Data set -> (names, label values of a file, image patterns, label pattern, options, subjects, values after).
TREES: dict[str, tuple[Any, ...]] = {
    "sr_reg": (
        [f"1BA{n:03d}" for n in range(18)], (2, 41, 5, 24),
        ["volumes_center/{}_mr.nii.gz", "volumes_center/{}_ct.nii.gz"], "seg_center/{}.nii.gz", {}, (15, 1, 2), {0, 2},
    ),
    "ixi": (
        [f"IXI{n:03d}-Guys" for n in range(12)], (17, 53), ["{}-T1.nii.gz", "{}-T2.nii.gz"], "{}_synthseg.nii.gz",
        {"images": {"t1": "*T1*", "t2": "*T2*"}, "label": "*synthseg*"}, (9, 1, 2), {0, 17},
    ),
    "oasis": (
        [f"OASIS_OAS1_{n:04d}_MR1" for n in range(9)], (1, 4, 35),
        ["{}/aligned_norm.nii.gz"], "{}/aligned_seg35.nii.gz", {}, (7, 1, 1), {0, 2, 63},
    ),
    "lpba40": (
        [f"S{n:02d}" for n in range(1, 9)], (21, 166, 181, 182),
        ["{0}/{0}.native.brain.nii.gz"], "{0}/{0}.label.nii.gz",
        {"images": {"t1": "*/*brain*"}, "label": "*/*label*"}, (6, 0, 2), {0, 21, 166},
    ),
    "mindboggle": (
        ["OASIS-TRT-20-1", "OASIS-TRT-20-2", "NKI-RS-22-1", "NKI-TRT-20-1", "MMRR-21-1"], (1002, 2035, 17),
        ["{}/t1weighted_brain.nii.gz"], "{}/labels.DKT31.manual.nii.gz",
        {"images": {"t1": "*/t1*"}, "label": "*/*DKT31*"}, (2, 0, 2), {0, 1, 62},
    ),
    "abdomen_ct_ct": (
        [f"{n:04d}_0000" for n in range(1, 11)], (1, 13),
        ["imagesTr/AbdomenCTCT_{}.nii.gz"], "labelsTr/AbdomenCTCT_{}.nii.gz", {}, (8, 0, 2), {0, 1, 13},
    ),
    "freesurfer_t1": (
        [f"p{n:02d}" for n in range(10)], (2, 24, 77), ["{}/norm.nii.gz"], "{}/aseg.nii.gz",
        {"images": {"t1": "*/norm*"}, "label": "*/aseg*"}, (7, 1, 2), {0, 24},
    ),
}  # fmt: skip


@pytest.mark.parametrize("dataset", TREES)
def test_every_data_set_is_made_checked_and_loaded_from_a_tree_of_its_layout(dataset: str, tmp_path: Path) -> None:
    names, values, images, label, options, counts, expected = TREES[dataset]
    fill(tmp_path / "data", names, values, images, label)
    content = make_datalist(dataset, str(tmp_path / "data"), str(tmp_path / "list.json"), **options)
    ways = {"disjoint": lambda n: n // 2, "ordered": lambda n: n * (n - 1), "atlas": lambda n: n}
    pairs = ways[RECIPES[dataset].pairs]
    assert len(content["training"]) == counts[0] and len(content["test"]) == pairs(counts[2])
    assert len(content["validation"]) == pairs(counts[1] or counts[2])
    assert not [finding for finding in check_datalist(tmp_path / "list.json") if finding.level == "error"]
    assert set(np.unique(np.asanyarray(nibabel.load(content["training"][0]["label"]).dataobj))) == expected
    modalities = [key for key in content["training"][0] if key not in ("id", "label")]
    grid = TrainingGrid(1.0, None, multiple=16)
    assert len(load_subjects(str(tmp_path / "list.json"), modalities, grid)) == counts[0]
    assert len(load_pairs(str(tmp_path / "list.json"), grid, "test")) == pairs(counts[2])


@pytest.mark.parametrize(("dataset", "subjects", "training", "test"), [
    ("sr_reg", 180, 150, 10), ("ixi", 577, 427, 50), ("lpba40", 40, 30, 90), ("abdomen_ct_ct", 30, 24, 30),
    ("oasis", 450, 351, 49), ("freesurfer_t1", 260, 182, 52 * 51),
])  # fmt: skip
def test_splits_are_the_papers(
    dataset: str, subjects: int, training: int, test: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without files: what is read and written of them is stood in for."""
    monkeypatch.setattr("common.data.recipes._subjects", lambda *_: [{"label": Path(f"{n}")} for n in range(subjects)])
    sides = dict.fromkeys(("t1", "t2", "ct", "label"), "x")
    monkeypatch.setattr(
        "common.data.recipes.prepare", lambda rows, *_: [{"id": str(r["label"]), **sides} for r in rows]
    )
    content = make_datalist(dataset, "nowhere", str(tmp_path / "list.json"))
    assert (len(content["training"]), len(content["test"])) == (training, test)


def test_validation_is_never_on_training_subjects(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    names, values, _, _, options, _, _ = TREES["lpba40"]
    fill(tmp_path / "data", names, values, ["{0}/{0}.native.brain.nii.gz"], "{0}/{0}.label.nii.gz")
    datalist_command(str(tmp_path / "list.json"), make="lpba40", folder=str(tmp_path / "data"), **options)
    assert "validation holds the test pairs, as in the authors' code" in capsys.readouterr().out
    content = read_datalist(tmp_path / "list.json")
    seen = {item["label"] for item in content["training"]}
    assert seen.isdisjoint(pair[key] for pair in content["validation"] for key in ("moving_label", "fixed_label"))
    held = make_datalist("lpba40", str(tmp_path / "data"), str(tmp_path / "held.json"), **options, split=[4, 2, 2])
    parts = [{p["moving_label"] for p in held[section]} for section in ("validation", "test")]
    assert parts[0].isdisjoint(parts[1]) and len(held["training"]) == 4


def test_the_atlas_is_the_fixed_side_of_every_pair(tmp_path: Path) -> None:
    """CAMLMorph's test on LPBA40: 56 structures, S01 as the atlas, no training."""
    names, values, _, _, options, _, _ = TREES["lpba40"]
    fill(tmp_path / "data", names, values, ["{0}/{0}.native.brain.nii.gz"], "{0}/{0}.label.nii.gz")
    content = make_datalist(
        "lpba40", str(tmp_path / "data"), str(tmp_path / "list.json"), **options,
        labels="lpba40_56", pairs="atlas", split=[0, 0, 8],
    )  # fmt: skip
    assert content["training"] == [] and len(content["test"]) == 7 and len(content["labels"]) == 57
    assert {Path(pair["fixed"]).name for pair in content["test"]} == {"S01.native.brain.nii.gz"}


def test_test_pairs_are_drawn_as_mambamorph_s_script_does(tmp_path: Path) -> None:
    _, values, images, label, *_ = TREES["sr_reg"]
    fill(tmp_path / "data", [f"1BA{n:03d}" for n in range(10)], values, images, label)
    content = make_datalist("sr_reg", str(tmp_path / "data"), str(tmp_path / "list.json"), split=[0, 0, 10])
    found = [(Path(p["moving"]).name[3:6], Path(p["fixed"]).name[3:6]) for p in content["test"]]
    assert found == [("002", "008"), ("004", "009"), ("001", "006"), ("007", "003"), ("000", "005")]


def test_preparation_masks_cuts_crops_and_resizes(tmp_path: Path) -> None:
    names, _, images, label, _, _, _ = TREES["sr_reg"]
    fill(tmp_path / "data", names[:6], (2, 41), images, label)
    for name in names[:6]:
        for kind, end in (("mr", 4), ("ct", 3)):
            inside = np.broadcast_to(np.arange(5)[:, None, None] < end, SHAPE)
            write(tmp_path / "data" / "masks" / f"{name}_{kind}.nii.gz", inside, np.uint8)
    how = Preparation("masks/*_mr.nii.gz, masks/*_ct.nii.gz", {"ct": [0.2, 0.6]}, (3, 6, 6), (6, 6, 12))
    make_datalist("sr_reg", str(tmp_path / "data"), str(tmp_path / "list.json"), preparation=how)
    assert not [finding for finding in check_datalist(tmp_path / "list.json") if finding.level == "error"]
    item = read_datalist(tmp_path / "list.json")["training"][0]
    ct, seg = (nibabel.load(item[key]) for key in ("ct", "label"))
    assert ct.shape == seg.shape == (6, 6, 12) and np.array_equal(ct.affine, np.eye(4))
    values = np.asanyarray(ct.dataobj)
    assert values.min() == pytest.approx(0.2) and values.max() <= 0.6 + 1e-6
    cropped = Preparation(crop=(4, 8, 6))
    make_datalist("sr_reg", str(tmp_path / "data"), str(tmp_path / "cropped.json"), preparation=cropped)
    assert nibabel.load(read_datalist(tmp_path / "cropped.json")["training"][0]["t1"]).shape == (4, 8, 6)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a data set among"):
        make_datalist("acdc", str(tmp_path), "x.json")
    with pytest.raises(InputError, match="no fixed layout: give a glob pattern"):
        make_datalist("lpba40", str(tmp_path), "x.json")
    with pytest.raises(InputError, match=r"expected files like OASIS_\*"):
        make_datalist("oasis", str(tmp_path), "x.json")
    options: dict[str, Any] = {"images": {"t1": "*_t1.nii.gz"}, "label": "*_l.nii.gz"}
    fill(tmp_path, ["0", "1", "2", "3"], (21,), ["{}_t1.nii.gz"], "{}_l.nii.gz")
    for more, message in (
        ({"pairs": "all"}, "pairs: expected one of disjoint, ordered, atlas, got 'all'"),
        ({"labels": "lpba40_55"}, r"expected a label set among .*, got 'lpba40_55' \(did you mean lpba40_5"),
        ({"split": [3, 1]}, "split: expected numbers of training, validation and test subjects, got"),
    ):
        with pytest.raises(InputError, match=message):
            make_datalist("lpba40", str(tmp_path), str(tmp_path / "x.json"), **options, **more)
    with pytest.raises(InputError, match="resize: expected three numbers of voxels, got"):
        Preparation(resize=[128, 128])
    with pytest.raises(InputError, match="window of ct: expected the least and the greatest value, got"):
        Preparation(windows={"ct": [80, 0]})
    (tmp_path / "3_l.nii.gz").unlink()
    with pytest.raises(InputError, match="one file of each kind a subject"):
        make_datalist("lpba40", str(tmp_path), "x.json", **options)
    for name in ("3_t1", "2_t1", "2_l"):
        (tmp_path / f"{name}.nii.gz").unlink()
    with pytest.raises(InputError, match="at least 3 subjects, found 2"):
        make_datalist("lpba40", str(tmp_path), "x.json", **options)
