"""Points in files, with whatever else stands beside them: ANTs' CSV and 3D Slicer's markups.

- ``.csv``: columns ``x``, ``y`` and ``z`` in LPS millimetres, as ``antsApplyTransformsToPoints`` has them. Other
  columns, such as ``t``, are kept.
- ``.mrk.json``: LPS or RAS, as the file says. Labels, descriptions, colours and everything else are kept.
"""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError
from common.geometry.affines import Array
from common.geometry.transforms import ras_lps_points

SUFFIXES = (".csv", ".mrk.json")
#: Markups that consist of their control points; the others are a shape with axes of its own, which does not stay one.
MARKUPS = ("Fiducial", "Line", "Angle", "Curve", "ClosedCurve", "PointSet")


@dataclass(frozen=True, eq=False)
class PointFile:
    """Points (N, 3) in RAS millimetres, and a function from moved points to the text of the same file with them."""

    points: Array
    text: Callable[[Array], str]


def is_point_file(path: str | Path) -> bool:
    """Whether a file's name says that it holds points."""
    return str(path).lower().endswith(SUFFIXES)


def read_point_file(path: str | Path) -> PointFile:
    """Read the points of a file.

    Raises:
        InputError: no such file, not of the format that its name says, or no finite point in it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"points {path}: expected a text file, got: {error}") from error
    found = _from_csv(text, str(path)) if str(path).lower().endswith(".csv") else _from_markups(text, str(path))
    if not len(found.points):
        raise InputError(f"points {path}: expected at least one point, got none")
    if not np.isfinite(found.points).all():
        raise InputError(f"points {path}: expected finite coordinates, got some that are not")
    return found


def _from_csv(text: str, name: str) -> PointFile:
    rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    columns = [cell.strip().lower() for cell in rows[0]] if rows else []
    if not {"x", "y", "z"} <= set(columns):
        raise InputError(
            f"points {name}: expected a first line with the columns x,y,z (LPS millimetres, as ANTs has them), "
            f"got {','.join(rows[0]) if rows else 'an empty file'}"
        )
    places = [columns.index(axis) for axis in "xyz"]
    lps = [_numbers(row, places, f"points {name}, line {number}") for number, row in enumerate(rows[1:], 2)]

    def written(points: Array) -> str:
        out = io.StringIO()
        table = [list(row) for row in rows]
        for row, point in zip(table[1:], ras_lps_points(points), strict=True):
            for place, value in zip(places, point, strict=True):
                row[place] = f"{round(value, 6) + 0.0:.6f}"  # no -0
        csv.writer(out, lineterminator="\n").writerows(table)
        return out.getvalue()

    return PointFile(ras_lps_points(np.reshape(lps, (-1, 3))), written)


def _numbers(row: list[str], places: list[int], name: str) -> list[float]:
    try:
        return [float(row[place]) for place in places]
    except (ValueError, IndexError) as error:
        raise InputError(f"{name}: expected numbers under x, y and z, got {','.join(row)!r}") from error


def _from_markups(text: str, name: str) -> PointFile:
    content = _markups(text, name)
    points = [_point(*found, name) for found in _control_points(content)]

    def written(moved: Array) -> str:
        copy = json.loads(text)
        for (markup, control), point in zip(_control_points(copy), moved, strict=True):
            control["position"] = [float(value) for value in _flipped(markup, point, name)]
        return json.dumps(copy, indent=4) + "\n"

    return PointFile(np.reshape(points, (-1, 3)), written)


def _markups(text: str, name: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"points {name}: expected markups of 3D Slicer (JSON), got: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("markups"), list):
        raise InputError(f"points {name}: expected a JSON object with a list 'markups', got another content")
    for markup in content["markups"]:
        if markup.get("type") not in MARKUPS:
            raise InputError(f"points {name}: expected markups of {', '.join(MARKUPS)}, got {markup.get('type')}")
    return content


def _control_points(content: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every control point that has a position, with the markup that it belongs to."""
    return [
        (markup, control)
        for markup in content["markups"]
        for control in markup.get("controlPoints", [])
        if control.get("positionStatus", "defined") == "defined" and control.get("position") is not None
    ]


def _point(markup: dict[str, Any], control: dict[str, Any], name: str) -> Array:
    try:
        position = np.array(control["position"], dtype=np.float64).reshape(3)
    except (TypeError, ValueError) as error:
        got = control["position"]
        raise InputError(f"points {name}: expected a position of three numbers, got {got}") from error
    return _flipped(markup, position, name)


def _flipped(markup: dict[str, Any], point: Array, name: str) -> Array:
    """Between RAS and the coordinate system of a markup, either way; LPS where it names none, as in Slicer."""
    system = str(markup.get("coordinateSystem", "LPS")).upper()
    if system in ("RAS", "0"):
        return point
    if system not in ("LPS", "1"):
        raise InputError(f"points {name}: expected the coordinate system LPS or RAS, got {system}")
    return ras_lps_points(point)
