"""Transforms that know where they lead from and to: affines, displacement fields, and chains of them.

A transform maps **points** of the space ``source`` to points of the space ``target``; an image in ``target`` is pulled
back by it onto a grid in ``source``. A registration gives ``fixed`` to ``moving``. Inside, everything is RAS
millimetres; ITK, ANTs and Slicer write LPS, so the constructors and methods that speak it have ``lps`` in their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from common.errors import InputError
from common.geometry.affines import Array, index_map, swap_ras_lps, transform_points
from common.geometry.fields import ddf_to_lps, lps_to_ddf
from common.geometry.grids import Grid
from common.geometry.sampling import positions, row_ranges, sample_at

#: Between the two worlds; its own inverse.
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Affine:
    """``matrix`` (4, 4) takes RAS millimetres of ``source`` to RAS millimetres of ``target``."""

    matrix: Array
    source: str = "fixed"
    target: str = "moving"

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.allclose(matrix[3], (0, 0, 0, 1)):
            raise InputError(f"affine: expected a finite 4x4 matrix with last row 0 0 0 1, got {matrix.tolist()}")
        if abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
            raise InputError(f"affine: expected a matrix with an inverse, got {matrix[:3, :3].tolist()}")
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def from_lps(cls, matrix: ArrayLike, source: str = "fixed", target: str = "moving") -> Affine:
        """The same map given in LPS millimetres, (4, 4), as ITK has it."""
        return cls(swap_ras_lps(matrix) @ _FLIP, source, target)

    @property
    def lps(self) -> Array:
        """The same map in LPS millimetres, (4, 4).

        >>> Affine(np.array([[1.0, 0, 0, 5], [0, 1, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]])).lps[:3, 3].tolist()
        [-5.0, -6.0, 7.0]
        """
        return swap_ras_lps(self.matrix) @ _FLIP

    def inverted(self) -> Affine:
        """From ``target`` to ``source``, exact."""
        return Affine(np.linalg.inv(self.matrix), self.target, self.source)


@dataclass(frozen=True, eq=False)
class DisplacementField:
    """``x -> x + u(x)``: ``ddf`` (3, X, Y, Z) float32 in voxels of ``grid``, which lies in ``source``.

    Between voxels ``u`` is linear; farther than half a voxel outside of the grid it is zero, as in ITK and ANTs.
    """

    grid: Grid
    ddf: Tensor
    source: str = "fixed"
    target: str = "moving"

    def __post_init__(self) -> None:
        if tuple(self.ddf.shape) != (3, *self.grid.shape):
            raise InputError(
                f"displacement field: expected shape {(3, *self.grid.shape)} for its grid, got {tuple(self.ddf.shape)}"
            )
        if not bool(torch.isfinite(self.ddf).all()):
            raise InputError("displacement field: expected finite vectors, got some that are NaN or infinite")

    @classmethod
    def from_lps(cls, grid: Grid, field: Tensor, source: str = "fixed", target: str = "moving") -> DisplacementField:
        """From LPS millimetres, (3, X, Y, Z), as ``warp.nii.gz`` holds them."""
        return cls(grid, lps_to_ddf(field.float(), grid.affine), source, target)

    @property
    def lps(self) -> Tensor:
        """The vectors in LPS millimetres, (3, X, Y, Z)."""
        return ddf_to_lps(self.ddf, self.grid.affine)


@dataclass(frozen=True, eq=False)
class Composite:
    """Transforms one after the other; the first one meets the points first. ``compose`` makes it."""

    parts: tuple[Affine | DisplacementField, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise InputError("chain of transforms: expected at least one, got none")
        for before, after in zip(self.parts, self.parts[1:], strict=False):
            if before.target != after.source:
                raise InputError(
                    f"chain of transforms: expected the one after {before.source} -> {before.target} to start in "
                    f"{before.target}, got {after.source} -> {after.target}"
                )

    @property
    def source(self) -> str:
        """Where points come from."""
        return self.parts[0].source

    @property
    def target(self) -> str:
        """Where points arrive."""
        return self.parts[-1].target


Transform = Affine | DisplacementField | Composite


def parts_of(transform: Transform) -> tuple[Affine | DisplacementField, ...]:
    """The simple transforms that a transform consists of, in the order in which they meet points."""
    return transform.parts if isinstance(transform, Composite) else (transform,)


def compose(*transforms: Transform) -> Transform:
    """Chain transforms in the order in which they meet **points**: ``compose(a, b)`` maps x to b(a(x)).

    Neighbouring affines become one. To an image the chain is applied the other way round: that of ``b`` first.

    Raises:
        InputError: none given, or one does not start in the space where the one before it ends.

    >>> shift = np.eye(4); shift[0, 3] = 2.0
    >>> both = compose(Affine(shift, "fixed", "template"), Affine(np.diag([3.0, 3, 3, 1]), "template", "moving"))
    >>> both.source, both.target, apply_to_points(both, [[1.0, 0, 0]]).tolist()
    ('fixed', 'moving', [[9.0, 0.0, 0.0]])
    """
    chain = Composite(tuple(part for transform in transforms for part in parts_of(transform)))
    joined: list[Affine | DisplacementField] = []
    for part in chain.parts:
        last = joined[-1] if joined else None
        if isinstance(last, Affine) and isinstance(part, Affine):
            joined[-1] = Affine(part.matrix @ last.matrix, last.source, part.target)
        else:
            joined.append(part)
    return joined[0] if len(joined) == 1 else Composite(tuple(joined))


def apply_to_points(transform: Transform, points: ArrayLike) -> Array:
    """Move points of ``source`` to where they lie in ``target``. (N, 3) RAS millimetres -> (N, 3) RAS millimetres.

    For LPS points (ITK, Slicer's CSV) negate the first two coordinates before and after: ``ras_lps_points``.
    """
    moved: Array = np.array(points, dtype=np.float64).reshape(-1, 3)
    for part in parts_of(transform):
        moved = transform_points(part.matrix, moved) if isinstance(part, Affine) else moved + displacements(part, moved)
    return moved


def ras_lps_points(points: ArrayLike) -> Array:
    """Turn RAS points into LPS points or back. (N, 3) -> (N, 3).

    >>> ras_lps_points([[1.0, 2.0, 3.0]]).tolist()
    [[-1.0, -2.0, 3.0]]
    """
    return np.asarray(points, dtype=np.float64) * (-1.0, -1.0, 1.0)


def displacements(field: DisplacementField, points: Array, fill: float | None = 0.0) -> Array:
    """RAS millimetres at RAS points, (N, 3) -> (N, 3); outside of the grid ``fill``, or the outermost ones for None."""
    indices = transform_points(np.linalg.inv(field.grid.affine), points)
    where = torch.from_numpy(np.ascontiguousarray(indices.T)).to(field.ddf.dtype).view(3, -1, 1, 1)
    vectors = sample_at(field.ddf, where, fill=fill)[:, :, 0, 0].double().numpy().T
    return vectors @ field.grid.affine[:3, :3].T


def to_field(transform: Transform, grid: Grid) -> DisplacementField:
    """Sample a transform at the voxels of a grid in its source: one dense field, the total displacement.

    Between the grid's voxels it is linear, where a chain need not be; beyond the grid it is zero, where an affine goes
    on. Exact at the voxels themselves.
    """
    ddf = torch.empty((3, *grid.shape), dtype=torch.float32)
    for rows in row_ranges(grid.shape):
        ddf[:, rows] = _slab_of(parts_of(transform), grid, rows)
    return DisplacementField(grid, ddf, transform.source, transform.target)


def _slab_of(parts: Sequence[Affine | DisplacementField], grid: Grid, rows: slice) -> Tensor:
    """Total displacement of one slab in voxels of the grid, as a sum of displacements: no large numbers cancel."""
    total: Tensor | None = None
    for part in parts:
        if isinstance(part, Affine):
            step = index_map(grid.affine, grid.affine, part.matrix) - np.eye(4)
            moved = positions(step, grid.shape, rows, total)
        else:
            where = positions(index_map(grid.affine, part.grid.affine), grid.shape, rows, total)
            turn = torch.from_numpy(index_map(part.grid.affine, grid.affine)[:3, :3]).float()
            moved = torch.einsum("ab,bxyz->axyz", turn, sample_at(part.ddf, where, fill=0.0))
        total = moved if total is None else total + moved
    assert total is not None  # a transform has at least one part
    return total
