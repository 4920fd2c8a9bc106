"""What the optimiser asks of a similarity: its value and the force that raises it.

A force points along the derivative of the similarity to the field, up to a factor: the optimiser scales it.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from common.refine.correlation import Windows, central_gradient, correlation_slope, windows_of


class Similarity(Protocol):
    """A similarity between fixed images, which it holds, and moved ones."""

    fixed: Tensor

    def against(self, fixed: Tensor) -> "Similarity":
        """Return the same similarity with other fixed images."""

    def force(self, moved: Tensor) -> tuple[Tensor, float]:
        """Return the force (1, 3, X, Y, Z) at the moved images (1, C, X, Y, Z), and the similarity."""


@dataclass(frozen=True)
class Part:
    """One similarity and the images that it looks at; several are added up, each force first brought to one length.

    Attributes:
        moving: (1, C, X, Y, Z), the images that are warped.
        similarity: holds the fixed ones.
        weight: of this part's force.
    """

    moving: Tensor
    similarity: Similarity
    weight: float = 1.0


class LocalCorrelation:
    """Mean squared local correlation of one or several channels, each with the channel of its number.

    Args:
        fixed: (1, C, X, Y, Z).
        centres: (1, 1, X, Y, Z), 1 where a window counts.
        mask: see ``windows_of``.
        radius: of the windows in voxels.
        epsilon: least variance.
        exact: see ``correlation_slope``.
    """

    def __init__(
        self, fixed: Tensor, centres: Tensor, mask: Tensor | None, radius: int, epsilon: float, exact: bool
    ) -> None:
        self.fixed, self.exact = fixed, exact
        self.windows: Windows = windows_of(fixed, centres, mask, radius, epsilon)
        self.number = float((self.windows.inverse > 0).sum().clamp_min(1))

    def against(self, fixed: Tensor) -> "LocalCorrelation":
        """See ``Similarity``."""
        windows = self.windows
        return LocalCorrelation(fixed, windows.usable, windows.mask, windows.radius, windows.epsilon, self.exact)

    def force(self, moved: Tensor) -> tuple[Tensor, float]:
        """See ``Similarity``."""
        slope, energy = correlation_slope(self.fixed, moved, self.windows, self.exact)
        return (slope[:, :, None] * central_gradient(moved)).sum(1), float(energy) / self.number


class FeatureDistance:
    """Sum of squares between feature channels, such as MIND's; the similarity is minus its mean.

    Args:
        fixed: (1, C, X, Y, Z).
        weight: (1, 1, X, Y, Z), 0 where nothing counts.
    """

    def __init__(self, fixed: Tensor, weight: Tensor) -> None:
        self.fixed, self.weight = fixed, weight
        self.number = float(weight.sum(dtype=torch.float64).clamp_min(1))

    def against(self, fixed: Tensor) -> "FeatureDistance":
        """See ``Similarity``."""
        return FeatureDistance(fixed, self.weight)

    def force(self, moved: Tensor) -> tuple[Tensor, float]:
        """See ``Similarity``."""
        difference = (self.fixed - moved) * self.weight
        energy = float((difference * (self.fixed - moved)).sum(dtype=torch.float64)) / self.number
        force = torch.zeros_like(moved[:, :1]).repeat(1, 3, 1, 1, 1)
        for channel in range(moved.shape[1]):  # all gradients at once would be three times the features
            force += difference[:, channel, None] * central_gradient(moved[:, channel : channel + 1])[:, 0]
        return force, -energy
