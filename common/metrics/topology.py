"""Does a warp keep the topology of a structure? Betti numbers before and after.

A binary mask is read as a union of closed voxels: its foreground is 26-connected, its background 6-connected. Then
``b0`` is the number of components, ``b2`` the number of cavities, and with the Euler number ``chi`` of the cubical
complex ``b1 = b0 + b2 - chi`` is the number of tunnels. Ball (1, 0, 0), hollow ball (1, 0, 1), torus (1, 1, 0).

The topology change of a structure is ``|d b0| + |d b1| + |d b2|`` between the moving mask and the same mask warped
linearly and cut at 0.5 (a nearest-neighbour warp would add specks). The paper (CAMLMorph) defines the measure in words
only; this is our reading of it.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy import ndimage

_ALL_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)


def betti_numbers(mask: np.ndarray) -> tuple[int, int, int]:
    """Betti numbers (b0, b1, b2) of a binary mask.

    Args:
        mask: (X, Y, Z), non-zero inside of the structure.

    Returns:
        Components, tunnels, cavities; (0, 0, 0) for an empty mask.
    """
    # One voxel of background all round: the outside is one component, and the crop changes nothing.
    inside = np.pad(_crop(np.asarray(mask) != 0), 1)
    if not inside.any():
        return 0, 0, 0
    components = int(ndimage.label(inside, _ALL_NEIGHBOURS)[1])
    cavities = int(ndimage.label(~inside)[1]) - 1
    return components, components + cavities - euler_number(inside), cavities


def euler_number(inside: np.ndarray) -> int:
    """Euler number (vertices - edges + faces - voxels) of the union of closed voxels of a boolean (X, Y, Z) array."""
    padded = np.pad(inside, 1)
    total = 0
    # A cell of the complex exists where any of the voxels that share it is set. Axes in ``shared`` are those along
    # which two voxels meet: none for the voxel itself, one for a face, two for an edge, all three for a vertex.
    for shared in product((False, True), repeat=3):
        cell = padded
        for axis, meets in enumerate(shared):
            if meets:
                along = np.moveaxis(cell, axis, 0)
                cell = np.moveaxis(along[1:] | along[:-1], 0, axis)
        dimension = 3 - sum(shared)
        total += (-1) ** dimension * int(np.count_nonzero(cell))
    return total


def topology_change(before: np.ndarray, after: np.ndarray, structures: Sequence[int]) -> dict[int, int]:
    """Topology change of every structure between two label maps, each on its own grid.

    Args:
        before: (X', Y', Z') moving labels.
        after: (X, Y, Z) the same labels warped; for figures that follow the definition above, label k only where the
            linearly warped one-hot mask exceeds 0.5 (``warp_labels_linear``), background elsewhere.
        structures: label indices that are present in ``before``.

    Returns:
        ``|d b0| + |d b1| + |d b2|`` by label index; structures that ``before`` lacks are left out.
    """
    boxes_before, boxes_after = (ndimage.find_objects(_as_int(labels)) for labels in (before, after))
    change = {}
    for label in structures:
        first = _box_mask(before, boxes_before, label)
        if first is None:
            continue
        second = _box_mask(after, boxes_after, label)
        old = betti_numbers(first)
        new = (0, 0, 0) if second is None else betti_numbers(second)
        change[label] = sum(abs(a - b) for a, b in zip(old, new, strict=True))
    return change


def _as_int(labels: np.ndarray) -> np.ndarray:
    return labels if labels.dtype.kind in "iu" else labels.astype(np.int32)


def _box_mask(labels: np.ndarray, boxes: list, label: int) -> np.ndarray | None:
    """The structure's mask within its bounding box, or None where it is absent."""
    box = boxes[label - 1] if 0 < label <= len(boxes) else None
    return None if box is None else labels[box] == label


def _crop(mask: np.ndarray) -> np.ndarray:
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    return mask[boxes[0]] if boxes else mask
