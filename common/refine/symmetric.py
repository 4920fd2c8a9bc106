"""Both images move: to a middle that belongs to neither, so that exchanging them gives the inverse.

Source: Avants et al., Medical Image Analysis 2008 (SyN's two half transformations). Each half follows the derivative of
the similarity to its own image, against the other image as its own half has moved it; steps have one scale.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from common.refine.descent import Descent, Level
from common.refine.similarity import Part
from common.spatial import compose, invert


class Half(Descent, Protocol):
    """A descent whose fixed images can be exchanged between two steps."""

    @property
    def moved(self) -> Any:
        """The moved images of each part, as ``look_at`` takes them."""

    def warp(self) -> None:
        """Warp the moving images by the present field."""

    def look_at(self, fixed: Any) -> None:
        """Take other fixed images: those that another descent has moved."""

    def follow(self) -> float:
        """Compute the smoothed force from the moved images as they are; return the similarity."""


class SymmetricDescent:
    """Two halves as one ``Descent``; its field is (2, 3, X, Y, Z): middle to moving, middle to fixed."""

    def __init__(self, to_moving: Half, to_fixed: Half) -> None:
        self._halves = to_moving, to_fixed

    def force(self) -> float:
        """See ``Descent``."""
        one, other = self._halves
        one.warp()
        other.warp()
        one.look_at(other.moved)
        other.look_at(one.moved)
        return (one.follow() + other.follow()) / 2

    def rms(self) -> float:
        """See ``Descent``; over both halves."""
        return (sum(half.rms() ** 2 for half in self._halves) / 2) ** 0.5

    def pull(self, scale: float) -> None:
        """See ``Descent``; a symmetric run has no landmarks."""

    def propose(self, scale: float, cap: float) -> None:
        """See ``Descent``; each half takes half of the step."""
        for half in self._halves:
            half.propose(scale / 2, cap)

    def smallest(self) -> float:
        """See ``Descent``."""
        return min(half.smallest() for half in self._halves)

    def hold_back(self, floor: float, reach: float, still: bool) -> None:
        """See ``Descent``."""
        for half in self._halves:
            half.hold_back(floor, reach, still)

    def accept(self) -> None:
        """See ``Descent``."""
        for half in self._halves:
            half.accept()

    def field(self) -> Tensor:
        """Both fields, (2, 3, X, Y, Z)."""
        return torch.cat([half.field() for half in self._halves])


def mirrored(level: Level, field: Tensor) -> Level:
    """Return the level of the other half: each part's fixed images move, its moving ones are what they are held to.

    Args:
        level: of the half that moves the moving image.
        field: (1, 3, X, Y, Z), from the middle to the fixed image.
    """
    parts = [Part(part.similarity.fixed, part.similarity.against(part.moving), part.weight) for part in level.parts]
    return Level(parts, field, level.drive, level.hold, level.force_taps, level.field_taps)


def joined(to_moving: Tensor, to_fixed: Tensor) -> Tensor:
    """Return the field from the fixed to the moving image of two halves, (1, 3, X, Y, Z) each.

    a after the inverse of b, and b after the inverse of a, are inverse to one another only up to what lies between the
    voxels, 0.2 voxel where a field bends sharply. The mean of the one and the inverse of the other halves that error
    and makes it the same for both orders of the images.
    """
    tolerance = 1e-3
    there = compose(to_moving, invert(to_fixed, tolerance)[0], padding="border")
    back = compose(to_fixed, invert(to_moving, tolerance)[0], padding="border")
    return (there + invert(back, tolerance)[0]) / 2
