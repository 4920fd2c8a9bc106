"""Datalists: one JSON file that names the volumes of a data set, in the manner of Learn2Reg."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import InputError
from common.switches import expanded


class Section(NamedTuple):
    """What one section of a datalist holds, and for what."""

    items: str
    purpose: str


#: Every section that is read. A subject has an ``id`` and a file for each modality, a pair ``moving`` and ``fixed``.
SECTIONS = {
    "training": Section("subjects", "the weights are fitted to pairs that are drawn from them"),
    "test": Section("pairs", "registered by inference.json; scored by evaluate.json where it is asked for"),
    "validation": Section("pairs", "scored during training and by evaluate.json"),
    "pairs": Section("pairs", "to be registered; a file that is a bare list has this section alone"),
    "registration_test": Section("pairs", "Learn2Reg's name for test"),
    "registration_val": Section("pairs", "Learn2Reg's name for validation"),
}
#: Sections of pairs; where none is asked for, the first one that has any.
PAIR_SECTIONS = tuple(name for name, section in SECTIONS.items() if section.items == "pairs")
_SUFFIXES = (".nii", ".nii.gz", ".mha", ".nrrd", ".csv", ".txt")


def read_datalist(path: str | Path) -> dict[str, Any]:
    """Read a datalist; a bare list becomes the section ``pairs``.

    Raises:
        InputError: the file is missing, is no JSON, or holds something else.
    """
    try:
        content = json.loads(expanded(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"datalist {path}: expected a JSON file, got: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"datalist {path}: expected a JSON file, got text that is no JSON ({error})") from error
    if isinstance(content, list):
        return {"pairs": content}
    if not isinstance(content, dict):
        raise InputError(
            f"datalist {path}: expected a JSON object with {', '.join(SECTIONS)}, or a list of pairs, "
            f"got {type(content).__name__}"
        )
    return content


def read_section(path: str | Path, section: str | None = None) -> list[Any]:
    """Items of one section of a datalist, unchecked.

    Args:
        path: the JSON file.
        section: name of the section; without it the first of ``PAIR_SECTIONS`` that holds pairs.

    Raises:
        InputError: as ``read_datalist``, or there is no such section, or it is empty.
    """
    content = read_datalist(path)
    names = (section,) if section else PAIR_SECTIONS
    lists = [content[name] for name in names if isinstance(content.get(name), list)]
    if not lists:
        raise InputError(f"datalist {path}: expected a list under {' or '.join(names)}, got {sorted(content)}")
    lists = [items for items in lists if items]
    if not lists:
        raise InputError(f"datalist {path}: expected at least one item under {' or '.join(names)}, got an empty list")
    # Learn2Reg's "test" may list images, beside its pairs under "registration_test".
    return next((items for items in lists if isinstance(items[0], Mapping) and "fixed" in items[0]), lists[0])


def folder_of(datalist: str | Path) -> Path:
    """Return the folder at which relative names in a datalist start: that of the file, links followed."""
    return expanded(datalist).resolve().parent


def resolve(folder: Path, file: str | Path) -> Path:
    """Return the absolute path of a file that a datalist in ``folder`` names."""
    return (folder / expanded(file)).absolute()


def role_of(key: str) -> str:
    """Return what an item's key names: ``label``, ``mask``, ``keypoints`` or ``image``."""
    for role in ("label", "mask", "keypoints"):
        if key == role or key.endswith(f"_{role}"):
            return role
    return "image"


def file_entries(item: Mapping[str, Any]) -> dict[str, str]:
    """Return the entries of an item that name files, by key."""
    return {key: value for key, value in item.items() if isinstance(value, str) and value.lower().endswith(_SUFFIXES)}
