"""Whether an image shows a whole head or a brain that has been cut out of it: a rule on volume and surroundings.

Measured on the images of docs/brain.md: brains have up to 2.05 litres with everything that is enclosed, heads 2.6 and
more; around a brain that was cut out nothing is left but one value, around a head lies air with a scanner's noise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_closing, binary_dilation, binary_fill_holes, generate_binary_structure, label

from common.geometry import spacing_of

#: Millilitres from which what an image shows is more than a brain; and below which it is no human head at all.
HEAD, SMALLEST = 2350.0, 1000.0
#: Share of the surroundings that have one value, to a thousandth of the range, where a brain was cut out.
CONSTANT, SAME = 0.9, 1e-3
#: Millimetres of the blocks that are looked at, and share of the range above which a block shows something.
BLOCK, SHOWN = 3.0, 0.1


@dataclass(frozen=True)
class Signs:
    """What the rule looks at.

    Attributes:
        millilitres: volume of the largest thing that the image shows, with everything that it encloses.
        constant: share of the voxels around it that have one and the same value; 1 where there are none.
    """

    millilitres: float
    constant: float

    @property
    def head(self) -> bool:
        """Whether a whole head is shown."""
        noisy = self.constant < CONSTANT and self.millilitres >= SMALLEST
        return self.millilitres >= HEAD or noisy


def signs_of(volume: NDArray, affine: ArrayLike) -> Signs:
    """Measure what tells a head from a brain.

    Args:
        volume: (X, Y, Z).
        affine: (4, 4), voxels to millimetres.
    """
    steps = np.minimum(np.maximum(1, np.rint(BLOCK / spacing_of(affine))).astype(int), volume.shape)
    blocks, corners = _blocks(volume, steps)
    low, high = np.percentile(blocks, (1, 99.9))
    shown = _filled(_largest(blocks > low + SHOWN * (high - low)))
    millilitres = float(shown.sum()) * float(np.prod(steps * spacing_of(affine))) / 1000
    around = corners[~binary_dilation(shown, iterations=2)]
    if not around.size:
        return Signs(millilitres, 1.0)
    usual = np.median(around)
    return Signs(millilitres, float((np.abs(around - usual) <= SAME * (high - low)).mean()))


def _blocks(volume: NDArray, steps: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """Means of whole blocks, and one voxel of each."""
    count = np.array(volume.shape) // steps
    whole = volume[tuple(slice(0, n) for n in count * steps)]
    cut = whole.reshape(count[0], steps[0], count[1], steps[1], count[2], steps[2])
    return cut.mean(axis=(1, 3, 5)), cut[:, 0, :, 0, :, 0]


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of a mask; the mask itself where it is empty."""
    parts, count = label(mask)
    return parts == 1 + np.bincount(parts.ravel())[1:].argmax() if count else mask


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with its gaps of up to six blocks closed and what it encloses."""
    padded = np.pad(mask, 4)
    closed = binary_closing(padded, generate_binary_structure(3, 1), iterations=3)
    return binary_fill_holes(closed)[4:-4, 4:-4, 4:-4]
