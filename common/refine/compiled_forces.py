"""Forces on numba's kernels: what ``common.refine.similarity`` computes in PyTorch, in few passes over memory."""

from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.compiled.width import WIDTH
from common.refine.layout import EMPTY, Layout, dilated, scratch
from common.refine.similarity import FeatureDistance, LocalCorrelation, Part

CORRELATION_ROWS = 32  # planes of a job that first sums up the planes before its own
Flat = NDArray[np.float32]


class Force(Protocol):
    """A force at a field, in two moves: warp the images, then pull."""

    #: The moved images, as ``look_at`` takes them.
    moved: list[Flat]

    def warp(self, field: Flat) -> None:
        """Warp the moving images by a flat field."""

    def look_at(self, fixed: list[Flat]) -> None:
        """Take other fixed images: those that another force has moved."""

    def pull(self, out: Flat) -> float:
        """Write the force, flat, and return the similarity."""


class CorrelationForce:
    """The local correlation of one or several channels."""

    def __init__(self, moving: Tensor, similarity: LocalCorrelation, layout: Layout) -> None:
        from common.refine import correlation_kernels, kernels

        self._warp, self._kernels = kernels.warp_planes, correlation_kernels
        self._similarity, self._layout = similarity, layout
        windows = similarity.windows
        counted = (windows.inverse > 0).any(1)[0]
        self._moving, self._fixed, self._mean, self._inverse = (
            [layout.flat(channel[None]) for channel in part[0]]
            for part in (moving, similarity.fixed, windows.mean, windows.inverse)
        )
        self._usable, self._count = layout.flat(windows.usable[0]), layout.flat(windows.count[0])
        self._mask = EMPTY if windows.mask is None else layout.flat(windows.mask[0])
        self.moved = [layout.empty(1) for _ in self._moving]
        self._further = layout.empty(3) if len(self._moving) > 1 else EMPTY
        self._coefficients = layout.empty(3) if similarity.exact else EMPTY
        self._seen = layout.rows(dilated(counted, windows.radius + 1))
        self._pulled = layout.rows(dilated(counted, windows.radius))

    def warp(self, field: Flat) -> None:
        """See ``Force``."""
        numbers, valid = self._layout.numbers, self._layout.valid
        for moving, moved in zip(self._moving, self.moved, strict=True):
            self._layout.planes(partial(self._warp, moving, field, moved, valid, numbers, *self._seen))

    def look_at(self, fixed: list[Flat]) -> None:
        """See ``Force``."""
        self._fixed, windows = fixed, self._similarity.windows

        def measure(channel: int, start: int, stop: int) -> None:
            self._kernels.window_planes(
                fixed[channel], self._mask, self._usable, self._count, self._mean[channel], self._inverse[channel],
                self._layout.numbers, *self._seen, windows.radius, windows.epsilon, *self._window(start, stop),
            )  # fmt: skip

        for channel in range(len(fixed)):
            self._layout.planes(partial(measure, channel), CORRELATION_ROWS)

    def pull(self, out: Flat) -> float:
        """See ``Force``."""
        energy = self._correlate(0, out)
        for channel in range(1, len(self._moving)):
            energy += self._correlate(channel, self._further)
            out += self._further
        return energy / self._similarity.number

    def _window(self, start: int, stop: int) -> tuple[Any, ...]:
        """What the kernels with running sums take last: scratch, lanes and planes."""
        _, y, _, stride, _ = self._layout.numbers
        planes, lines = scratch("planes", 3 * (y * stride + 2 * WIDTH)), scratch("lines", 3 * (stride + 2 * WIDTH))
        radius = self._similarity.windows.radius
        return planes, lines, *self._span(start - radius, stop + radius), start, stop

    def _correlate(self, channel: int, out: Flat) -> float:
        windows, layout, exact = self._similarity.windows, self._layout, self._similarity.exact
        fixed, moved = self._fixed[channel], self.moved[channel]

        def sums(start: int, stop: int) -> float:
            return self._kernels.correlation_planes(
                fixed, moved, self._mask, self._mean[channel], self._inverse[channel], self._count, out,
                self._coefficients, layout.numbers, *self._seen, windows.radius, windows.epsilon, exact,
                *self._window(start, stop),
            )  # fmt: skip

        def forces(start: int, stop: int) -> None:
            self._kernels.exact_force_planes(
                fixed, moved, self._mask, self._coefficients, out, layout.numbers, *self._pulled, windows.radius,
                *self._window(start, stop),
            )  # fmt: skip

        energy = layout.planes(sums, CORRELATION_ROWS)
        if exact:
            layout.planes(forces, CORRELATION_ROWS)
        return energy

    def _span(self, start: int, stop: int) -> tuple[int, int]:
        """First and one past the last lane that rows of the planes start <= x < stop see."""
        y = self._layout.shape[1]
        part = slice(max(start, 0) * y, max(stop, 0) * y)
        first, last = self._seen[0][part], self._seen[1][part]
        some = last > first
        return (int(first[some].min()), int(last[some].max())) if some.any() else (0, 0)


class FeatureForce:
    """Squares of differences of up to sixteen feature channels."""

    def __init__(self, moving: Tensor, similarity: FeatureDistance, layout: Layout) -> None:
        from common.refine import feature_kernels

        self._kernels, self._layout, self._number = feature_kernels, layout, similarity.number
        self._moving, self._fixed = _channels_last(moving), _channels_last(similarity.fixed)
        self.moved = [np.zeros_like(self._moving)]
        self._weight = layout.flat(similarity.weight[0])
        counted = similarity.weight[0, 0] > 0
        self._seen, self._pulled = layout.rows(dilated(counted, 1)), layout.rows(counted)

    def warp(self, field: Flat) -> None:
        """See ``Force``."""
        numbers = self._layout.numbers
        warp = partial(self._kernels.warp_features, self._moving, field, self.moved[0], numbers, *self._seen)
        self._layout.planes(warp)

    def look_at(self, fixed: list[Flat]) -> None:
        """See ``Force``."""
        self._fixed = fixed[0]

    def pull(self, out: Flat) -> float:
        """See ``Force``."""

        def force(start: int, stop: int) -> float:
            products, numbers = scratch("products", 4 * WIDTH * WIDTH), self._layout.numbers
            return self._kernels.feature_force(
                self._fixed, self.moved[0], self._weight, out, numbers, *self._pulled, products, start, stop
            )

        return -self._layout.planes(force) / self._number


def _channels_last(features: Tensor) -> Flat:
    """(1, C, X, Y, Z) -> flat (X, Y, Z, 16) behind sixteen zeros, empty channels zero."""
    _, channels, x, y, z = features.shape
    flat = torch.zeros(WIDTH + x * y * z * WIDTH)
    flat[WIDTH:].view(x, y, z, WIDTH)[..., :channels] = features[0].permute(1, 2, 3, 0)
    return flat.numpy()


def force_of(part: Part, layout: Layout) -> Force:
    """Return the compiled force of a part."""
    if isinstance(part.similarity, LocalCorrelation):
        return CorrelationForce(part.moving, part.similarity, layout)
    assert isinstance(part.similarity, FeatureDistance)
    return FeatureForce(part.moving, part.similarity, layout)
