"""Points of a pair: those of the moving image brought along, and how far they lie from those of the fixed image."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError
from common.geometry.affines import Array
from common.geometry.inversion import invert_points
from common.geometry.transforms import Transform, apply_to_points
from common.registration.keys import POINT_KEYS
from common.registration.outputs import MOVED_POINTS
from common.registration.point_files import SUFFIXES, PointFile, read_point_file
from common.registration.transform_outputs import Writer

logger = logging.getLogger(__name__)

#: Millimetres by which a point may miss on its way there and back before it is said.
MISSED = 0.5


def read_points(pair: Mapping[Any, Any]) -> dict[str, PointFile]:
    """Read the point files of a pair, by their keys.

    Raises:
        InputError: a file cannot be read, or both images have points and not equally many.
    """
    files = {key: read_point_file(pair[key]) for key in POINT_KEYS if pair.get(key)}
    if len(files) == len(POINT_KEYS):
        fixed, moving = (len(files[key].points) for key in POINT_KEYS)
        if fixed != moving:
            raise InputError(
                f"points {pair['moving_points']}: expected {fixed} points, one for each of {pair['fixed_points']} in "
                f"the same order, got {moving}"
            )
    return files


def points_file_of(pair: Mapping[Any, Any]) -> str | None:
    """Name of the file that a pair's moving points go to, of the format that they came in; None without any."""
    path = str(pair.get("moving_points") or "").lower()
    return next((f"{MOVED_POINTS}{suffix}" for suffix in SUFFIXES if path.endswith(suffix)), None)


def bring_points(pair: Mapping[Any, Any], transform: Transform) -> tuple[dict[str, Writer], dict[str, Any]]:
    """Bring the moving image's points to the fixed image, and compare the points of both images.

    Args:
        pair: with paths under ``POINT_KEYS``, or without.
        transform: from the fixed image's points to the moving image's.

    Returns:
        A writer by the name of its file, and the entry of ``metrics.json``: nothing where there are no points.
    """
    files = read_points(pair)
    writers: dict[str, Writer] = {}
    figures: dict[str, Any] = {}
    if name := points_file_of(pair):
        file = files["moving_points"]
        moved, missed = invert_points(transform, file.points)
        figures["moved"], figures["largest_miss_mm"] = len(moved), float(missed.max())
        if (lost := int((missed > MISSED).sum())) > 0:
            logger.warning(
                "%d of the %d points of %s have no place that the field brings to them: off by up to %.1f mm",
                lost, len(moved), Path(str(pair["moving_points"])).name, float(missed.max()),
            )  # fmt: skip
        writers[name] = partial(_write_text, file.text(moved))
    if len(files) == len(POINT_KEYS):
        fixed, moving = (files[key].points for key in POINT_KEYS)
        figures["before"] = _distances(fixed, moving)
        figures["after"] = _distances(apply_to_points(transform, fixed), moving)
    return writers, {"points_mm": figures} if figures else {}


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def _distances(one: Array, other: Array) -> dict[str, float]:
    lengths = np.linalg.norm(one - other, axis=1)
    return {"mean": float(lengths.mean()), "median": float(np.median(lengths)), "max": float(lengths.max())}
