"""Datalists of the public data sets that the papers used, made from a folder that the user has fetched.

Nothing is downloaded. A recipe knows the split sizes and the label table of a paper, and the file layout where the
public release has one; files are found by glob patterns, so that another layout needs two options and no code.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError
from common.images import read_volume, save_volume
from common.writing import save_json

_LPBA40 = [*range(21, 35), *range(41, 51), *range(61, 69), *range(81, 93), 101, 102, 121, 122, *range(161, 167)]
_DKT = [n + side for side in (1000, 2000) for n in (2, 3, *range(5, 32), 34, 35)]
_MERGED = {41: 2, 42: 3, 43: 4, 46: 7, 47: 8, 49: 10, 50: 11, 51: 12, 52: 13, 53: 17, 54: 18, 58: 26, 60: 28}
_SIXTEEN = (2, 3, 4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 26, 28)
_FREESURFER = {
    2: "white matter",
    3: "cortex",
    4: "lateral ventricle",
    7: "cerebellar white matter",
    8: "cerebellar cortex",
    10: "thalamus",
    11: "caudate",
    12: "putamen",
    13: "pallidum",
    14: "3rd ventricle",
    15: "4th ventricle",
    16: "brain stem",
    17: "hippocampus",
    18: "amygdala",
    26: "accumbens",
    28: "ventral diencephalon",
}
_ABDOMEN = (
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "oesophagus",
    "liver",
    "stomach",
    "aorta",
    "inferior vena cava",
    "portal and splenic vein",
    "pancreas",
    "adrenal gland (12)",
    "adrenal gland (13)",
)


@dataclass(frozen=True)
class Recipe:
    """What a paper says about a data set.

    Attributes:
        images: modality -> glob pattern below the folder; empty where the release has no fixed layout.
        label: glob pattern of the label maps.
        labels: value -> name of the structures that count, after ``table``.
        table: source value -> value; other values become 0. Empty: the files are used as they are.
        split: numbers of training, validation and test subjects, in the order of the sorted names.
        all_pairs: test every ordered pair (LPBA40, Mindboggle) instead of disjoint ones.
        moving: modality of the moving image.
        fixed: modality of the fixed image.
    """

    labels: Mapping[int, str]
    split: tuple[int, int, int]
    images: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    table: Mapping[int, int] = field(default_factory=dict)
    all_pairs: bool = False
    moving: str = "t1"
    fixed: str = "t1"


_SIXTEEN_TABLE = {**{n: n for n in _SIXTEEN}, **_MERGED}
_SIXTEEN_NAMES = {n: _FREESURFER[n] for n in _SIXTEEN}
RECIPES: dict[str, Recipe] = {
    # MambaMorph and VMambaMorph: sides merged to 16 regions (which ones is inferred; the paper gives the number).
    "sr_reg": Recipe(_SIXTEEN_NAMES, (150, 10, 20), table=_SIXTEEN_TABLE, fixed="ct"),
    "ixi": Recipe(_SIXTEEN_NAMES, (427, 50, 100), table=_SIXTEEN_TABLE, fixed="t2"),
    # The release of neurite: one folder a subject, 35 structures, aligned and skull-stripped.
    "oasis": Recipe(
        {n: f"structure {n}" for n in range(1, 36)},
        (351, 50, 49),
        images={"t1": "OASIS_*/aligned_norm.nii.gz"},
        label="OASIS_*/aligned_seg35.nii.gz",
    ),
    # PSMamba-Net: 54 regions, cerebellum (181) and brain stem (182) left out.
    "lpba40": Recipe({n: f"LPBA {n}" for n in _LPBA40}, (30, 0, 10), all_pairs=True),
    # 62 cortical regions of the DKT protocol, numbered 1..62 because the files' numbers need 16 bits.
    "mindboggle": Recipe(
        {i + 1: f"DKT {n}" for i, n in enumerate(_DKT)},
        (42, 0, 20),
        table={n: i + 1 for i, n in enumerate(_DKT)},
        all_pairs=True,
    ),
    # Learn2Reg's release.
    "abdomen_ct_ct": Recipe(
        {i + 1: name for i, name in enumerate(_ABDOMEN)},
        (24, 0, 6),
        images={"ct": "imagesTr/AbdomenCTCT_*.nii.gz"},
        label="labelsTr/AbdomenCTCT_*.nii.gz",
        all_pairs=True,
        moving="ct",
        fixed="ct",
    ),
}


def remap(label: np.ndarray, table: Mapping[int, int]) -> np.ndarray:
    """Replace label values by ``table``; values that it does not name become 0. Returns uint8."""
    values = np.round(np.asarray(label)).astype(np.int64)
    look_up = np.zeros(max(int(values.max()), *table) + 1, np.uint8)
    for source, target in table.items():
        look_up[source] = target
    return look_up[np.clip(values, 0, None)]


def _find(folder: Path, pattern: str, what: str) -> list[Path]:
    if not pattern:
        raise InputError(f"this data set has no fixed layout: give a glob pattern for {what}, such as '*/t1.nii.gz'")
    found = sorted(folder.glob(pattern))
    if not found:
        raise InputError(f"{folder}: expected files like {pattern} for {what}, found none")
    return found


def _subjects(folder: Path, images: Mapping[str, str], label: str) -> list[dict[str, Any]]:
    columns = {name: _find(folder, pattern, name) for name, pattern in images.items()}
    columns["label"] = _find(folder, label, "label")
    counts = {name: len(paths) for name, paths in columns.items()}
    if len(set(counts.values())) != 1:
        raise InputError(f"{folder}: expected one file of each kind a subject, found {counts}")
    rows = zip(*columns.values(), strict=True)
    return [{"id": f"s{number:03d}", **dict(zip(columns, row, strict=True))} for number, row in enumerate(rows, 1)]


def _pairs(subjects: list[dict[str, Any]], recipe: Recipe) -> list[dict[str, str]]:
    chosen = permutations(subjects, 2) if recipe.all_pairs else zip(subjects[::2], subjects[1::2], strict=False)
    return [
        {
            "moving": first[recipe.moving],
            "fixed": second[recipe.fixed],
            "moving_label": first["label"],
            "fixed_label": second["label"],
            "kind": f"{recipe.moving}-{recipe.fixed}",
        }
        for first, second in chosen
    ]


def make_datalist(
    dataset: str, folder: str, output: str, images: Mapping[str, str] | None = None, label: str = ""
) -> dict[str, Any]:
    """Write the datalist of a public data set that lies in ``folder``.

    Args:
        dataset: a key of ``RECIPES``.
        folder: where the user has put the files.
        output: the JSON file; remapped labels go to the folder ``<output without .json>_labels`` beside it.
        images: modality -> glob pattern, instead of the recipe's.
        label: glob pattern of the label maps, instead of the recipe's.

    Returns:
        What was written.

    Raises:
        InputError: unknown data set, or files are missing.
    """
    if dataset not in RECIPES:
        raise InputError(f"expected a data set among {sorted(RECIPES)}, got {dataset!r}")
    recipe, target = RECIPES[dataset], Path(output).resolve()
    patterns = dict(images or recipe.images) or dict.fromkeys({recipe.moving: "", recipe.fixed: ""}, "")
    subjects = _subjects(Path(folder).resolve(), patterns, label or recipe.label)
    if len(subjects) < 3:
        raise InputError(f"{folder}: expected at least 3 subjects, found {len(subjects)}")
    if recipe.table:
        _write_remapped(subjects, recipe.table, target.parent / f"{target.stem}_labels")
    rows = [{key: str(value) for key, value in subject.items()} for subject in subjects]
    first, second = _split_sizes(recipe.split, len(rows))
    content = {
        "name": dataset,
        "labels": {"0": "background", **{str(value): name for value, name in recipe.labels.items()}},
        "training": rows[:first],
        "validation": _pairs(rows[first:second] or rows[:2], recipe),
        "test": _pairs(rows[second:], recipe),
    }
    save_json(content, target)
    return content


def _split_sizes(split: tuple[int, int, int], count: int) -> tuple[int, int]:
    """Return the ends of training and validation; another number of subjects is split in the same proportion."""
    total = sum(split)
    first = max(1, round(count * split[0] / total))
    return first, min(count - 1, first + round(count * split[1] / total))


def _write_remapped(subjects: list[dict[str, Any]], table: Mapping[int, int], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for subject in subjects:
        source = read_volume(subject["label"], "label")
        name = re.sub(r"\W", "_", subject["id"])
        subject["label"] = folder / f"{name}.nii.gz"
        save_volume(remap(source.voxels, table), source.affine, subject["label"], np.uint8)
