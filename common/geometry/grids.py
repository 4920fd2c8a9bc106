"""The network grid: the isotropic, RAS-ordered box around the anatomy on which a network sees both images."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.errors import InputError
from common.geometry.affines import Array, spacing_of
from common.geometry.foreground import corner_points
from common.geometry.orientations import ras_directions

logger = logging.getLogger(__name__)
_EPSILON = 1e-4  # voxels: an extent that ends this close to a voxel needs no further one


@dataclass(frozen=True, eq=False)
class Grid:
    """A voxel grid in the world: ``shape`` (X, Y, Z) and ``affine`` (4, 4), index to RAS millimetres."""

    shape: tuple[int, int, int]
    affine: Array

    @property
    def spacing(self) -> Array:
        """Millimetres along each array axis, (3,)."""
        return spacing_of(self.affine)


def corner_distance(first: Grid, second: Grid) -> float:
    """Return by how many mm two grids put the same index apart at most: the largest distance of the eight corners.

    >>> shifted = np.diag([2.0, 2.0, 2.0, 1.0])
    >>> shifted[0, 3] = 40.0
    >>> corner_distance(Grid((8, 8, 8), np.diag([2.0, 2.0, 2.0, 1.0])), Grid((8, 8, 8), shifted))
    40.0
    """
    corners = (corner_points(first.shape, grid.affine) for grid in (first, second))
    return float(np.linalg.norm(np.subtract(*corners), axis=1).max())


def network_grid(
    fixed: Grid,
    fixed_points: Array,
    moving_points: Array | None = None,
    *,
    spacing: float = 1.0,
    multiple: int = 16,
    margin: float = 4.0,
    shape: Sequence[int] | None = None,
    cube: bool = False,
    smallest: int = 1,
) -> Grid:
    """Grid for a network: axes along those of the fixed image in RAS order, isotropic, covering the foreground.

    It covers the foreground of the fixed image wherever that is, and the foreground of the moving image as far as it
    lies inside of the fixed image's field of view. Where the spacings agree, its voxel centres are those of the fixed
    image, so that no interpolation is needed. The grid may reach beyond the field of view.

    Args:
        fixed: grid of the fixed image.
        fixed_points: (N, 3) world points that have to be inside (``extreme_points`` of its foreground).
        moving_points: (M, 3) the same of the moving image, in the fixed image's world.
        spacing: millimetres, the one that the network was trained with.
        multiple: the number of voxels along each axis is a multiple of it.
        margin: millimetres kept free around the foreground.
        shape: a fixed number of voxels (RAS order) for networks that need it.
        cube: the same number of voxels along all axes.
        smallest: number of voxels that no axis may have less of (without ``shape``).

    Returns:
        The grid. Where a given ``shape`` is too small at this spacing, first the margin is given up, then the spacing
        is enlarged (with a warning): anatomy is never cut.

    Raises:
        InputError: an option makes no sense.
    """
    _check_options(spacing, multiple, margin, shape)
    axes = ras_directions(fixed.affine)
    low, high = _covered_box(axes, fixed, fixed_points, moving_points)
    if shape is None:
        start = _on_lattice(low - margin, axes, fixed)
        count = _voxels(high + margin - start, spacing)
        count = multiple * np.ceil(np.maximum(count, smallest) / multiple).astype(int)
        if cube:
            count[:] = count.max()
        centre = (low + high) / 2
    else:
        count = np.asarray(shape, dtype=int)
        start = _on_lattice(low, axes, fixed)
        spacing = _fitting_spacing(high - start, spacing, count)
        centre = (low + high) / 2
    # Whole voxels only, so that the lattice stays that of the fixed image; at least nothing of [start, high] is lost.
    spare = count - _voxels(np.maximum(high, start) - start, spacing)
    shift = np.clip(np.round((start + (count - 1) / 2 * spacing - centre) / spacing), 0, np.maximum(spare, 0))
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = axes @ (start - shift * spacing)
    return Grid((int(count[0]), int(count[1]), int(count[2])), affine)


def _check_options(spacing: float, multiple: int, margin: float, shape: Sequence[int] | None) -> None:
    if not spacing > 0:
        raise InputError(f"the network grid expects a spacing above 0 mm, got {spacing}")
    if multiple < 1 or margin < 0:
        raise InputError(f"the network grid expects multiple >= 1 and margin >= 0 mm, got {multiple} and {margin}")
    if shape is not None and (len(shape) != 3 or any(n < 2 or n % multiple for n in shape)):
        raise InputError(f"the network grid expects a shape of three multiples of {multiple}, got {list(shape)}")


def _covered_box(axes: Array, fixed: Grid, fixed_points: Array, moving_points: Array | None) -> tuple[Array, Array]:
    """Ends of the box to cover along the grid's axes, in millimetres. -> (3,), (3,)."""
    along = fixed_points @ axes
    low, high = along.min(axis=0), along.max(axis=0)
    if moving_points is not None and len(moving_points):
        view = corner_points(fixed.shape, fixed.affine) @ axes
        half = fixed.spacing.max() / 2  # the view ends at faces, the box at voxel centres
        first, last = view.min(axis=0) + half, view.max(axis=0) - half
        inside = np.clip(moving_points @ axes, first, np.maximum(first, last))
        low, high = np.minimum(low, inside.min(axis=0)), np.maximum(high, inside.max(axis=0))
    return low, high


def _on_lattice(low: Array, axes: Array, fixed: Grid) -> Array:
    """Largest coordinates not above ``low`` at which the fixed image has voxel centres (if its axes are orthogonal)."""
    origin = fixed.affine[:3, 3] @ axes
    along = np.abs(axes.T @ (fixed.affine[:3, :3] / fixed.spacing))
    step = fixed.spacing[along.argmax(axis=1)]
    return origin + step * np.floor((low - origin) / step + _EPSILON)


def _voxels(extent: Array, spacing: float) -> Array:
    """Number of voxels whose centres span the extent. (3,) -> (3,) int."""
    return np.ceil(extent / spacing - _EPSILON).astype(int) + 1


def _fitting_spacing(extent: Array, spacing: float, count: Array) -> float:
    needed = float((extent / (count - 1)).max())
    if needed <= spacing * (1 + _EPSILON):
        return spacing
    logger.warning(
        "the foreground of %s mm does not fit %s voxels of %g mm; the network grid uses %.4g mm instead",
        "x".join(f"{e:.0f}" for e in extent),
        "x".join(str(n) for n in count),
        spacing,
        needed,
    )
    return needed
