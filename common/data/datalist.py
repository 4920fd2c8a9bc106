"""Datalists: one JSON file that names the volumes of a data set, in the manner of Learn2Reg."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import InputError


def read_datalist(path: str | Path) -> dict[str, Any]:
    """Read a datalist.

    Raises:
        InputError: the file is missing or is no JSON object.
    """
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: expected a readable JSON datalist, got: {error}") from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: expected a JSON object with training, validation or test, got {type(content).__name__}"
        )
    return content


def resolve(datalist: str | Path, file: str) -> Path:
    """Return the path of a file that a datalist names; relative names start at the datalist's folder."""
    return (Path(datalist).resolve().parent / file).resolve()


#: Sections whose items are looked at. Subjects for training, pairs for validation and test, images without labels.
SECTIONS = ("training", "validation", "test", "unlabelled")
_SUFFIXES = (".nii", ".nii.gz", ".mha", ".nrrd", ".csv", ".txt")


def role_of(key: str) -> str:
    """Return what an item's key names: ``label``, ``mask``, ``keypoints`` or ``image``."""
    for role in ("label", "mask", "keypoints"):
        if key == role or key.endswith(f"_{role}"):
            return role
    return "image"


def file_entries(item: Mapping[str, Any]) -> dict[str, str]:
    """Return the entries of an item that name files, by key."""
    return {key: value for key, value in item.items() if isinstance(value, str) and value.lower().endswith(_SUFFIXES)}
