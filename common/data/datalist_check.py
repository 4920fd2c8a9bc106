"""Say everything that is wrong with a datalist before a long run starts: files, grids, labels, points, leaks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from common.data.datalist import SECTIONS, file_entries, read_datalist, resolve, role_of
from common.errors import InputError


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (``error``) or odd (``warning``) with a datalist."""

    level: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.text}"


@dataclass
class _Volume:
    shape: tuple[int, ...]
    affine: np.ndarray
    values: set[int] | None


def check_datalist(path: str | Path, read_voxels: bool = True) -> list[Finding]:
    """Check a datalist and every file that it names.

    Args:
        path: JSON file with ``training``, ``validation``, ``test`` or ``unlabelled`` items; an item is a subject (an
            ``id`` and a file for each modality) or a pair (``moving``, ``fixed``, their labels, masks, keypoints).
        read_voxels: also read the voxels: finite, not constant, label values. Headers alone are much faster.

    Returns:
        The findings, errors first; none means that training can start.
    """
    try:
        content = read_datalist(path)
    except InputError as error:
        return [Finding("error", str(path), str(error))]
    findings: list[Finding] = []
    present = [section for section in SECTIONS if content.get(section)]
    if not present:
        return [Finding("error", str(path), f"expected items under one of {list(SECTIONS)}, got {sorted(content)}")]
    known = {int(value) for value in content.get("labels", {}) if str(value).lstrip("-").isdigit()}
    for section in present:
        for number, item in enumerate(content[section]):
            where = f"{section}[{number}]"
            if not isinstance(item, Mapping):
                findings.append(Finding("error", where, f"expected an object, got {type(item).__name__}"))
                continue
            findings.extend(_check_item(path, section, where, item, known, read_voxels))
    findings.extend(_check_leaks(path, content))
    findings.extend(_check_counts(content))
    return sorted(findings, key=lambda finding: finding.level)


def _check_item(
    path: str | Path, section: str, where: str, item: Mapping[str, Any], known: set[int], read_voxels: bool
) -> Iterator[Finding]:
    entries = file_entries(item)
    roles = {role_of(key) for key in entries}
    if "image" not in roles:
        yield Finding("error", where, f"expected image files, got the keys {sorted(item)}")
        return
    if ("moving" in item) != ("fixed" in item):
        yield Finding("error", where, "a pair expects both moving and fixed, got one of them")
    if section in ("validation", "test") and "fixed" not in item:
        yield Finding("error", where, f"{section} expects pairs with moving and fixed, got the keys {sorted(item)}")
    volumes: dict[str, _Volume] = {}
    for key, file in entries.items():
        target = resolve(path, file)
        if role_of(key) == "keypoints":
            yield from _check_points(where, key, target)
            continue
        found = _read(target, role_of(key), read_voxels)
        if isinstance(found, str):
            yield Finding("error", where, f"{key}: {target}: {found}")
        else:
            volumes[key] = found
    yield from _check_grids(where, volumes)
    yield from _check_labels(where, volumes, known)
    yield from _check_point_counts(path, where, entries)


def _read(path: Path, role: str, read_voxels: bool) -> _Volume | str:
    if not path.is_file():
        return "the file does not exist"
    try:
        image: Any = nibabel.load(path)
        affine, shape = np.asarray(image.affine, dtype=float), tuple(image.shape)
        voxels = np.asanyarray(image.dataobj) if read_voxels else None
    except Exception as error:
        return f"expected a readable volume, got: {error}"
    if len(shape) != 3:
        return f"expected a 3-D volume, got shape {shape}"
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        return "the affine is singular or not finite"
    if voxels is None:
        return _Volume(shape, affine, None)
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        return "the voxels hold NaN or infinity"
    if float(voxels.min()) == float(voxels.max()):
        return f"every voxel is {float(voxels.min()):g}"
    if role == "image":
        return _Volume(shape, affine, None)
    if np.any(voxels != np.round(voxels)):
        return f"a {role} holds whole numbers, got fractions"
    return _Volume(shape, affine, {int(v) for v in np.unique(voxels)})


