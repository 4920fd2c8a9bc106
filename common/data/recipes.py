"""Datalists of the public data sets that the papers used, made from a folder that the user has fetched.

Nothing is downloaded. A recipe knows the splits and the structures of a paper, and the file layout where the public
release has one; files are found by glob patterns, so that another layout needs two options and no code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from common.data.label_sets import find_label_set
from common.data.preparation import Preparation, prepare
from common.errors import InputError
from common.writing import save_json

PAIRS = ("disjoint", "ordered", "atlas")


@dataclass(frozen=True)
class Recipe:
    """What a paper says about a data set.

    Attributes:
        labels: name of the structures that count, see ``LABEL_SETS``.
        split: numbers of training, validation and test subjects, in the order of the sorted names.
        images: modality -> glob pattern below the folder; empty where the release has no fixed layout.
        label: glob pattern of the label maps.
        parts: section -> words, one of which is in the path of its subjects' files, where a paper splits by site.
        pairs: ``disjoint``: two subjects each, shuffled as MambaMorph's test script does. ``ordered``: all of two
            subjects. ``atlas``: every subject to the first one.
        moving: modality of the moving image.
        fixed: modality of the fixed image.
    """

    labels: str
    split: tuple[int, int, int]
    images: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pairs: str = "disjoint"
    moving: str = "t1"
    fixed: str = "t1"


RECIPES: dict[str, Recipe] = {
    # Folders and names as the authors' scripts read them.
    "sr_reg": Recipe(
        "freesurfer_16",
        (150, 10, 20),
        {"t1": "volumes*/*_mr.nii.gz", "ct": "volumes*/*_ct.nii.gz"},
        "seg*/*.nii.gz",
        fixed="ct",
    ),
    "ixi": Recipe("freesurfer_16", (427, 50, 100), fixed="t2"),
    # neurite's release: one folder a subject, aligned and skull-stripped. CAMLMorph's split of 450 is not known.
    "oasis": Recipe(
        "oasis_28",
        (351, 50, 49),
        {"t1": "OASIS_*/aligned_norm.nii.gz"},
        "OASIS_*/aligned_seg35.nii.gz",
        pairs="atlas",
    ),
    "lpba40": Recipe("lpba40_54", (30, 0, 10), pairs="ordered"),
    "mindboggle": Recipe(
        "mindboggle_62",
        (42, 0, 20),
        parts={"training": ("NKI-RS-22", "NKI-TRT-20"), "test": ("OASIS-TRT-20",)},
        pairs="ordered",
    ),
    # Learn2Reg's release.
    "abdomen_ct_ct": Recipe(
        "abdomen_13",
        (24, 0, 6),
        {"ct": "imagesTr/AbdomenCTCT_*.nii.gz"},
        "labelsTr/AbdomenCTCT_*.nii.gz",
        pairs="ordered",
        moving="ct",
        fixed="ct",
    ),
    # ViT-V-Net's own T1 images are in-house: FreeSurfer's aseg of whoever has others.
    "freesurfer_t1": Recipe("vit_v_net_28", (182, 26, 52), pairs="ordered"),
}


def make_datalist(
    dataset: str,
    folder: str,
    output: str,
    images: Mapping[str, str] | None = None,
    label: str = "",
    *,
    labels: str = "",
    pairs: str = "",
    split: Sequence[int] | None = None,
    preparation: Preparation | None = None,
) -> dict[str, Any]:
    """Write the datalist of a public data set that lies in ``folder``.

    Args:
        dataset: a key of ``RECIPES``.
        folder: where the user has put the files.
        output: the JSON file; what is prepared goes to the folder ``<output without .json>_files`` beside it.
        images: modality -> glob pattern, instead of the recipe's.
        label: glob pattern of the label maps, instead of the recipe's.
        labels: name of a label set, instead of the recipe's.
        pairs: one of ``PAIRS``, instead of the recipe's.
        split: numbers of training, validation and test subjects, instead of the recipe's.
        preparation: what is done to the volumes; label values are always brought to those of the label set.

    Returns:
        What was written.

    Raises:
        InputError: unknown data set, label set or pairs, or files are missing.
    """
    if dataset not in RECIPES:
        raise InputError(f"expected a data set among {sorted(RECIPES)}, got {dataset!r}")
    recipe, target, source = RECIPES[dataset], Path(output).resolve(), Path(folder).resolve()
    if (pairs or recipe.pairs) not in PAIRS:
        raise InputError(f"pairs: expected one of {', '.join(PAIRS)}, got {pairs!r}")
    patterns = dict(images or recipe.images) or dict.fromkeys({recipe.moving: "", recipe.fixed: ""}, "")
    subjects = _subjects(source, patterns, label or recipe.label, (preparation or Preparation()).masks)
    sections = _sections(subjects, recipe, tuple(split or recipe.split), source)
    chosen = find_label_set(labels or recipe.labels)
    done = prepare(subjects, chosen.table, preparation or Preparation(), target.parent / f"{target.stem}_files")
    rows = {name: [done[n] for n in members] for name, members in sections.items()}
    how, sides = pairs or recipe.pairs, (recipe.moving, recipe.fixed)
    atlas = (rows["training"] or rows["test"])[0]
    content = {
        "name": dataset,
        "labels": {"0": "background", **{str(value): name for value, name in chosen.names.items()}},
        "training": rows["training"],
        "validation": _pairs(rows["validation"] or rows["test"], how, sides, atlas),
        "test": _pairs(rows["test"], how, sides, atlas),
    }
    save_json(content, target)
    return content


def _find(folder: Path, pattern: str, what: str) -> list[Path]:
    if not pattern:
        raise InputError(f"this data set has no fixed layout: give a glob pattern for {what}, such as '*/t1.nii.gz'")
    found = sorted(folder.glob(pattern))
    if not found:
        raise InputError(f"{folder}: expected files like {pattern} for {what}, found none")
    return found


def _subjects(folder: Path, images: Mapping[str, str], label: str, masks: Sequence[str]) -> list[dict[str, Path]]:
    patterns = {**images, "label": label, **{f"mask{n}": mask for n, mask in enumerate(masks)}}
    columns = {name: _find(folder, pattern, name) for name, pattern in patterns.items()}
    counts = {name: len(paths) for name, paths in columns.items()}
    if len(set(counts.values())) != 1:
        raise InputError(f"{folder}: expected one file of each kind a subject, found {counts}")
    if len(columns["label"]) < 3:
        raise InputError(f"{folder}: expected at least 3 subjects, found {len(columns['label'])}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _sections(
    subjects: Sequence[Mapping[str, Path]], recipe: Recipe, split: tuple[int, ...], folder: Path
) -> dict[str, list[int]]:
    """Numbers of the subjects of each section."""
    if recipe.parts and split == recipe.split:
        names = [subject["label"].relative_to(folder).as_posix() for subject in subjects]
        found = {
            s: [n for n, name in enumerate(names) if any(w in name for w in words)] for s, words in recipe.parts.items()
        }
        if all(found.values()):
            return {"validation": [], **found}
    first, second = _split_sizes(split, len(subjects))
    numbers = list(range(len(subjects)))
    return {"training": numbers[:first], "validation": numbers[first:second], "test": numbers[second:]}


def _split_sizes(split: Sequence[int], count: int) -> tuple[int, int]:
    """Return the ends of training and validation; another number of subjects is split in the same proportion."""
    if len(split) != 3 or min(split) < 0 or sum(split) == 0:
        raise InputError(f"split: expected numbers of training, validation and test subjects, got {list(split)}")
    first = round(count * split[0] / sum(split))
    second = first + round(count * split[1] / sum(split))
    if split[0]:
        first = max(1, first)
    return (first, max(first, min(count - 1, second))) if split[2] else (first, second)


def _pairs(
    subjects: Sequence[Mapping[str, str]], how: str, sides: tuple[str, str], atlas: Mapping[str, str]
) -> list[dict[str, str]]:
    moving, fixed = sides
    chosen: Any = permutations(subjects, 2)
    if how == "atlas":
        chosen = [(subject, atlas) for subject in subjects if subject is not atlas]
    elif how == "disjoint":
        order = np.random.RandomState(0).permutation(len(subjects))  # as MambaMorph's test script draws its pairs
        chosen = [(subjects[a], subjects[b]) for a, b in zip(order[::2], order[1::2], strict=False)]
    return [
        {
            "moving": first[moving],
            "fixed": second[fixed],
            "moving_label": first["label"],
            "fixed_label": second["label"],
            "kind": f"{moving}-{fixed}",
        }
        for first, second in chosen
    ]
