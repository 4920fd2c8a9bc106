"""Pairs of a datalist with what only the evaluation needs: their kind, landmarks, and the names of structures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.data.datalist import read_datalist
from common.data.points import read_points
from common.errors import InputError
from common.registration.keys import KEYPOINT_KEYS
from common.registration.pairs import registration_pairs


def read_pairs(datalist: str | None, section: str = "validation") -> list[dict[str, Any]]:
    """Pairs of one section of a Learn2Reg-style datalist, their headers checked.

    Args:
        datalist: JSON file; paths in it are relative to its folder.
        section: name of a list of ``{"fixed": .., "moving": .., ...}``.

    Returns:
        What ``common.registration.registration_pairs`` returns, ``kind`` being empty where it is not given.

    Raises:
        InputError: no datalist, no such file or section, or a file that cannot be used, points included.
    """
    if not datalist:
        raise InputError("an evaluation expects a datalist with pairs and labels (--datalist), got none")
    pairs: list[dict[str, Any]] = [dict(pair) for pair in registration_pairs(datalist=datalist, section=section)]
    for pair in pairs:
        pair.setdefault("kind", "")
        read_landmarks(pair)
    return pairs


def read_landmarks(pair: Mapping[Any, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Fixed and moving points of a pair, (N, 3) voxel indices each; None where it does not name both.

    Raises:
        InputError: a file cannot be read, or they do not hold equally many points.
    """
    if not all(pair.get(key) for key in KEYPOINT_KEYS):
        return None
    fixed, moving = (read_points(pair[key]) for key in KEYPOINT_KEYS)
    if len(fixed) != len(moving):
        raise InputError(
            f"points {pair[KEYPOINT_KEYS[1]]}: expected {len(fixed)} points, as in {pair[KEYPOINT_KEYS[0]]}, "
            f"got {len(moving)}"
        )
    return fixed, moving


def read_structures(datalist: str) -> dict[int, str]:
    """Name by label index of a datalist's ``labels``, background (0) left out; empty where it names none."""
    labels = read_datalist(datalist).get("labels") or {}
    return {int(k): str(v) for k, v in labels.items() if int(k) != 0}
