"""Points of an image: landmarks and keypoints as text tables."""

import math
from pathlib import Path

import numpy as np

from common.errors import InputError
from common.geometry.affines import Array


def read_points(path: str | Path) -> Array:
    """Read a text table of points: three numbers a line, with commas or blanks between.

    The first line may hold headings; empty lines and lines that start with ``#`` do not count.

    Args:
        path: such as Learn2Reg's keypoint files, whose numbers are voxel indices.

    Returns:
        (N, 3), in the unit of the file, N at least 1.

    Raises:
        InputError: not readable, a line that is no point (the text names it), or no point at all.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"points {path}: expected a text file with three numbers a line, got: {error}") from error
    rows = [(number, line.replace(",", " ").split()) for number, line in enumerate(lines, 1)]
    rows = [(number, cells) for number, cells in rows if cells and not cells[0].startswith("#")]
    if rows and not any(_is_number(cell) for cell in rows[0][1]):
        rows = rows[1:]
    if not rows:
        raise InputError(f"points {path}: expected three numbers a line, got no line with numbers")
    for number, cells in rows:
        if len(cells) != 3 or not all(_is_number(cell) and math.isfinite(float(cell)) for cell in cells):
            raise InputError(f"points {path}, line {number}: expected three numbers, got {lines[number - 1].strip()!r}")
    return np.array([cells for _, cells in rows], dtype=np.float64)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
