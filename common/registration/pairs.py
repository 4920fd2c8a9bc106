"""Which pairs to register: two files, or a datalist of many, all looked at before the first one starts."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.images import read_field, read_header
from common.registration.load import LABEL_KEYS
from common.registration.validate import check_headers

#: Sections of a datalist that may hold pairs, the first one found counts (Learn2Reg's names among them).
SECTIONS = ("test", "validation", "pairs", "registration_test", "registration_val")
#: Keys of a pair that hold paths.
PATH_KEYS = ("fixed", "moving", *LABEL_KEYS, "true_field")


def registration_pairs(
    fixed: str | None = None,
    moving: str | None = None,
    datalist: str | Path | Sequence[Mapping[str, Any]] | None = None,
    *,
    fixed_label: str | None = None,
    moving_label: str | None = None,
    true_field: str | None = None,
    section: str | None = None,
    required: bool = True,
) -> list[dict[str, str]]:
    """List the pairs of a run and check the header of every file.

    Args:
        fixed: path of the fixed image, for one pair.
        moving: path of the moving image, for one pair.
        datalist: for many pairs: a JSON file, a list of objects with ``fixed`` and ``moving`` or an object that holds
            such a list in one of ``SECTIONS``; relative paths start at the file's folder. Or the list itself.
        fixed_label: label map of the fixed image, optional.
        moving_label: label map of the moving image, optional.
        true_field: ITK displacement field that is known to be right, optional.
        section: the datalist's section; the first one found without it.
        required: whether it is an error to name no pair; a configuration that is only looked at has none.

    Returns:
        A dictionary of absolute paths a pair, without empty entries. Pairs of a datalist have a unique ``name``, that
        of their results' subfolder: their own ``name`` or ``id``, else ``<moving>_to_<fixed>``.

    Raises:
        InputError: nothing to do, or any file of any pair cannot be used; the text names the first one.
    """
    if datalist:
        if fixed or moving:
            raise InputError("expected either a fixed and a moving image or a datalist, got both")
        pairs = _named(_entries(datalist, section))
    elif fixed and moving:
        labels = {"fixed_label": fixed_label, "moving_label": moving_label, "true_field": true_field}
        pairs = [_absolute({"fixed": fixed, "moving": moving, **labels}, Path.cwd())]
    elif not (required or fixed or moving):
        return []
    else:
        raise InputError(f"expected a fixed and a moving image, or a datalist, got fixed={fixed} and moving={moving}")
    for pair in pairs:
        check_pair(pair)
    return pairs


def check_pair(pair: Mapping[str, str]) -> None:
    """Check what can be checked without reading voxels: headers, overlap of the fields of view, label grids.

    Raises:
        InputError: the first thing found wrong.
    """
    headers = {key: read_header(pair[key], key) for key in ("fixed", "moving", *LABEL_KEYS) if key in pair}
    check_headers(headers["fixed"], headers["moving"])
    for key in LABEL_KEYS:
        image = headers[key.removesuffix("_label")]
        if key in headers and headers[key].grid.shape != image.grid.shape:
            raise InputError(
                f"{key} image {pair[key]}: expected the shape of {image.path}, {image.grid.shape}, "
                f"got {headers[key].grid.shape}"
            )
    if "true_field" in pair:
        read_field(pair["true_field"])


def _entries(datalist: str | Path | Sequence[Mapping[str, Any]], section: str | None) -> list[dict[str, str]]:
    if not isinstance(datalist, (str, Path)):
        return [_absolute(entry, Path.cwd(), "the datalist") for entry in datalist]
    path = Path(datalist).expanduser()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"datalist {path}: expected a JSON file, got {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"datalist {path}: expected a JSON file, got text that is no JSON ({error})") from error
    found = _section(content, section, path)
    if not found:
        raise InputError(f"datalist {path}: expected at least one pair, got an empty list")
    return [_absolute(entry, path.resolve().parent, f"datalist {path}, entry {n}") for n, entry in enumerate(found, 1)]


def _section(content: Any, section: str | None, path: Path) -> list[Any]:
    if isinstance(content, dict):
        names = (section,) if section else SECTIONS
        content = next((content[name] for name in names if isinstance(content.get(name), list)), None)
        if content is None:
            raise InputError(f"datalist {path}: expected a list of pairs under {' or '.join(names)}, got none")
    if not isinstance(content, list):
        raise InputError(f"datalist {path}: expected a list of pairs, got {type(content).__name__}")
    return content


def _absolute(entry: Any, folder: Path, where: str = "the pair") -> dict[str, str]:
    if not isinstance(entry, Mapping) or not entry.get("fixed") or not entry.get("moving"):
        raise InputError(f"{where}: expected an object with the paths 'fixed' and 'moving', got {entry!r}")
    out = {k: str((folder / Path(str(entry[k])).expanduser()).absolute()) for k in PATH_KEYS if entry.get(k)}
    name = entry.get("name") or entry.get("id")
    if name:
        if not str(name).strip(". ") or set(str(name)) & set("/\\\0"):
            raise InputError(f"{where}: expected a name that can be a folder's, got {name!r}")
        out["name"] = str(name)
    return out


def _named(pairs: list[dict[str, str]]) -> list[dict[str, str]]:
    """Give every pair a name that no other one has."""
    taken: set[str] = set()
    for pair in pairs:
        base = pair.get("name") or f"{_stem(pair['moving'])}_to_{_stem(pair['fixed'])}"
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        pair["name"] = name
    return pairs


def _stem(path: str) -> str:
    name = Path(path).name
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else Path(name).stem
