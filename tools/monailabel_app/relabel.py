"""Label values 1..N without gaps: front ends give the n-th name to the n-th value, whatever its number."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def relabel(labels: NDArray, names: Mapping[int, str]) -> tuple[NDArray, dict[str, int]]:
    """Number the labels that are there 1..N, in the order of their values.

    Args:
        labels: (X, Y, Z) whole numbers; 0 is the background.
        names: of the values; one without a name becomes ``label <value>``.

    Returns:
        (X, Y, Z) uint8, or uint16 above 255 labels, and the name of every value, in order.

    >>> relabel(np.array([0, 17, 53, 17]), {17: "Left-Hippocampus", 53: "Right-Hippocampus"})
    (array([0, 1, 2, 1], dtype=uint8), {'Left-Hippocampus': 1, 'Right-Hippocampus': 2})
    """
    present = [int(value) for value in np.unique(labels) if value != 0]
    dense = (
        np.searchsorted([0, *present], labels) if 0 in labels or not present else np.searchsorted(present, labels) + 1
    )
    return dense.astype(np.uint8 if len(present) < 256 else np.uint16), _numbered(present, names)


def _numbered(values: Sequence[int], names: Mapping[int, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, value in enumerate(values, start=1):
        name = names.get(value, f"label {value}")
        found[name if name not in found else f"{name} ({value})"] = number
    return found


def names_of_label(info: Mapping[str, object], values: Sequence[int]) -> dict[int, str]:
    """Names of a stored label's values, from what was stored with it.

    Slicer sends ``label_info``, a list of name and number, with a submitted label; a result of this application carries
    ``label_names``. Slicer numbers the segments of the file 1..N, but counts those that it left out in its list: where
    the list's numbers are not those of the file, its order counts.

    Args:
        info: the label's ``params`` in the datastore.
        values: those of the file, ascending, without 0.
    """
    stored = info.get("label_names")
    if isinstance(stored, Mapping):
        return {int(number): str(name) for name, number in stored.items() if _is_number(number)}
    rows = info.get("label_info")
    rows = [row for row in rows if isinstance(row, Mapping) and row.get("name")] if isinstance(rows, list) else []
    numbered = {int(row["idx"]): str(row["name"]) for row in rows if _is_number(row.get("idx"))}
    if set(values) <= set(numbered):
        return numbered
    return {number: str(row["name"]) for number, row in enumerate(rows, start=1)}


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
