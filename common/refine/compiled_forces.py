"""Forces on numba's kernels: what ``common.refine.similarity`` computes in PyTorch, in few passes over memory."""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.compiled.width import WIDTH
from common.refine.layout import EMPTY, ROWS, Layout, dilated, scratch
from common.refine.similarity import FeatureDistance, LocalCorrelation, Part

CORRELATION_ROWS = 32  # planes of a job that first sums up the planes before its own
Flat = NDArray[np.float32]


class Force(Protocol):
    """Writes the force at a field, both flat, and returns the similarity."""

    def __call__(self, field: Flat, out: Flat) -> float:
        """Compute the force."""


class CorrelationForce:
    """The local correlation of one or several channels."""

    def __init__(self, moving: Tensor, similarity: LocalCorrelation, layout: Layout) -> None:
        from common.refine import correlation_kernels, kernels

        self._warp, self._kernels = kernels.warp_planes, correlation_kernels
        self._similarity, self._layout = similarity, layout
        windows = similarity.windows
        counted = (windows.inverse > 0).any(1)[0]
        parts = (moving, similarity.fixed, windows.mean, windows.inverse)
        self._channels = [tuple(layout.flat(part[:, c]) for part in parts) for c in range(moving.shape[1])]
        self._count = layout.flat(windows.count[0])
        self._mask = EMPTY if windows.mask is None else layout.flat(windows.mask[0])
        self._moved = layout.empty(1)
        self._further = layout.empty(3) if len(self._channels) > 1 else EMPTY
        self._coefficients = layout.empty(3) if similarity.exact else EMPTY
        self._seen = layout.rows(dilated(counted, windows.radius + 1))
        self._pulled = layout.rows(dilated(counted, windows.radius))

    def __call__(self, field: Flat, out: Flat) -> float:
        """See ``Force``."""
        energy = 0.0
        for number, (moving, *fixed) in enumerate(self._channels):
            self._layout.planes(lambda start, stop, image=moving: self._warp(  # type: ignore[misc]
                image, field, self._moved, self._layout.valid, self._layout.numbers, *self._seen, start, stop
            ))  # fmt: skip
            energy += self._correlate(fixed, self._further if number else out)
            if number:
                out += self._further
        return energy / self._similarity.number

    def _correlate(self, fixed: list[Flat], out: Flat) -> float:
        windows, layout, exact = self._similarity.windows, self._layout, self._similarity.exact
        _, y, _, stride, _ = layout.numbers

        def window(start: int, stop: int) -> tuple[Any, ...]:
            planes, lines = scratch("planes", 3 * (y * stride + 2 * WIDTH)), scratch("lines", 3 * (stride + 2 * WIDTH))
            return planes, lines, *self._span(start - windows.radius, stop + windows.radius), start, stop

        def sums(start: int, stop: int) -> float:
            return self._kernels.correlation_planes(
                fixed[0], self._moved, self._mask, fixed[1], fixed[2], self._count, out, self._coefficients,
                layout.numbers, *self._seen, windows.radius, windows.epsilon, exact, *window(start, stop),
            )  # fmt: skip

        def forces(start: int, stop: int) -> None:
            self._kernels.exact_force_planes(
                fixed[0], self._moved, self._mask, self._coefficients, out, layout.numbers, *self._pulled,
                windows.radius, *window(start, stop),
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
        self._moved = np.zeros_like(self._moving)
        self._weight = layout.flat(similarity.weight[0])
        counted = similarity.weight[0, 0] > 0
        self._seen, self._pulled = layout.rows(dilated(counted, 1)), layout.rows(counted)

    def __call__(self, field: Flat, out: Flat) -> float:
        """See ``Force``."""
        numbers = self._layout.numbers

        def warp(start: int, stop: int) -> None:
            self._kernels.warp_features(self._moving, field, self._moved, numbers, *self._seen, start, stop)

        def force(start: int, stop: int) -> float:
            products = scratch("products", 4 * WIDTH * WIDTH)
            return self._kernels.feature_force(
                self._fixed, self._moved, self._weight, out, numbers, *self._pulled, products, start, stop
            )

        self._layout.planes(warp, ROWS)
        return -self._layout.planes(force, ROWS) / self._number


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
