"""The smallest of the ten finite-difference determinants of every cell of a field, for the step control.

The ten are those of ``common.spatial.finite_difference_determinants`` (Liu et al., IJCV 2024), seen from the cells: a
cell of eight voxels is cut into corner tetrahedra at its eight corners and two inner ones. Where all are positive the
map that is linear on each tetrahedron is one to one. Each cell is looked at once, those at the faces included.
"""

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.compiled.compiling import importable
from common.compiled.width import WIDTH
from common.refine.layout import EMPTY, Layout, Rows, scratch


def _corner(position: Tensor, corner: tuple[int, ...]) -> Tensor:
    """(3, X, Y, Z) -> (3, X-1, Y-1, Z-1): the positions of one corner of all cells."""
    size = position.shape[1:]
    x, y, z = (slice(start, start + n - 1) for start, n in zip(corner, size, strict=True))
    return position[:, x, y, z]


def _determinant(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return (a * torch.linalg.cross(b, c, dim=0)).sum(0)


def cell_determinants(ddf: Tensor) -> Tensor:
    """Return the least of the ten determinants of each cell.

    Args:
        ddf: (3, X, Y, Z) in voxels, two voxels or more an axis.

    Returns:
        (X-1, Y-1, Z-1); 1 for the identity.
    """
    grid = torch.meshgrid(*(torch.arange(n, dtype=ddf.dtype, device=ddf.device) for n in ddf.shape[1:]), indexing="ij")
    position = ddf + torch.stack(grid)
    corners = {offset: _corner(position, offset) for offset in product((0, 1), repeat=3)}
    least: Tensor | None = None
    for i, j, k in corners:
        edges = (
            corners[1, j, k] - corners[0, j, k],
            corners[i, 1, k] - corners[i, 0, k],
            corners[i, j, 1] - corners[i, j, 0],
        )
        value = _determinant(*edges)
        least = value if least is None else torch.minimum(least, value)
    assert least is not None
    for i, sign in ((0, -0.5), (1, 0.5)):
        j = 1 - i
        ends = ((j, j, i), (j, i, j), (i, j, j))
        value = sign * _determinant(*(corners[end] - corners[i, i, i] for end in ends))
        least = torch.minimum(least, value)
    return least


def smallest_determinant(ddf: Tensor, planes: int = 16) -> float:
    """Return the smallest of the ten determinants of all cells of a field (1, 3, X, Y, Z), slab by slab."""
    if _can_compile(ddf):
        layout, cells = _all_cells(ddf)
        return smallest_compiled(layout.flat(ddf[0]), layout, cells)
    starts = range(0, max(ddf.shape[2] - 1, 1), planes)
    return min(float(cell_determinants(ddf[0, :, start : start + planes + 1]).min()) for start in starts)


def cells_below(ddf: Tensor, floor: float) -> Tensor:
    """Return the cells of a field (1, 3, X, Y, Z) with a determinant below ``floor``: (N, 3), their first corners."""
    if not _can_compile(ddf):
        return (cell_determinants(ddf[0]) < floor).nonzero()
    layout, cells = _all_cells(ddf)
    least = layout.empty(1) + 1
    smallest_compiled(layout.flat(ddf[0]), layout, cells, least)
    return (layout.view(least) < floor).nonzero()


def _can_compile(ddf: Tensor) -> bool:
    return ddf.device.type == "cpu" and ddf.dtype == torch.float32 and min(ddf.shape[2:]) > 1 and importable()


def _all_cells(ddf: Tensor) -> tuple[Layout, Rows]:
    x, y, z = ddf.shape[2:]
    layout = Layout((x, y, z))
    return layout, layout.rows(torch.ones(x, y, z, dtype=torch.bool))


def smallest_compiled(
    field: NDArray[np.float32], layout: Layout, cells: Rows, out: NDArray[np.float32] = EMPTY
) -> float:
    """The same on a flat field and numba's kernel.

    Args:
        field: three volumes.
        layout: theirs.
        cells: rows and lanes with the first corners of the cells to look at.
        out: one volume that takes each cell's least determinant; empty for none.
    """
    from common.refine.kernels import determinant_planes

    found: list[float] = []

    def run(start: int, stop: int) -> None:
        edges, buffer = scratch("edges", 36 * WIDTH), scratch("least", WIDTH)
        found.append(determinant_planes(field, out, layout.cells, layout.numbers, *cells, edges, buffer, start, stop))

    layout.planes(run)
    return min(found)
