"""Where the two images of a pair show something: found once an image, kept in the pair's dictionary.

``<role>_background`` and ``<role>_foreground`` are written by whoever asks first; see ``keys.py``.
"""

import math
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.geometry import background_value, differs_from, extreme_points
from common.geometry.affines import Array


def background_of(data: dict[Hashable, Any], role: str) -> float | None:
    """Background of ``data[role]``, (1, X, Y, Z), or None where it has none; see ``background_value``."""
    key = f"{role}_background"
    if key not in data:
        found = background_value(data[role][0].numpy())
        data[key] = math.nan if found is None else found
    value = float(data[key])
    return None if math.isnan(value) else value


def outside_value(data: dict[Hashable, Any], role: str) -> float:
    """Value that stands for "nothing there" in ``data[role]``: its background, or its minimum if it has none."""
    background = background_of(data, role)
    return float(data[role].min()) if background is None else background


def foreground_of(data: dict[Hashable, Any], role: str) -> NDArray[np.bool_]:
    """Mask (X, Y, Z) of the foreground of ``data[role]``; see ``foreground_mask``."""
    return differs_from(data[role][0].numpy(), background_of(data, role))


def foreground_points(data: dict[Hashable, Any], role: str) -> Array:
    """World positions that span the foreground of ``data[role]``, (N, 3) in RAS millimetres."""
    key = f"{role}_foreground"
    if key not in data:
        data[key] = extreme_points(foreground_of(data, role), data[role].affine.numpy())
    return np.asarray(data[key])
