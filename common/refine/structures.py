"""What is known of an image besides its intensities: which structure lies where, told by somebody else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

#: How many times coarser than the image its structures may come.
FACTORS = (1, 2)


@dataclass(frozen=True)
class Structures:
    """The structures that one image shows.

    Attributes:
        maps: (1, K, x, y, z), up to sixteen channels, the probability of a structure each.
        factor: voxels of the image that make one of the maps along each axis, one of ``FACTORS``.
        word: how they were found, for the record.
    """

    maps: Tensor
    factor: int
    word: str


#: From an image (1, 1, X, Y, Z) in [0, 1] to its structures; ``None`` where they cannot be told.
Describe: TypeAlias = Callable[[Tensor], Structures | None]
