"""The structures that the anatomy network tells apart: FreeSurfer's, left and right together."""

from collections.abc import Sequence

import torch
from torch import Tensor

#: Name -> FreeSurfer numbers, in the order of the network's channels; its first channel is everything else.
STRUCTURES: dict[str, tuple[int, ...]] = {
    "cerebral white matter": (2, 41),
    "cerebral cortex": (3, 42),
    "lateral ventricle": (4, 43),
    "inferior lateral ventricle": (5, 44),
    "cerebellar white matter": (7, 46),
    "cerebellar cortex": (8, 47),
    "thalamus": (10, 49),
    "caudate": (11, 50),
    "putamen": (12, 51),
    "pallidum": (13, 52),
    "third ventricle": (14,),
    "fourth ventricle": (15,),
    "brain stem": (16,),
    "hippocampus": (17, 53),
    "amygdala": (18, 54),
    "accumbens": (26, 58),
    "ventral diencephalon": (28, 60),
}
#: Both parts of a lateral ventricle are one channel of a description: the kernels take sixteen at once.
_TOGETHER = ("lateral ventricle", "inferior lateral ventricle")


def channels_of(identifiers: Sequence[int]) -> Tensor:
    """Return the network's channel for each value of a label map.

    Args:
        identifiers: FreeSurfer number of each label value, 0 for background; what is no structure counts as background.

    Returns:
        (len(identifiers),) int64.
    """
    channel = {number: k for k, numbers in enumerate(STRUCTURES.values(), 1) for number in numbers}
    return torch.tensor([channel.get(number, 0) for number in identifiers])


def described(probabilities: Tensor) -> Tensor:
    """Drop the background and join what belongs together. (1, 18, X, Y, Z) -> (1, 16, X, Y, Z)."""
    names = list(STRUCTURES)
    whole, part = (names.index(name) + 1 for name in _TOGETHER)
    kept = [k for k in range(1, len(names) + 1) if k != part]
    out = probabilities[:, kept].contiguous()
    out[:, kept.index(whole)] += probabilities[:, part]
    return out
