"""Label maps of random shapes: training pairs that need no data at all (SynthMorph's "shapes", Hoffmann et al. 2021).

``K`` smooth noise images are drawn; each voxel gets the number of the image that is greatest there. Two deformed copies
of one such map are a pair of "subjects" with different geometry and the same topology.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from common.data.augment import deform, random_deformation, smooth_noise, uniform
from common.data.synthesis import render
from common.errors import InputError
from common.switches import reads_switches


def random_shapes(
    shape: Sequence[int],
    generator: torch.Generator,
    labels: int = 26,
    knot_spacing: Sequence[float] = (16.0, 32.0),
    deformation: float = 3.0,
) -> Tensor:
    """Draw a label map of random blobs.

    Args:
        shape: (X, Y, Z).
        generator: source of randomness; its device holds the result.
        labels: number of shapes, values 1 to ``labels``; SynthMorph's 26. At most 255.
        knot_spacing: coarseness of the noise in voxels, one number a scale.
        deformation: strength in voxels of the warp that roughens the borders.

    Returns:
        (X, Y, Z) uint8.
    """
    if not 1 <= labels <= 255:
        raise InputError(f"random_shapes expects 1 to 255 labels, got {labels}")
    noise = torch.zeros(1, labels, *shape, device=generator.device)
    for spacing in knot_spacing:
        knots = [max(2, round(n / spacing) + 1) for n in shape]
        noise += uniform(generator, 0.5, 1.0) * smooth_noise(shape, knots, labels, generator)
    field = random_deformation(shape, deformation, generator)
    label = (noise[0].argmax(dim=0) + 1).to(torch.uint8)
    _, moved = deform(torch.zeros(1, *shape, device=label.device), label, field)
    return moved


@reads_switches
class ShapePairs(Dataset):
    """Pairs of random shapes: item ``n`` is a pure function of ``(seed, n)``; same keys as ``RegistrationPairs``.

    Args:
        size: (X, Y, Z).
        length: number of items of an epoch.
        seed: of everything random.
        deformation: strength in voxels of the field between the two maps.
        labels: number of shapes.
        device: where samples are made.
    """

    def __init__(
        self,
        size: Sequence[int],
        length: int = 100,
        seed: int = 0,
        deformation: float = 3.0,
        labels: int = 26,
        device: str | torch.device = "cpu",
    ) -> None:
        self.size, self.length, self.seed = tuple(size), length, seed
        self.deformation, self.labels, self.device = deformation, labels, torch.device(device)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator(self.device).manual_seed((self.seed * 1_000_003 + index) % (2**63))
        base = random_shapes(self.size, generator, self.labels)
        item: dict[str, Tensor] = {}
        for side in ("moving", "fixed"):
            field = random_deformation(self.size, self.deformation, generator)
            _, label = deform(torch.zeros(1, *self.size, device=self.device), base, field)
            item[side] = render(label, "random", generator)
            item[f"{side}_label"] = label[None]
        item["image"] = torch.cat([item["moving"], item["fixed"]])
        return item
