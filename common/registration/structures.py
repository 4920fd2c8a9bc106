"""The structures that an image shows, for the refinement of two contrasts; believed where they can be a brain's."""

from collections.abc import Mapping

from torch import Tensor

from common.anatomy import Described, describe
from common.refine import Structures

#: Millilitres between which the parts of a brain lie, adults and children, healthy and not. What is outside is no
#: brain, or not all of one, or a head that was not stripped.
PLAUSIBLE: Mapping[tuple[str, ...], tuple[float, float]] = {
    ("cerebral white matter", "cerebral cortex"): (600, 1700),
    ("cerebellar white matter", "cerebellar cortex"): (60, 280),
    ("thalamus",): (8, 40),
    ("caudate", "putamen"): (8, 60),
    ("brain stem",): (10, 60),
    ("hippocampus",): (2, 25),
}
#: Least share of the intensities' variance that the structures have to explain in each image. Where they helped it was
#: 0.59 and more; where they did harm, 0.44 (the sample's CT), 0.24 and 0.08 (an acquired PD and T2): docs/anatomy.md.
EXPLAINED = 0.5


def structures_of(image: Tensor, spacing: float) -> Structures | None:
    """Return the structures that an image (1, 1, X, Y, Z) in [0, 1] shows; ``None`` where they cannot be believed.

    Args:
        image: on the network's grid, its background 0.
        spacing: millimetres of a voxel.
    """
    found = describe(image, spacing)
    if found is None or implausible(found):
        return None
    return Structures(found.maps, found.factor, f"{100 * found.explained:.0f} % explained")


def implausible(found: Described) -> list[str]:
    """What of a description cannot be a brain's, in words; empty where nothing is."""
    reasons = []
    if found.explained < EXPLAINED:
        reasons.append(f"{100 * found.explained:.0f} % of the variance explained, expected {100 * EXPLAINED:.0f}")
    for names, (low, high) in PLAUSIBLE.items():
        volume = sum(found.millilitres[name] for name in names)
        if not low <= volume <= high:
            reasons.append(f"{' and '.join(names)} of {volume:.0f} ml, expected {low:g} to {high:g}")
    return reasons
