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


def cut_share(mask: NDArray[np.bool_]) -> float:
    """How much of the anatomy a face of the field of view cuts through.

    Args:
        mask: (X, Y, Z), the foreground.

    Returns:
        The largest area of it on one of the six faces, over its largest cross-section along the same axis; 0 without
        any.

    >>> mask = np.zeros((6, 6, 6), dtype=bool); mask[2:, 2:4, 2:4] = True
    >>> cut_share(mask)
    1.0
    """
    shares = [0.0]
    for axis in range(3):
        areas = mask.sum(axis=tuple(other for other in range(3) if other != axis))
        if areas.max() > 0:
            shares.append(float(max(areas[0], areas[-1]) / areas.max()))
    return max(shares)
