"""The protocol that stands beside every figure: what each name means, on which labels, with which versions."""

import platform
from collections.abc import Mapping
from typing import Any

from common.machine import processor, versions
from common.metrics.definitions import EVALUATION, SHARED, definitions

_PACKAGES = ("python", "torch", "monai", "numpy", "scipy", "nibabel", "registration-bundles")


def protocol(structures: Mapping[int, str] | None = None, **further: Any) -> dict[str, Any]:
    """Everything a reader needs to compare the figures with others.

    Args:
        structures: name by label index of the structures that means are taken over.
        further: entries of the caller, such as the datalist, the spacing, the number of threads.

    Returns:
        JSON-able dictionary.
    """
    return {
        "surface": "voxels with a 6-neighbour outside of the structure; distances between voxel centres; faces of the "
        "volume count as outside",
        "mean": "over the structures of a pair first, then over pairs; SD over pairs with n - 1",
        "structures": {str(k): name for k, name in (structures or {}).items()},
        **further,
        "definitions": definitions(SHARED | EVALUATION),
        "versions": versions(_PACKAGES),
        "machine": f"{processor()}, {platform.system()}",
    }
