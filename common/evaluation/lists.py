"""Pairs of a datalist with what only the evaluation needs: their kind, landmarks, and the names of structures."""

from pathlib import Path
from typing import Any

import numpy as np

from common.data.datalist import read_datalist, resolve
from common.errors import InputError
from common.registration.pairs import registration_pairs

#: Learn2Reg's keys of landmark files.
KEYPOINT_KEYS = ("fixed_keypoints", "moving_keypoints")


def read_pairs(datalist: str | None, section: str = "validation") -> list[dict[str, Any]]:
    """Pairs of one section of a Learn2Reg-style datalist, their headers checked.

    Args:
        datalist: JSON file; paths in it are relative to its folder.
        section: name of a list of ``{"fixed": .., "moving": .., ...}``.

    Returns:
        What ``common.data.registration_pairs`` returns (absolute paths, ``name``), and ``kind`` (empty where not
        given), ``fixed_keypoints`` and ``moving_keypoints`` where given.

    Raises:
        InputError: no datalist, no such file or section, or a file that cannot be used.
    """
    if not datalist:
        raise InputError("an evaluation expects a datalist with pairs and labels (--datalist), got none")
    pairs: list[dict[str, Any]] = [dict(pair) for pair in registration_pairs(datalist=datalist, section=section)]
    for pair, entry in zip(pairs, read_datalist(datalist)[section], strict=True):
        pair["kind"] = str(entry.get("kind", ""))
        for key in (k for k in KEYPOINT_KEYS if entry.get(k)):
            pair[key] = str(resolve(datalist, entry[key]))
    return pairs


def read_structures(datalist: str) -> dict[int, str]:
    """Name by label index of a datalist's ``labels``, background (0) left out; empty where it names none."""
    labels = read_datalist(datalist).get("labels") or {}
    return {int(k): str(v) for k, v in labels.items() if int(k) != 0}


def read_landmarks(path: str | Path) -> np.ndarray:
    """Points of a Learn2Reg keypoint file: a point a line, three voxel indices with commas between. -> (N, 3).

    Raises:
        InputError: not readable as such.
    """
    try:
        points = np.loadtxt(path, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected three numbers a line with commas between them, got: {error}") from error
    if points.shape[1] != 3:
        raise InputError(f"{path}: expected three numbers a line with commas between them, got {points.shape[1]}")
    return points
