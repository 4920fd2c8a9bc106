"""Distances between the surfaces of a structure in two label maps, in the unit of the spacing given.

A surface is the set of a structure's voxels that have a 6-neighbour outside of the structure (voxels on the face of the
volume count: what lies outside is not the structure). Both directed distance sets are computed between voxel centres:
from every surface voxel of one map to the nearest surface voxel of the other.

Two definitions of HD95 are in use and differ by tenths of a millimetre, so each has its own name:

* ``hd95``: the larger of the two directed 95th percentiles (MONAI's ``HausdorffDistanceMetric(percentile=95)``);
* ``hd95_pooled``: the 95th percentile of both sets together (MambaMorph's evaluation).

``assd`` is the mean of both sets together (average symmetric surface distance).
"""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from common.metrics.overlap import check_same_grid

DISTANCE_NAMES = ("hd95", "hd95_pooled", "assd")


def surface_points(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Surface voxels of every structure, found in one pass over the label map.

    Args:
        labels: (X, Y, Z) integers, 0 is background.

    Returns:
        Array (N, 3) of voxel indices by label index, for the labels that are present.
    """
    border = np.zeros(labels.shape, dtype=bool)
    for axis in range(3):
        along = np.moveaxis(labels, axis, 0)
        edge = np.moveaxis(border, axis, 0)
        change = along[1:] != along[:-1]
        edge[1:] |= change
        edge[:-1] |= change
        edge[0] = True
        edge[-1] = True
    points = np.argwhere(border & (labels > 0))
    names = labels[tuple(points.T)]
    order = np.argsort(names, kind="stable")
    present, starts = np.unique(names[order], return_index=True)
    return dict(zip(present.tolist(), np.split(points[order], starts[1:]), strict=True)) if len(points) else {}


def directed_distances(source: np.ndarray, target: np.ndarray, spacing: Sequence[float] | np.ndarray) -> np.ndarray:
    """Distance of each of the (N, 3) source voxels to the nearest of the (M, 3) target voxels: (N,)."""
    scale = np.asarray(spacing, dtype=np.float64)
    tree = cKDTree(target * scale, balanced_tree=False, compact_nodes=False)
    return tree.query(source * scale)[0]


def surface_distances(
    fixed: np.ndarray, moved: np.ndarray, structures: Sequence[int], spacing: Sequence[float] | np.ndarray
) -> dict[int, dict[str, float]]:
    """HD95 in both definitions and the average symmetric surface distance of every structure.

    Args:
        fixed: (X, Y, Z) integers, labels of the fixed image.
        moved: (X, Y, Z) integers, moving labels on the fixed grid.
        structures: label indices to score.
        spacing: size of a voxel along the array axes: in millimetres, or ones for distances in voxels.

    Returns:
        ``{label: {"hd95": .., "hd95_pooled": .., "assd": ..}}``; NaN where either map lacks the structure.

    Raises:
        InputError: the shapes differ.
    """
    check_same_grid(fixed, moved)
    in_fixed, in_moved = surface_points(fixed), surface_points(moved)
    result = {}
    for label in structures:
        if label not in in_fixed or label not in in_moved:
            result[label] = dict.fromkeys(DISTANCE_NAMES, float("nan"))
            continue
        forth = directed_distances(in_fixed[label], in_moved[label], spacing)
        back = directed_distances(in_moved[label], in_fixed[label], spacing)
        pooled = np.concatenate([forth, back])
        result[label] = {
            "hd95": float(max(np.percentile(forth, 95), np.percentile(back, 95))),
            "hd95_pooled": float(np.percentile(pooled, 95)),
            "assd": float(pooled.mean()),
        }
    return result
