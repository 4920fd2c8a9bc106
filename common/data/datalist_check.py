"""Say everything that is wrong with a datalist before a long run starts: files, grids, labels, points, leaks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from common.data.datalist import SECTIONS, file_entries, folder_of, read_datalist, resolve, role_of
from common.data.points import read_points
from common.errors import InputError
from common.geometry import Grid, corner_distance
from common.images import read_header, read_volume


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (``error``) or odd (``warning``) with a datalist."""

    level: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.text}"


@dataclass
class _Found:
    """What is kept of a volume: its grid and, of labels and masks, the values that occur."""

    grid: Grid
    values: set[int] | None


def check_datalist(path: str | Path, read_voxels: bool = True) -> list[Finding]:
    """Check a datalist and every file that it names.

    Args:
        path: JSON file with items under one of ``SECTIONS``: subjects (an ``id`` and a file for each modality) or pairs
            (``moving``, ``fixed``, their labels, masks, keypoints).
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
    grids: dict[str, Grid] = {}
    for section in present:
        for number, item in enumerate(content[section]):
            where = f"{section}[{number}]"
            if not isinstance(item, Mapping):
                findings.append(Finding("error", where, f"expected an object, got {type(item).__name__}"))
                continue
            findings.extend(_check_item(path, section, where, item, known, read_voxels, grids))
    findings.extend(_check_leaks(path, content))
    findings.extend(_check_counts(content))
    return sorted(findings, key=lambda finding: finding.level)


def _check_item(
    path: str | Path,
    section: str,
    where: str,
    item: Mapping[str, Any],
    known: set[int],
    read_voxels: bool,
    grids: dict[str, Grid],
) -> Iterator[Finding]:
    entries = file_entries(item)
    roles = {role_of(key) for key in entries}
    if "image" not in roles:
        yield Finding("error", where, f"expected image files, got the keys {sorted(item)}")
        return
    if ("moving" in item) != ("fixed" in item):
        yield Finding("error", where, "a pair expects both moving and fixed, got one of them")
    if SECTIONS[section].items == "pairs" and "fixed" not in item:
        yield Finding("error", where, f"{section} expects pairs with moving and fixed, got the keys {sorted(item)}")
    volumes: dict[str, _Found] = {}
    points: dict[str, int] = {}
    for key, file in entries.items():
        try:
            if role_of(key) == "keypoints":
                points[key] = len(read_points(resolve(folder_of(path), file)))
            else:
                volumes[key] = _look_at(resolve(folder_of(path), file), key, read_voxels)
        except InputError as error:
            yield Finding("error", where, str(error))
    yield from _check_grids(where, volumes)
    if SECTIONS[section].items == "subjects" and volumes:
        grids[where] = next(iter(volumes.values())).grid
        yield from _check_subjects(where, grids)
    elif section in ("validation", "registration_val"):
        yield from _check_sides(where, volumes)
    yield from _check_labels(where, volumes, known)
    yield from _check_keypoints(where, entries, points)


def _look_at(path: Path, key: str, read_voxels: bool) -> _Found:
    """Read one volume, its voxels where wanted.

    Raises:
        InputError: it cannot be read, or its voxels are not what its role promises.
    """
    if not read_voxels:
        return _Found(read_header(path, key).grid, None)
    volume = read_volume(path, key)
    voxels, name = volume.voxels, f"{key} image {path}"
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise InputError(f"{name}: expected finite voxels, got NaN or infinity")
    if float(voxels.min()) == float(voxels.max()):
        raise InputError(f"{name}: expected an image that shows something, every voxel is {float(voxels.min()):g}")
    if role_of(key) == "image":
        return _Found(volume.grid, None)
    if np.any(voxels != np.round(voxels)):
        raise InputError(f"{name}: a {role_of(key)} holds whole numbers, got fractions")
    return _Found(volume.grid, {int(v) for v in np.unique(voxels)})


def _check_grids(where: str, volumes: Mapping[str, _Found]) -> Iterator[Finding]:
    sides = ("moving", "fixed") if {"moving", "fixed"} & set(volumes) else ("",)
    for side in sides:
        mine = {key: v for key, v in volumes.items() if key.startswith(side)}
        for key, volume in list(mine.items())[1:]:
            first, reference = next(iter(mine.items()))
            shape, expected = volume.grid.shape, reference.grid.shape
            if shape != expected:
                yield Finding("error", where, f"{key} has shape {shape}, {first} has {expected}")
            elif not np.allclose(volume.grid.affine, reference.grid.affine, atol=1e-3):
                yield Finding("error", where, f"{key} and {first} have different affines")


def _check_subjects(where: str, grids: Mapping[str, Grid]) -> Iterator[Finding]:
    """Training reads arrays: all subjects lie on the first one's grid, by their headers too."""
    (first, reference), grid = next(iter(grids.items())), grids[where]
    if grid.shape != reference.shape:
        yield Finding("error", where, f"has shape {grid.shape}, {first} has {reference.shape}: training wants one grid")
        return
    apart = corner_distance(reference, grid)
    if apart > 0.5 * float(grid.spacing.min()):
        text = f"lies {apart:.1f} mm away from {first} by its header: resample it, or train with --aligned_by arrays"
        yield Finding("error", where, text)


def _check_sides(where: str, volumes: Mapping[str, _Found]) -> Iterator[Finding]:
    moving, fixed = volumes.get("moving"), volumes.get("fixed")
    if not moving or not fixed:
        return
    same = moving.grid.shape == fixed.grid.shape
    if not same or corner_distance(fixed.grid, moving.grid) > 0.5 * float(fixed.grid.spacing.min()):
        yield Finding(
            "warning", where, "moving and fixed are on two grids: an evaluation takes them, training does not"
        )


def _check_labels(where: str, volumes: Mapping[str, _Found], known: set[int]) -> Iterator[Finding]:
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


def _check_keypoints(where: str, entries: Mapping[str, str], counts: Mapping[str, int]) -> Iterator[Finding]:
    moving, fixed = "moving_keypoints", "fixed_keypoints"
    if (moving in entries) != (fixed in entries):
        yield Finding("error", where, "keypoints are needed for both sides, got one of them")
    elif moving in counts and fixed in counts and counts[moving] != counts[fixed]:
        text = f"expected as many moving as fixed keypoints, got {counts[moving]} and {counts[fixed]}"
        yield Finding("error", where, text)


def _check_leaks(path: str | Path, content: Mapping[str, Any]) -> Iterator[Finding]:
    files = {
        section: {
            str(resolve(folder_of(path), file).resolve())
            for item in content.get(section) or []
            if isinstance(item, Mapping)
            for file in file_entries(item).values()
        }
        for section in ("training", "validation", "test")
    }
    for first, second in combinations(files, 2):
        shared = sorted(files[first] & files[second])
        if shared:
            yield Finding("warning", f"{first} and {second}", f"{len(shared)} files are in both, such as {shared[0]}")


def _check_counts(content: Mapping[str, Any]) -> Iterator[Finding]:
    for section in SECTIONS:
        stated, there = content.get(f"num{section.capitalize()}"), len(content.get(section) or [])
        if stated is not None and stated != there:
            yield Finding("warning", section, f"num{section.capitalize()} says {stated}, there are {there}")