def _check_grids(where: str, volumes: Mapping[str, _Volume]) -> Iterator[Finding]:
    sides = ("moving", "fixed") if {"moving", "fixed"} & set(volumes) else ("",)
    for side in sides:
        mine = {key: v for key, v in volumes.items() if key.startswith(side)}
        for key, volume in list(mine.items())[1:]:
            first, reference = next(iter(mine.items()))
            if volume.shape != reference.shape:
                yield Finding("error", where, f"{key} has shape {volume.shape}, {first} has {reference.shape}")
            elif not np.allclose(volume.affine, reference.affine, atol=1e-3):
                yield Finding("error", where, f"{key} and {first} have different affines")


def _check_labels(where: str, volumes: Mapping[str, _Volume], known: set[int]) -> Iterator[Finding]:
    for key, volume in volumes.items():
        if volume.values is None:
            continue
        if role_of(key) == "mask" and not volume.values <= {0, 1}:
            yield Finding("error", where, f"{key}: a mask holds 0 and 1, got {sorted(volume.values)[:8]}")
        if role_of(key) == "label" and known and volume.values - known - {0}:
            extra = sorted(volume.values - known - {0})
            yield Finding("error", where, f"{key} holds the values {extra[:8]}, which the list's labels do not name")
    first, second = volumes.get("moving_label"), volumes.get("fixed_label")
    if first and second and first.values is not None and second.values is not None and first.values != second.values:
        odd = sorted(first.values ^ second.values)
        yield Finding("warning", where, f"the labels {odd[:8]} are in one of moving_label and fixed_label only")


def read_points(path: Path) -> np.ndarray:
    """Read keypoints: a text table of three numbers a row (comma or blank), optional heading; returns (N, 3)."""
    rows = [line.replace(",", " ").split() for line in path.read_text().splitlines() if line.strip()]
    if rows and any(not _is_number(cell) for cell in rows[0]):
        rows = rows[1:]
    table = np.array(rows, dtype=float)
    if table.ndim != 2 or table.shape[1] != 3:
        raise ValueError(f"expected rows of three numbers, got a table of shape {table.shape}")
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_points(where: str, key: str, path: Path) -> Iterator[Finding]:
    try:
        points = read_points(path)
        if not np.isfinite(points).all():
            yield Finding("error", where, f"{key}: {path}: the points hold NaN or infinity")
    except (OSError, ValueError) as error:
        yield Finding("error", where, f"{key}: {path}: expected a table of points, got: {error}")


def _check_point_counts(path: str | Path, where: str, entries: Mapping[str, str]) -> Iterator[Finding]:
    keys = ("moving_keypoints", "fixed_keypoints")
    if (keys[0] in entries) != (keys[1] in entries):
        yield Finding("error", where, "keypoints are needed for both sides, got one of them")
    elif keys[0] in entries:
        try:
            counts = [len(read_points(resolve(path, entries[key]))) for key in keys]
        except (OSError, ValueError):
            return  # said already
        if counts[0] != counts[1]:
            yield Finding(
                "error", where, f"expected as many moving as fixed keypoints, got {counts[0]} and {counts[1]}"
            )


def _check_leaks(path: str | Path, content: Mapping[str, Any]) -> Iterator[Finding]:
    files = {
        section: {
            str(resolve(path, file))
            for item in content.get(section) or []
            if isinstance(item, Mapping)
            for file in file_entries(item).values()
        }
        for section in ("training", "validation", "test")
    }
    for first, second in (("training", "validation"), ("training", "test"), ("validation", "test")):
        shared = sorted(files[first] & files[second])
        if shared:
            yield Finding("warning", f"{first} and {second}", f"{len(shared)} files are in both, such as {shared[0]}")


def _check_counts(content: Mapping[str, Any]) -> Iterator[Finding]:
    for section in SECTIONS:
        stated = content.get(f"num{section.capitalize()}")
        if stated is not None and stated != len(content.get(section) or []):
            yield Finding(
                "warning",
                section,
                f"num{section.capitalize()} says {stated}, there are {len(content.get(section) or [])}",
            )
