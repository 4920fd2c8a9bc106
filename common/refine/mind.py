"""MIND-SSC: twelve channels that describe an image by how its patches resemble one another, whatever the contrast.

Source: Heinrich et al., MICCAI 2013 ("Towards realtime multimodal fusion for image-guided interventions using
self-similarities"). Each channel compares the patches around two of the six neighbours of a voxel, for the twelve
pairs of neighbours that are at right angles; exp(-distance / local mean distance). Written from the paper; what it
leaves open: the least distance is subtracted first, and the mean is held to 0.001 to 1000 times its global mean.
"""

from itertools import combinations

from torch import Tensor
from torch.nn import functional as F

from common.losses import window_sum

_NEIGHBOURS = [tuple(sign * (axis == d) for d in range(3)) for axis in range(3) for sign in (-1, 1)]
#: Pairs of neighbours at right angles: those whose offsets share no axis.
PAIRS = [(a, b) for a, b in combinations(_NEIGHBOURS, 2) if sum(p * q for p, q in zip(a, b, strict=True)) == 0]


def _shifted(image: Tensor, offset: tuple[int, ...], dilation: int) -> Tensor:
    """image(x + dilation offset), the outermost voxels repeated. ``image`` is padded by ``dilation``."""
    for axis, step in enumerate(offset):
        size = image.shape[axis + 2] - 2 * dilation
        image = image.narrow(axis + 2, dilation + step * dilation, size)
    return image


def mind(image: Tensor, radius: int = 1, dilation: int = 2) -> Tensor:
    """Return the descriptor of an image.

    Args:
        image: (1, 1, X, Y, Z).
        radius: of the patches in voxels.
        dilation: distance of the six neighbours in voxels.

    Returns:
        (1, 12, X, Y, Z), from 0 to 1; 1 for the pair of patches that are most alike.
    """
    padded = F.pad(image, [dilation] * 6, mode="replicate")
    out = image.new_empty(1, len(PAIRS), *image.shape[2:])
    for channel, (a, b) in enumerate(PAIRS):
        distance = (_shifted(padded, a, dilation) - _shifted(padded, b, dilation)).square_()
        for axis in (2, 3, 4):
            distance = window_sum(distance, 2 * radius + 1, axis)
        out[:, channel] = distance[:, 0]
    out -= out.amin(1, keepdim=True)
    mean = out.mean(1, keepdim=True)
    typical = mean.mean()
    return out.div_(mean.clamp(typical * 1e-3, typical * 1e3) + 1e-12).neg_().exp_()
