"""The way back: inverse transforms with what they miss in millimetres, a field's affine part, and thinner fields."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from common.errors import InputError
from common.geometry.affines import Array, spacing_of, transform_points
from common.geometry.fields import displacement_mm
from common.geometry.grids import Grid
from common.geometry.sampling import positions, row_ranges, sample_at
from common.geometry.transforms import (
    Affine,
    Composite,
    DisplacementField,
    Transform,
    apply_to_points,
    compose,
    displacements,
    parts_of,
    to_field,
)
from common.spatial import invert

#: Name of the space between a field and the affine that follows it: the moving image, brought to the fixed one.
ALIGNED = "aligned"


@dataclass(frozen=True)
class Residual:
    """Distances in millimetres between points and where they arrive after a transform and its approximate inverse."""

    mean_mm: float
    max_mm: float


def inverse(transform: Transform, iterations: int = 60) -> tuple[Transform, Residual]:
    """The transform from ``target`` to ``source``, and by how much the way there and back misses.

    Affines are inverted exactly. A field is first split into an affine and a rest (``split``), the rest inverted voxel
    by voxel (``common.spatial.invert``). A field with folds has no inverse there, and where one voxel of the inverse
    holds many of the field, as in tissue that it presses together, lines between voxels miss: the residual says so.

    Returns:
        The inverse, and the larger residual of the fields in it, each over the voxels of its grid that stay within it.
    """
    steps: list[Transform] = []
    worst = Residual(0.0, 0.0)
    for part in reversed(parts_of(transform)):
        if isinstance(part, Affine):
            steps.append(part.inverted())
            continue
        back, residual = _invert_field(part, iterations)
        steps.append(back)
        worst = Residual(max(worst.mean_mm, residual.mean_mm), max(worst.max_mm, residual.max_mm))
    return compose(*steps), worst


def _invert_field(field: DisplacementField, iterations: int) -> tuple[Transform, Residual]:
    chain = split(field)
    rest, affine = chain.parts
    assert isinstance(rest, DisplacementField) and isinstance(affine, Affine)
    ddf = invert(rest.ddf[None], iterations=iterations)[0][0]
    back = DisplacementField(rest.grid, ddf, rest.target, rest.source)
    return compose(affine.inverted(), back), _residual(rest, back)


def invert_points(transform: Transform, points: ArrayLike, iterations: int = 60) -> tuple[Array, Array]:
    """Where points of ``target`` come from: no inverse field is needed, and none is interpolated.

    Affines are inverted exactly. Through a field each point is followed back on its own, by Newton's steps with the
    affine that fits the whole field best; a step that leads away is halved. Beyond the field's grid its outermost
    vectors go on, as far as the search is concerned.

    Args:
        transform: from ``source`` to ``target``.
        points: (N, 3) in ``target``, RAS millimetres.
        iterations: most steps.

    Returns:
        (N, 3) in ``source``, and by how many millimetres each misses, (N,): large where the field folds, or where the
        point comes from outside of the field's grid.
    """
    wanted = np.array(points, dtype=np.float64).reshape(-1, 3)
    found: Array = wanted
    for part in reversed(parts_of(transform)):
        if isinstance(part, Affine):
            found = transform_points(part.inverted().matrix, found)
        else:
            found = _followed_back(part, found, iterations)
    return found, np.linalg.norm(apply_to_points(transform, found) - wanted, axis=1)


def _followed_back(field: DisplacementField, wanted: Array, iterations: int) -> Array:
    back = np.linalg.inv(_fitted(field))
    found, size = transform_points(back, wanted), np.ones((len(wanted), 1))
    miss = found + displacements(field, found, fill=None) - wanted
    for _ in range(iterations):
        tried = found - size * (miss @ back[:3, :3].T)
        left = tried + displacements(field, tried, fill=None) - wanted
        better = np.linalg.norm(left, axis=1, keepdims=True) < np.linalg.norm(miss, axis=1, keepdims=True)
        found, miss = np.where(better, tried, found), np.where(better, left, miss)
        size = np.where(better, np.minimum(1.0, 2 * size), size / 2)
    return found


def _residual(there: DisplacementField, back: DisplacementField) -> Residual:
    """Of two fields on one grid: ``u(x) + v(x + u(x))`` over the voxels with ``x + u(x)`` inside of the grid."""
    total, count, worst = 0.0, 0, 0.0
    last = torch.tensor(there.grid.shape).view(3, 1, 1, 1) - 1
    for rows in row_ranges(there.grid.shape):
        ddf = there.ddf[:, rows]
        where = positions(np.eye(4), there.grid.shape, rows, ddf)
        inside = ((where >= 0) & (where <= last)).all(dim=0)
        miss = displacement_mm(ddf + sample_at(back.ddf, where, fill=0.0), there.grid.affine)[inside]
        total, count = total + float(miss.double().sum()), count + len(miss)
        worst = max(worst, float(miss.max()) if len(miss) else 0.0)
    return Residual(total / max(count, 1), worst)


def split(field: DisplacementField) -> Composite:
    """Write a field as a smaller field followed by an affine, which goes on where the field's grid ends.

    The affine is the least-squares fit over the voxels; the rest is exact at them: ``affine(x + rest(x)) = x + u(x)``.
    """
    affine = Affine(_fitted(field), ALIGNED, field.target)
    whole = compose(field, Affine(affine.inverted().matrix, field.target, ALIGNED))
    return Composite((to_field(whole, field.grid), affine))


def _fitted(field: DisplacementField, most: int = 50_000) -> Array:
    """(4, 4) in RAS millimetres that fits the field best, from every n-th voxel."""
    every = max(1, round((np.prod(field.grid.shape) / most) ** (1 / 3)))
    index = np.stack(np.meshgrid(*[np.arange(0, n, every) for n in field.grid.shape], indexing="ij"), axis=-1)
    index = index.reshape(-1, 3).astype(np.float64)
    vectors = field.ddf[:, ::every, ::every, ::every].reshape(3, -1).T.double().numpy()
    known = np.concatenate([index, np.ones((len(index), 1))], axis=1)
    matrix = np.eye(4)
    matrix[:3] += np.linalg.lstsq(known, vectors, rcond=None)[0].T
    return field.grid.affine @ matrix @ np.linalg.inv(field.grid.affine)


def thin_out(
    field: DisplacementField, spacing: float, region: NDArray[np.bool_] | None = None
) -> tuple[DisplacementField, Residual]:
    """The field on a coarser grid, to store it in less space: at twice the spacing an eighth.

    Args:
        field: on its own grid.
        spacing: millimetres, at least the field's own along every axis.
        region: (X, Y, Z) of the field's grid over which the distance is taken; everywhere without it.

    Returns:
        The field at every ``spacing`` millimetres over the same extent, and its distance from the whole one.

    Raises:
        InputError: the spacing is finer than the field's.
    """
    old = spacing_of(field.grid.affine)
    if not spacing >= old.min():
        raise InputError(f"field spacing: expected at least the field's own {old.min():g} mm, got {spacing:g}")
    ratio = np.maximum(spacing / old, 1.0)
    shape = np.ceil((np.array(field.grid.shape) - 1) / ratio - 1e-4).astype(int) + 1
    affine = field.grid.affine @ np.diag([*ratio, 1.0])
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)
    thin = DisplacementField(grid, _continued(field, grid), field.source, field.target)
    return thin, _difference(field, to_field(thin, field.grid), region)


def _continued(field: DisplacementField, grid: Grid) -> Tensor:
    """The field's vectors in voxels of a coarser grid, the outermost ones going on where that reaches beyond."""
    to_old = np.linalg.inv(field.grid.affine) @ grid.affine
    vectors = sample_at(field.ddf, positions(to_old, grid.shape, slice(0, grid.shape[0])))
    return torch.einsum("ab,bxyz->axyz", torch.from_numpy(np.linalg.inv(to_old)[:3, :3]).float(), vectors)


def _difference(
    first: DisplacementField, second: DisplacementField, region: NDArray[np.bool_] | None = None
) -> Residual:
    miss = displacement_mm(first.ddf - second.ddf, first.grid.affine)
    if region is not None and region.any():
        miss = miss[torch.from_numpy(region)]
    return Residual(float(miss.double().mean()), float(miss.max()))
