"""Training samples of the anatomy network: one subject deformed, in any contrast, with a scan's defects."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from common.anatomy.description import normalised
from common.anatomy.structures import channels_of
from common.data.acquisition import acquired
from common.data.augment import affine_field, chance, random_affine, random_deformation, uniform
from common.data.contrasts import CONTRASTS
from common.data.synthesis import render
from common.spatial import compose, warp
from common.training.volumes import Subject

#: Shares of the subjects' own images (in turn), and of images painted in a random contrast; the others are painted as
#: one of ``CONTRASTS`` each.
OWN, RANDOM = 0.5, 0.16
#: Share of the images with the defects of acquired scans, and of those of the subjects whose contrast is changed.
DEFECTS, OTHER_GAMMA = 0.75, 0.5
#: FreeSurfer number of what is in the brain's mask and no structure.
FLUID = 24


class AnatomySamples:
    """Draws samples.

    Args:
        subjects: with label maps; see ``load_subjects``.
        identifiers: FreeSurfer number of each label value.
    """

    def __init__(self, subjects: Sequence[Subject], identifiers: Sequence[int]) -> None:
        self._subjects = subjects
        # The labels hold no fluid around the brain; painted black it would be bone in a T2.
        self._identifiers = [*identifiers, FLUID]
        self._channels = channels_of([*identifiers, 0])

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw an image (1, X, Y, Z) and the network's channel of each voxel (X, Y, Z)."""
        subject = self._subjects[int(uniform(generator, 0, len(self._subjects)))]
        assert subject.label is not None
        elastic = random_deformation(subject.shape, 1.2, generator)
        linear = random_affine(generator, degrees=10.0, scale=0.12, shear=0.05, shift=4.0)
        field = compose(affine_field(linear, subject.shape), elastic, padding="border")
        label = self._with_fluid(subject)
        label = warp(label[None, None].float(), field, mode="nearest")[0, 0].long()
        image = self._image(subject, label, field, generator)
        if chance(generator, DEFECTS):
            image = acquired(image, (label > 0)[None], generator)
        image, channels = normalised(image), self._channels[label]
        if chance(generator, 0.5):
            image, channels = image.flip(1), channels.flip(0)
        return image, channels

    def _with_fluid(self, subject: Subject) -> Tensor:
        assert subject.label is not None
        inside = torch.stack(list(subject.images.values())).amax(dim=0) > 0
        label = subject.label.long()
        return torch.where(inside & (label == 0), len(self._identifiers) - 1, label)

    def _image(self, subject: Subject, label: Tensor, field: Tensor, generator: torch.Generator) -> Tensor:
        kind = uniform(generator, 0.0, 1.0)
        if kind < OWN:
            images = list(subject.images.values())
            own = images[min(int(kind / OWN * len(images)), len(images) - 1)]
            image = warp(own[None, None].float() / 255.0, field)[0]
            gamma = uniform(generator, -0.3, 0.3) if chance(generator, OTHER_GAMMA) else 0.0
            return image.clamp_min(0) ** math.exp(gamma)
        if kind < OWN + RANDOM:
            return render(label, "random", generator)
        names = list(CONTRASTS)
        return render(label, names[int(uniform(generator, 0, len(names)))], generator, self._identifiers)


def anatomy_loss(scores: Tensor, channels: Tensor) -> Tensor:
    """Cross-entropy plus one minus the mean soft Dice of the structures that are there.

    Args:
        scores: (1, K, X, Y, Z).
        channels: (X, Y, Z).
    """
    truth = F.one_hot(channels, scores.shape[1]).permute(3, 0, 1, 2).flatten(1).float()
    probability = scores[0].softmax(dim=0).flatten(1)
    shared, both = (probability * truth).sum(1)[1:], (probability + truth).sum(1)[1:]
    there = truth.sum(1)[1:] > 0
    return F.cross_entropy(scores, channels[None]) + (1 - 2 * shared / (both + 1))[there].mean()
