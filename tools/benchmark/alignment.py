"""``python -m tools benchmark alignment``: pairs put out of place in known ways, and who finds their way back."""

import hashlib
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common.data.datalist import folder_of, read_section, resolve
from common.errors import InputError
from common.geometry import foreground_mask, transform_points
from common.geometry.affines import Array
from common.geometry.alignment import mean_distance
from common.images import read_volume, save_volume
from common.registration.brain_network import extract_by_network
from common.registration.head import signs_of
from common.writing import save_json
from tools.benchmark.alignment_cases import DISTURBANCES, Picture
from tools.benchmark.alignment_methods import METHODS
from tools.benchmark.alignment_report import write_alignment_report

#: Points of the fixed brain that errors are means over, and millimetres within which poses agree.
POINTS, AGREE = 5000, 2.0


@dataclass(frozen=True, eq=False)
class Undisturbed:
    """A pair as it is: both images, and points of the fixed brain (N, 3), RAS mm."""

    name: str
    kind: str
    fixed: Picture
    moving: Picture
    points: Array


def benchmark_alignment(
    output: str,
    datalist: str,
    data: str | None = None,
    methods: Sequence[str] = ("ours", "ants", "greedy"),
    seed: int = 2026,
    threads: int = 1,
) -> None:
    """Put pairs out of place, align them by each method, and count who ends within 3 mm of the known pose.

    The known pose of a pair is that of the pair as it is, on which two programs have to agree within 2 mm, moved by
    what was done to the moving image. What an earlier run into the same folder found is taken over.

    Args:
        output: folder for table.md, cases.csv, poses.csv and the records.
        datalist: JSON file of pairs with fixed, moving, name, kind, and strip (true: whole heads are stripped first).
        data: folder that the datalist's paths start at; the datalist's own without it.
        methods: of ours, ants, ants_fast, greedy, with commas between them.
        seed: of the misalignments.
        threads: of each method.

    Raises:
        InputError: an unknown method or one that is not installed, an image that cannot be used, or no known pose.
    """
    if unknown := [name for name in methods if name not in METHODS]:
        raise InputError(f"methods: expected some of {', '.join(METHODS)}, got {', '.join(unknown)}")
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(threads)  # read where ANTs starts
    folder, job = Path(output), {"seed": seed, "threads": threads}
    entries = read_section(datalist)
    root = Path(data) if data else folder_of(datalist)
    poses: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    for entry in tqdm(entries, unit="pair", disable=not sys.stderr.isatty()):
        pair = _read(entry, root)
        results = {name: _result(folder, pair, pair.moving, "as it is", name, job) for name in methods}
        pose = _agreed(pair, results)
        poses.append(pose)
        if pose["matrix"] is None:
            print(f"{pair.name}: no two programs agree within {AGREE:g} mm on it as it is: left out", flush=True)
            continue
        for case in DISTURBANCES:
            moving = disturbed(pair, case, seed)
            for name in methods:
                result = _result(folder, pair, moving, case, name, job)
                records.append({"pair": pair.name, "kind": pair.kind, "case": case, "method": name})
                records[-1] |= scored(pair.points, moving.world @ pose["matrix"], result)
                print("{pair}, {case}, {method}: {error_mm:.2f} mm, {cpu_seconds:.1f} CPU s".format(**records[-1]))
                sys.stdout.flush()
    if not records:
        raise InputError(f"no pair of {datalist} has a known pose: give two programs at least that agree on it")
    write_alignment_report(folder, poses, records, methods, seed, threads)
    print(f"written to {folder}: table.md, cases.csv, poses.csv")


