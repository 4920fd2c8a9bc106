"""Which pairs to register: two files, or a datalist of many, all looked at before the first one starts."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.data.datalist import folder_of, read_section, resolve
from common.errors import InputError
from common.images import read_field, read_header
from common.registration.finished import unfinished
from common.registration.keys import LABEL_KEYS, MASK_KEYS, PATH_KEYS
from common.registration.outputs import check_outputs
from common.registration.points import read_points
from common.registration.transform_files import read_affine
from common.registration.validate import check_headers
from common.switches import path_as_written

logger = logging.getLogger(__name__)


def registration_pairs(
    fixed: str | None = None,
    moving: str | None = None,
    datalist: str | Path | Sequence[Mapping[str, Any]] | None = None,
    *,
    fixed_label: str | None = None,
    moving_label: str | None = None,
    fixed_mask: str | None = None,
    moving_mask: str | None = None,
    fixed_exclude: str | None = None,
    moving_exclude: str | None = None,
    fixed_points: str | None = None,
    moving_points: str | None = None,
    true_field: str | None = None,
    initial: str | None = None,
    section: str | None = None,
    output_dir: str | Path | None = None,
    required: bool = True,
    require_overlap: bool = True,
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> list[dict[str, str]]:
    """List the pairs of a run and check the header of every file.

    Of a datalist, pairs whose files cannot be used are said aloud and stay in the list: they are reported again when
    the others are done (``PairEvaluator``).

    Args:
        fixed: path of the fixed image, for one pair.
        moving: path of the moving image, for one pair.
        datalist: for many pairs: a JSON file (see ``read_section``) of objects with ``fixed`` and ``moving``; relative
            paths start at the file's folder. Or such a list itself.
        fixed_label: label map of the fixed image, optional.
        moving_label: label map of the moving image, optional.
        fixed_mask: brain mask of the fixed image, used instead of an extraction; optional, as the rest.
        moving_mask: brain mask of the moving image.
        fixed_exclude: mask of what is not to count of the fixed image, such as a lesion.
        moving_exclude: the same of the moving image.
        fixed_points: points of the fixed image, one for each of ``moving_points``, for their distance.
        moving_points: points of the moving image, which are moved along.
        true_field: ITK displacement field that is known to be right, optional.
        initial: linear transform to start the alignment from, optional.
        section: the datalist's section; the first one with pairs without it.
        output_dir: where the results are going to be written; checked too where it is given.
        required: whether it is an error to name no pair; a configuration that is only looked at has none.
        require_overlap: whether the fields of view have to overlap; not where an alignment follows.
        resume: leave out the pairs that have results in ``output_dir``; the list may be empty then.
        settings: what makes the results now: those of other settings are none (``finished``).

    Returns:
        A dictionary of absolute paths a pair, without empty entries, and ``kind`` where given. Pairs of a datalist have
        a unique ``name``, that of their results' subfolder: their own ``name`` or ``id``, else ``<moving>_to_<fixed>``.

    Raises:
        InputError: nothing to do, no pair can be used, or a result would replace one or cannot have its name; the text
            names the first one.
    """
    if datalist:
        if fixed or moving:
            raise InputError("expected either a fixed and a moving image or a datalist, got both")
        pairs = listed_pairs(datalist, section)
    elif fixed and moving:
        further = {"fixed_label": fixed_label, "moving_label": moving_label, "true_field": true_field}
        further |= {"fixed_points": fixed_points, "moving_points": moving_points}
        masks = dict(zip(MASK_KEYS, (fixed_mask, moving_mask, fixed_exclude, moving_exclude), strict=True))
        pairs = [_with_paths({"fixed": fixed, "moving": moving, "initial": initial, **further, **masks}, Path.cwd())]
    elif not (required or fixed or moving):
        return []
    else:
        raise InputError(f"expected a fixed and a moving image, or a datalist, got fixed={fixed} and moving={moving}")
    if output_dir is not None:
        output_dir = path_as_written(output_dir)
        check_outputs(pairs, output_dir)
        pairs = unfinished(pairs, output_dir, settings) if resume else pairs
    _check_files(pairs, require_overlap)
    return pairs


def _check_files(pairs: Sequence[Mapping[str, str]], require_overlap: bool) -> None:
    """Say which pairs cannot be used; raise what is wrong with the first where none can."""
    wrong: list[InputError] = []
    for pair in pairs:
        try:
            check_pair_files(pair, require_overlap)
        except InputError as error:
            wrong.append(error)
    if wrong and len(wrong) == len(pairs):
        raise wrong[0]
    for one in wrong:
        logger.warning("a pair cannot be registered; the others are: %s", one)


def listed_pairs(
    datalist: str | Path | Sequence[Mapping[str, Any]], section: str | None = None
) -> list[dict[str, str]]:
    """The pairs of a datalist as ``registration_pairs`` gives them, none of their files looked at."""
    return _named(_entries(datalist, section))


def check_pair_files(pair: Mapping[str, str], require_overlap: bool = True) -> None:
    """Check what can be checked without reading voxels: headers and overlap of the fields of view.

    Raises:
        InputError: the first thing found wrong.
    """
    keys = [key for key in ("fixed", "moving", *LABEL_KEYS, *MASK_KEYS) if key in pair]
    headers = {key: read_header(pair[key], key, warn=False) for key in keys}
    if "initial" in pair:
        read_affine(pair["initial"])
    elif require_overlap:
        check_headers(headers["fixed"], headers["moving"])
    read_points(pair)
    if "true_field" in pair:
        read_field(pair["true_field"])


def _entries(datalist: str | Path | Sequence[Mapping[str, Any]], section: str | None) -> list[dict[str, str]]:
    if not isinstance(datalist, (str, Path)):
        return [_with_paths(entry, Path.cwd(), f"entry {n}") for n, entry in enumerate(datalist, 1)]
    folder, entries = folder_of(datalist), enumerate(read_section(datalist, section), 1)
    return [_with_paths(entry, folder, f"datalist {datalist}, entry {n}") for n, entry in entries]


def _with_paths(entry: Any, folder: Path, where: str = "the pair") -> dict[str, str]:
    """The entry's files as absolute paths, its name and kind; other keys are left out."""
    if not isinstance(entry, Mapping) or not entry.get("fixed") or not entry.get("moving"):
        raise InputError(f"{where}: expected an object with the paths 'fixed' and 'moving', got {entry!r}")
    out = {key: path_as_written(resolve(folder, entry[key])) for key in PATH_KEYS if entry.get(key)}
    name = entry.get("name") or entry.get("id")
    if name:
        if not str(name).strip(". ") or set(str(name)) & set("/\\\0"):
            raise InputError(f"{where}: expected a name that can be a folder's, got {name!r}")
        out["name"] = str(name)
    if entry.get("kind"):
        out["kind"] = str(entry["kind"])
    return out


def _named(pairs: list[dict[str, str]]) -> list[dict[str, str]]:
    """Give every pair a name that no other one has."""
    taken: set[str] = set()
    for pair in pairs:
        base = pair.get("name") or "_to_".join(_short(_stem(pair[role])) for role in ("moving", "fixed"))
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        pair["name"] = name
    return pairs


def _short(text: str, limit: int = 100) -> str:
    """As much of a text as has at most ``limit`` bytes."""
    return os.fsencode(text)[:limit].decode(errors="ignore")


def _stem(path: str) -> str:
    name = Path(path).name
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else Path(name).stem
