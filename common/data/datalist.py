"""Datalists: one JSON file that names the volumes of a data set, in the manner of Learn2Reg."""

import json
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