def _read(entry: Mapping[str, Any], root: Path) -> Undisturbed:
    """Load a pair, strip what is to be stripped, and find the fixed brain."""
    pictures, brains = {}, {}
    for role in ("fixed", "moving"):
        volume = read_volume(resolve(root, entry[role]), role)
        voxels, affine = np.asarray(volume.voxels, dtype=np.float32), volume.affine
        head = signs_of(voxels, affine).head
        brains[role] = extract_by_network(voxels, affine) if head else foreground_mask(voxels)
        if head and entry.get("strip"):
            voxels = np.where(brains[role], voxels, 0).astype(np.float32)
        pictures[role] = Picture(voxels, affine, np.eye(4))
    index = np.argwhere(brains["fixed"])
    points = transform_points(pictures["fixed"].affine, index[:: max(1, len(index) // POINTS)])
    return Undisturbed(str(entry["name"]), str(entry.get("kind", "")), pictures["fixed"], pictures["moving"], points)


def disturbed(pair: Undisturbed, case: str, seed: int) -> Picture:
    """The pair's moving image, put out of place. What is drawn depends on seed, pair and case alone."""
    digest = hashlib.sha256(f"{seed} {pair.name} {case}".encode()).digest()
    return DISTURBANCES[case](pair.moving, np.random.default_rng(list(digest)))


def _result(
    folder: Path, pair: Undisturbed, moving: Picture, case: str, method: str, job: Mapping[str, int]
) -> dict[str, Any]:
    """Run a method on a case, unless that was done before."""
    whole = {**job, "version": METHODS[method].version}
    path = folder / "records" / f"{pair.name}-{case}-{method}.json".replace(" ", "_")
    if path.is_file() and (earlier := json.loads(path.read_text()))["job"] == whole:
        return dict(earlier)
    with tempfile.TemporaryDirectory(prefix="alignment_") as scratch:
        files = [str(Path(scratch) / name) for name in ("fixed.nii", "moving.nii")]
        for file, picture in zip(files, (pair.fixed, moving), strict=True):
            save_volume(picture.voxels, picture.affine, Path(file))
        clocks = time.process_time(), time.perf_counter()
        try:
            matrix, notes = METHODS[method].find(files[0], files[1], Path(scratch), job["threads"])
        except (RuntimeError, ValueError, OSError) as error:
            matrix, notes = np.full((4, 4), np.nan), {"failed": str(error)}
        taken = time.process_time() - clocks[0], time.perf_counter() - clocks[1]
    result = {"job": whole, "cpu_seconds": taken[0], "seconds": taken[1], **notes}
    result["matrix"] = matrix.tolist() if np.isfinite(matrix).all() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    save_json(result, path)
    return result


def scored(points: Array, truth: Array, result: Mapping[str, Any]) -> dict[str, Any]:
    """Mean distance from the known pose over points (N, 3), infinite where a method gave none, and what it took."""
    error = math.inf if result["matrix"] is None else mean_distance(np.array(result["matrix"]), truth, points)
    flags = "; ".join(result.get("flags", ()))
    return {"error_mm": error, "cpu_seconds": result["cpu_seconds"], "seconds": result["seconds"], "flags": flags}


def _agreed(pair: Undisturbed, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of the two programs' poses of the undisturbed pair that are closest to each other, if close enough."""
    found = {name: np.array(result["matrix"]) for name, result in results.items() if result["matrix"] is not None}
    names = list(found)
    apart = {
        (one, other): mean_distance(found[one], found[other], pair.points)
        for number, one in enumerate(names)
        for other in names[number + 1 :]
    }
    # Two settings of one program agree for other reasons than being right.
    independent = [both for both in apart if METHODS[both[0]].distribution != METHODS[both[1]].distribution]
    closest = min(independent, key=lambda both: apart[both], default=None)
    agreed = closest is not None and apart[closest] <= AGREE
    matrix = (found[closest[0]] + found[closest[1]]) / 2 if closest is not None and agreed else None
    distances = {f"{one} to {other}": distance for (one, other), distance in apart.items()}
    return {"pair": pair.name, "kind": pair.kind, "matrix": matrix, "closest": closest, "distances": distances}
