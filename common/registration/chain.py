"""Stored transforms as one way from a reference to what is brought to it, and what does not fit on that way."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.errors import InputError
from common.geometry import Grid, transform_points
from common.geometry.affines import Array
from common.geometry.inversion import inverse, invert_points
from common.geometry.pulling import coverage, share_inside
from common.geometry.transforms import DisplacementField, Transform, apply_to_points, compose, to_field
from common.images import read_header
from common.registration.transform_files import read_transform

logger = logging.getLogger(__name__)

#: Shares of a reference's voxels within a field's grid, and of what lands within the input, below which it is said.
COVERED, LANDED = 0.95, 0.05
#: Millimetres that the way there and back may miss before it is said.
MISSED = 0.5


@dataclass(frozen=True, eq=False)
class Chain:
    """Transforms in the order in which points of the reference meet them, as ANTs lists them after ``-t``.

    Args:
        paths: their files.
        whole: from the reference's space to that of what is to be moved.
        backwards: use the inverse of the whole chain.
    """

    paths: tuple[str, ...]
    whole: Transform
    backwards: bool = False

    @classmethod
    def read(cls, paths: Sequence[str], backwards: bool = False) -> "Chain":
        """Read the files.

        Raises:
            InputError: none is given, or one cannot be read.
        """
        if not paths:
            raise InputError("expected at least one transform, got none")
        spaces = [f"space {number}" for number in range(len(paths) + 1)]
        steps = [read_transform(path, *spaces[n : n + 2]) for n, path in enumerate(paths)]
        return cls(tuple(map(str, paths)), compose(*steps), backwards)

    @cached_property
    def pulling(self) -> Transform:
        """From the space of the results to that of the inputs."""
        if not self.backwards:
            return self.whole
        back, residual = inverse(self.whole)
        if residual.max_mm > MISSED:
            logger.warning(
                "the inverse misses by %.2f mm on average, %.1f mm at most: the field folds or leaves its grid there",
                residual.mean_mm, residual.max_mm,
            )  # fmt: skip
        return back

    def field_on(self, grid: Grid, name: str) -> DisplacementField:
        """The whole chain as one field on the reference's grid.

        Raises:
            InputError: the reference and the grid of a field in the chain do not meet at all.
        """
        for number, share in enumerate(coverage(self.pulling, grid), 1):
            if share == 0:
                raise InputError(
                    f"reference {name}: expected it to meet the grid of field {number} of {', '.join(self.paths)}, "
                    f"got nothing in common: another reference, another order, or --inverse?"
                )
            if share < COVERED:
                logger.warning(
                    "only %.0f %% of the reference %s lies within the grid of field %d of %s; beyond it nothing is "
                    "displaced: is it the right reference, in the right order?",
                    100 * share, name, number, ", ".join(self.paths),
                )  # fmt: skip
        return to_field(self.pulling, grid)

    def push(self, points: Array) -> tuple[Array, Array]:
        """Bring points (N, 3), RAS mm, to where images of the same space go; and by how much each misses, mm."""
        if self.backwards:
            return apply_to_points(self.whole, points), np.zeros(len(points))
        return invert_points(self.whole, points)


class Reference:
    """The grid of the results, and the chain's field on it, made once for all images.

    Args:
        chain: the transforms.
        path: an image; only its header counts.

    Raises:
        InputError: it cannot be read, or the chain does not reach it.
    """

    def __init__(self, chain: Chain, path: str) -> None:
        self.grid, self._chain, self._path = read_header(path, "reference").grid, chain, path

    @cached_property
    def field(self) -> DisplacementField:
        """See ``Chain.field_on``."""
        return self._chain.field_on(self.grid, self._path)

    def check_landing(self, name: str, grid: Grid) -> None:
        """Say where hardly any voxel of the reference lands within an input.

        Raises:
            InputError: none does.
        """
        x, y, z = (slice(0, n, max(1, n // 30)) for n in self.grid.shape)
        index = np.mgrid[x, y, z]
        there = index + self.field.ddf[:, x, y, z].numpy()
        points = transform_points(self.grid.affine, there.reshape(3, -1).T)
        share = share_inside(grid, points)
        if share == 0:
            raise InputError(
                f"input {name}: expected the transforms to lead from the reference into it, got no voxel of the "
                f"reference {self._path} that lands there: another order, or --inverse?"
            )
        if share < LANDED:
            logger.warning("only %.1f %% of the reference's voxels land within %s", 100 * share, name)
