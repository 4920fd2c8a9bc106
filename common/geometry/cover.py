"""What a field of view says nothing about: what lies beyond a face of it that cuts through the anatomy.

Beyond a face in air there is air. Beyond a face that cuts there is more of the anatomy, and nobody has seen it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from common.geometry.affines import index_map
from common.geometry.grids import Grid
from common.geometry.sampling import positions, row_ranges

#: Share of the anatomy's largest cross-section along an axis that a face has to hold for the anatomy to go on behind:
#: a brain stem that is cut has 4 %, a voxel of noise nothing.
LEAST_CUT = 0.02
#: A box laid tightly around a brain touches it as well. There the cross-section grows quickly: voxels further in, where
#: the one of a cut may be twice as large at most.
FURTHER_IN = 3
#: An axis of the array, and whether its last face is meant or its first.
Face = tuple[int, bool]


def cross_sections(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Area of the anatomy (X, Y, Z) in each slice, in voxels, along each axis."""
    return [mask.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]


def cut_share(mask: NDArray[np.bool_]) -> float:
    """How much of the anatomy a face of the field of view cuts through.

    Args:
        mask: (X, Y, Z), the anatomy.

    Returns:
        The largest area of it on one of the six faces, over its largest cross-section along the same axis; 0 without
        any.

    >>> mask = np.zeros((6, 6, 6), dtype=bool); mask[2:, 2:4, 2:4] = True
    >>> cut_share(mask)
    1.0
    """
    return max(float(max(areas[0], areas[-1]) / max(areas.max(), 1)) for areas in cross_sections(mask))


def cut_faces(mask: NDArray[np.bool_], least: float = LEAST_CUT) -> tuple[Face, ...]:
    """Faces of the field of view that cut through the anatomy.

    Args:
        mask: (X, Y, Z), the anatomy.
        least: share of its largest cross-section along the same axis that lies on such a face.

    >>> mask = np.zeros((6, 6, 6), dtype=bool); mask[2:, 2:4, 2:4] = True
    >>> cut_faces(mask)
    ((0, True),)
    """
    faces: list[Face] = []
    for axis, areas in enumerate(cross_sections(mask)):
        for last in (False, True):
            inwards = areas[::-1] if last else areas
            deep = inwards[min(FURTHER_IN, len(inwards) - 1)]
            if inwards[0] > least * max(areas.max(), 1) and 2 * inwards[0] >= deep:
                faces.append((axis, last))
    return tuple(faces)


def within_faces(
    grid: Grid,
    shape: tuple[int, ...],
    affine: ArrayLike,
    faces: Sequence[Face],
    alignment: ArrayLike | None = None,
    ddf: Tensor | None = None,
) -> NDArray[np.bool_]:
    """Which voxels of a grid lie, or are brought, before the given faces of an image's field of view.

    Args:
        grid: whose voxels.
        shape: (X, Y, Z) of the image.
        affine: (4, 4) of the image.
        faces: see ``cut_faces``.
        alignment: (4, 4) from the grid's world to the image's.
        ddf: (3, *grid.shape) in voxels of the grid, applied first.

    Returns:
        (*grid.shape,).
    """
    matrix, within = index_map(grid.affine, affine, alignment), torch.ones(grid.shape, dtype=torch.bool)
    for rows in row_ranges(grid.shape):
        where = positions(matrix, grid.shape, rows, None if ddf is None else ddf[:, rows])
        for axis, last in faces:
            within[rows] &= where[axis] <= shape[axis] - 0.5 if last else where[axis] >= -0.5
    return within.numpy()
