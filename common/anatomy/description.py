"""From an image to the probability of each structure at each voxel, and whether that can be believed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from common.anatomy.network import LEAST, MULTIPLE, SPACING, trained_network
from common.anatomy.structures import STRUCTURES, described
from common.geometry.foreground import foreground_mask

#: Intensities up to this one count as background when an image's range is measured.
DARK = 0.02
#: The share of the foreground's 99.5th percentile up to which intensities are kept.
BRIGHTEST = 1.5
#: How much the voxels may differ in size from those that the network has learned on.
TOLERANCE = 0.25
#: Voxels inside of the foreground's rim that no intensity is taken from: strips and partial volume.
RIM = 2
#: Voxels of an image that may make one of the network's.
FACTORS = (1, 2)


@dataclass(frozen=True)
class Described:
    """What the network says of an image.

    Attributes:
        maps: (1, 16, x, y, z), probability of each structure, both sides together.
        factor: voxels of the image that make one of the maps along each axis.
        millilitres: volume of each structure of ``STRUCTURES``.
        named: share of the image's foreground that is some structure.
        explained: share of the variance of the intensities, two voxels inside of the foreground, that lies between the
            structures and not within them. A contrast that the network does not know gives small shares: what it calls
            ventricle is as bright as what it calls white matter.
    """

    maps: Tensor
    factor: int
    millilitres: dict[str, float]
    named: float
    explained: float


def normalised(image: Tensor) -> Tensor:
    """Divide by the 99.5th percentile of what is not dark, so that all images come in one range; any shape."""
    bright = image[image > DARK]
    top = float(bright.kthvalue(max(1, round(0.995 * len(bright)))).values) if len(bright) else 1.0
    return (image / max(top, 1e-3)).clamp(0, BRIGHTEST)


def factor_for(spacing: float) -> int | None:
    """How many voxels make one of about 2 mm; ``None`` where none of ``FACTORS`` does.

    >>> [factor_for(spacing) for spacing in (1.0, 2.0, 0.9, 4.0)]
    [2, 1, 2, None]
    """
    return next((f for f in FACTORS if abs(f * spacing / SPACING - 1) <= TOLERANCE), None)


@torch.no_grad()
def describe(image: Tensor, spacing: float) -> Described | None:
    """Tell the structures of a stripped brain.

    Args:
        image: (1, 1, X, Y, Z) in [0, 1], axes to the right, the front and the top of the patient, background 0.
        spacing: millimetres of a voxel.

    Returns:
        ``None`` where the grid does not fit the network: voxels of another size, or sides that do not divide.
    """
    factor = factor_for(spacing)
    if factor is None or any(n % factor for n in image.shape[2:]):
        return None
    coarse = F.avg_pool3d(image.float(), factor) if factor > 1 else image.float()
    inside = torch.from_numpy(foreground_mask(coarse[0, 0].cpu().numpy())).to(image.device)
    window = _window(inside)
    probabilities = _probabilities(_framed(normalised(coarse), window))
    back = [(-first, n) for (first, _), n in zip(window, inside.shape, strict=True)]
    probabilities = _framed(probabilities, back)
    maps, likeliest = described(probabilities), probabilities[0].argmax(dim=0)
    labelled = (likeliest * inside).flatten()
    volumes = torch.bincount(labelled, minlength=len(STRUCTURES) + 1) * (spacing * factor) ** 3 / 1e3
    number = float(inside.sum().clamp_min(1))
    return Described(
        maps,
        factor,
        dict(zip(STRUCTURES, volumes[1:].tolist(), strict=True)),
        float((labelled > 0).sum()) / number,
        explained(coarse[0, 0], likeliest, inside),
    )


def explained(image: Tensor, index: Tensor, inside: Tensor) -> float:
    """The share of an image's variance that lies between regions; see ``Described``.

    Args:
        image: (X, Y, Z).
        index: (X, Y, Z) int64, the region of each voxel, from 0.
        inside: (X, Y, Z) bool, the foreground.
    """
    near_rim = F.max_pool3d((~inside).float()[None], 2 * RIM + 1, stride=1, padding=RIM)[0] > 0
    values, regions = image[~near_rim].double(), index[~near_rim]
    if len(values) == 0 or not float(values.var(correction=0)) > 0:
        return 0.0
    sizes = torch.bincount(regions).clamp_min(1)
    means = torch.bincount(regions, values) / sizes
    return 1.0 - float((values - means[regions]).square().mean() / values.var(correction=0))


def _framed(volumes: Tensor, window: Sequence[tuple[int, int]]) -> Tensor:
    """The window of volumes (B, C, X, Y, Z), zeros where it reaches beyond them."""
    padding = []
    for n, (first, size) in reversed(list(zip(volumes.shape[2:], window, strict=True))):
        padding += [-first, first + size - n]
    return F.pad(volumes, padding)


def _window(inside: Tensor) -> list[tuple[int, int]]:
    """First index and size along each axis of a window around a mask (X, Y, Z); it may reach beyond the grid.

    As large as those that the network was trained on, or larger: the share of the background moves its norms.
    """
    window = []
    for axis, least in enumerate(LEAST):
        others = tuple(a for a in range(3) if a != axis)
        found = inside.any(dim=others[1]).any(dim=others[0]).nonzero().flatten()
        low, high = (int(found[0]), int(found[-1]) + 1) if len(found) else (0, inside.shape[axis])
        size = max(least, -(-(high - low) // MULTIPLE) * MULTIPLE)
        window.append((low - (size - (high - low)) // 2, size))
    return window


def _probabilities(part: Tensor) -> Tensor:
    """(1, 1, x, y, z) -> (1, 18, x, y, z), in bfloat16 where the processor computes in it."""
    network = trained_network().to(part.device)
    quick = part.device.type == "cpu" and torch.backends.mkldnn.is_available()
    quick = quick and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    with torch.autocast(part.device.type, torch.bfloat16, enabled=quick):
        scores = network(part).float()
    return scores.softmax(dim=1)
