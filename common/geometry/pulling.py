"""One interpolation of a volume at the places where a transform brings the voxels of a grid.

A chain is composed first (``transforms.to_field``), so that however many transforms there are, a voxel is read once.
Unlike ``sampling``, which the networks' images go through, this takes voxels of any type and keeps whole numbers exact.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import map_coordinates, spline_filter

from common.errors import InputError
from common.geometry.affines import index_map, transform_points
from common.geometry.grids import Grid
from common.geometry.sampling import positions, row_ranges, sample_at
from common.geometry.transforms import DisplacementField, Transform, apply_to_points, parts_of

#: ``label`` gives each voxel the label with the largest share in linear interpolation: smoother borders than nearest.
INTERPOLATIONS = ("linear", "nearest", "label", "cubic")
#: Those that return values of the volume alone.
EXACT = ("nearest", "label")
#: Shares of a label that differ by less are a tie.
_TIE = 1e-6
Sampler = Callable[[NDArray], NDArray]


def pull(
    volume: NDArray, affine: ArrayLike, field: DisplacementField, interpolation: str = "linear", fill: float = 0.0
) -> NDArray:
    """Read a volume where the voxels of a field's grid land.

    Positions up to half a voxel outside of the volume count as its rim, as in ITK (``cubic``: its mirror image).

    Args:
        volume: (X, Y, Z) of integers or floats.
        affine: (4, 4) of the volume, RAS; in the field's ``target``.
        field: on the grid that the result has; see ``to_field``.
        interpolation: ``linear``; ``nearest``; ``label``, the label with the largest share among the eight neighbours
            by their linear weights, the smallest of several in a tie; ``cubic``, a cubic B-spline, which may overshoot.
        fill: value outside of the volume.

    Returns:
        (x, y, z) on the field's grid: float32 for ``linear`` and ``cubic``, else the volume's type.

    Raises:
        InputError: no such interpolation.
    """
    if interpolation not in INTERPOLATIONS:
        raise InputError(f"interpolation: expected one of {', '.join(INTERPOLATIONS)}, got {interpolation!r}")
    grid, to_volume = field.grid, index_map(field.grid.affine, affine)
    read = _SAMPLERS[interpolation](volume)
    out = np.empty(grid.shape, dtype=volume.dtype if interpolation in EXACT else np.float32)
    last = np.reshape(np.array(volume.shape) - 1, (3, 1, 1, 1))
    for rows in row_ranges(grid.shape):
        where = positions(to_volume, grid.shape, rows, field.ddf[:, rows]).numpy()
        outside = ((where < -0.5) | (where > last + 0.5)).any(axis=0)
        part = read(where if interpolation == "cubic" else np.clip(where, 0, last.astype(np.float32)))
        part[outside] = fill
        out[rows] = part
    return out


def _linear(volume: NDArray) -> Sampler:
    image = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))[None]
    return lambda where: sample_at(image, torch.from_numpy(where))[0].numpy()


def _nearest(volume: NDArray) -> Sampler:
    def read(where: NDArray) -> NDArray:
        i, j, k = np.floor(where + 0.5).astype(np.int32)
        return volume[i, j, k]

    return read


def _cubic(volume: NDArray) -> Sampler:
    coefficients = spline_filter(volume.astype(np.float32), order=3, output=np.float32, mode="mirror")
    return lambda where: map_coordinates(coefficients, where, np.float32, order=3, mode="mirror", prefilter=False)


def _label(volume: NDArray) -> Sampler:
    highest = np.reshape(np.array(volume.shape, dtype=np.int32) - 2, (3, 1, 1, 1))

    def read(where: NDArray) -> NDArray:
        low = np.minimum(where.astype(np.int32), highest)
        labels = np.stack([volume[low[0] + (c & 1), low[1] + (c >> 1 & 1), low[2] + (c >> 2)] for c in range(8)])
        out = labels[0].copy()
        mixed = (labels != out).any(axis=0)
        shares = (where - low)[:, mixed]
        weights = np.stack([_weight(c, shares) for c in range(8)])
        out[mixed] = _largest_share(labels[:, mixed], weights)
        return out

    return read


def _weight(corner: int, shares: NDArray) -> NDArray:
    """Linear weight (N,) of a neighbour at the fractions (3, N) between the voxels."""
    factors = [share if corner >> axis & 1 else 1 - share for axis, share in enumerate(shares)]
    return factors[0] * factors[1] * factors[2]


def _largest_share(labels: NDArray, weights: NDArray) -> NDArray:
    """The label with the largest sum of weights, the smallest of several. (8, N), (8, N) -> (N,)."""
    best, most = labels[0].copy(), np.full(labels.shape[1], -1.0, dtype=np.float32)
    for one in labels:
        share = (weights * (labels == one)).sum(axis=0)
        better = (share > most + _TIE) | ((share > most - _TIE) & (one < best))
        best[better], most[better] = one[better], share[better]
    return best


_SAMPLERS: dict[str, Callable[[NDArray], Sampler]] = {
    "linear": _linear, "nearest": _nearest, "label": _label, "cubic": _cubic,
}  # fmt: skip


def coverage(transform: Transform, grid: Grid) -> list[float]:
    """Share of a grid's voxels that are within the grid of each field of a transform when they meet it, in order.

    A field is zero outside of its own grid: a small share tells of fields in the wrong order, or of another reference.
    """
    every = max(1, round((np.prod(grid.shape) / 20_000) ** (1 / 3)))
    index = np.stack(np.meshgrid(*[np.arange(0, n, every) for n in grid.shape], indexing="ij"), axis=-1)
    points, shares = transform_points(grid.affine, index.reshape(-1, 3)), []
    for part in parts_of(transform):
        if isinstance(part, DisplacementField):
            shares.append(share_inside(part.grid, points))
        points = apply_to_points(part, points)
    return shares


def share_inside(grid: Grid, points: ArrayLike) -> float:
    """Share of points (N, 3), RAS millimetres, within a grid, half a voxel beyond its end voxels included."""
    index = transform_points(np.linalg.inv(grid.affine), points)
    inside = ((index > -0.501) & (index < np.array(grid.shape) - 0.499)).all(axis=1)
    return float(inside.mean()) if inside.size else 1.0
