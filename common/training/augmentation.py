"""What is done to two subjects before they are a training pair; see ``common.data.augment`` for the transforms."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from common.data.acquisition import acquired
from common.data.augment import chance, random_deformation, random_field, smooth_noise, uniform
from common.errors import InputError
from common.switches import reads_switches


@reads_switches
@dataclass(frozen=True)
class Augmentation:
    """Random variation of the subjects; by default there is none.

    Attributes:
        deformation: strength of the random deformation of each side in voxels, 0 for none.
        deformation_chance: share of the volumes that are deformed.
        flip: mirror both sides of a pair.
        flip_axes: along these axes, each in half of the pairs: 0 is left to right; ViT-V-Net's authors take all three.
        intensity: strength of the gamma, bias and noise augmentation of seen images, 0 for none.
        acquisition: share of the seen images that get the defects of acquired scans, see ``common.data.acquisition``.
    """

    deformation: float = 0.0
    deformation_chance: float = 0.6
    flip: bool = False
    flip_axes: Sequence[int] = (0,)
    intensity: float = 0.0
    acquisition: float = 0.0

    def __post_init__(self) -> None:
        if not set(self.flip_axes) <= {0, 1, 2}:
            raise InputError(f"flip_axes: expected some of 0, 1 and 2, got {list(self.flip_axes)}")

    def mirrors(self, generator: torch.Generator) -> list[int]:
        """Draw the axes along which a pair is mirrored."""
        return [axis for axis in self.flip_axes if chance(generator, 0.5)] if self.flip else []

    def field(self, shape: Sequence[int], generator: torch.Generator) -> Tensor | None:
        """Draw the field (1, 3, X, Y, Z) in voxels that deforms one side, or none."""
        if self.deformation <= 0 or not chance(generator, self.deformation_chance):
            return None
        return random_field(shape, generator, self.deformation)

    def shaded(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return an image (1, X, Y, Z) in [0, 1], mostly with another gamma, bias field, noise and brightness."""
        if self.intensity <= 0 or chance(generator, 0.25):
            return image
        gamma = 2.0 ** uniform(generator, -self.intensity, self.intensity)
        bias = torch.exp(0.3 * self.intensity * smooth_noise(image.shape[1:], (3, 3, 3), 1, generator)[0])
        noise = torch.randn(image.shape, generator=generator, device=image.device)
        noise = noise * uniform(generator, 0.0, 0.04 * self.intensity)
        shaded = image.clamp_min(1e-6) ** gamma * bias + noise * (image > 0)
        return (shaded * uniform(generator, 0.85, 1.15)).clamp(0, 1)

    def acquired(self, image: Tensor, label: Tensor | None, generator: torch.Generator) -> Tensor:
        """Return an image (1, X, Y, Z) in [0, 1] as it is, or with the defects of a scan.

        Args:
            image: what is seen.
            label: (X, Y, Z), above 0 in the brain; without it, all that is not black is brain.
            generator: source of randomness.
        """
        if self.acquisition <= 0 or not chance(generator, self.acquisition):
            return image
        inside = image > 0.02 if label is None else (label > 0)[None]
        return acquired(image, inside, generator)


@reads_switches
@dataclass(frozen=True)
class SamePerson:
    """Pairs whose two sides are one subject, the fixed side deformed by a strong random field.

    That field is the answer, which no image tells inside of a homogeneous tissue.

    Attributes:
        share: of the pairs.
        deformation: strength of the field in voxels of the coarse grid.
    """

    share: float = 0.0
    deformation: float = 2.5

    def drawn(self, generator: torch.Generator) -> bool:
        """Draw whether a pair is of one person."""
        return self.share > 0 and chance(generator, self.share)

    def field(self, shape: Sequence[int], finer: float, generator: torch.Generator) -> Tensor:
        """Draw a field (1, 3, X, Y, Z) in voxels of a grid ``finer`` times as fine: as many millimetres on any grid."""
        return random_deformation(shape, finer * self.deformation, generator, [finer * knot for knot in (16, 32, 64)])
