"""Compiled squaring of a field on the CPU, ``u(x) + u(x + u(x))``, and its gradient, each in one pass over memory.

Scaling and squaring composes a field with itself. With PyTorch that is a grid, a sampling and a sum, each a pass over
memory, and the sampling looks its eight corners up once for each of the three channels; here it is one loop that looks
them up once. The tests hold both to ``compose`` and what autograd makes of it.
"""

import numpy as np
from numpy.typing import NDArray

from common.compiled.compiling import cached_njit


@cached_njit(nogil=True, fastmath={"contract", "nsz"})
def square_rows(field: NDArray[np.float32], out: NDArray[np.float32], start: int, stop: int) -> None:
    """Write ``out = field + field(x + field(x))``, zero outside of the grid, for the rows start <= x < stop.

    Args:
        field: (X, Y, Z, 3) float32, contiguous, displacement in voxels.
        out: like ``field``.
        start: first index along the first axis.
        stop: one past the last; beyond the end is the end.
    """
    nx, ny, nz, _ = field.shape
    for x in range(start, min(stop, nx)):
        for y in range(ny):
            for z in range(nz):
                ux, uy, uz = field[x, y, z, 0], field[x, y, z, 1], field[x, y, z, 2]
                px, py, pz = np.float32(x) + ux, np.float32(y) + uy, np.float32(z) + uz
                # A position more than a voxel outside has no corner inside; the comparison also catches NaN.
                if not (px > -1 and py > -1 and pz > -1 and px < nx and py < ny and pz < nz):
                    out[x, y, z, 0], out[x, y, z, 1], out[x, y, z, 2] = ux, uy, uz
                    continue
                fx, fy, fz = np.floor(px), np.floor(py), np.floor(pz)
                ix, iy, iz = int(fx), int(fy), int(fz)
                wx, wy, wz = px - fx, py - fy, pz - fz
                sx, sy, sz = ux, uy, uz
                for corner in range(8):
                    cx, cy, cz = ix + (corner >> 2), iy + ((corner >> 1) & 1), iz + (corner & 1)
                    if cx < 0 or cy < 0 or cz < 0 or cx >= nx or cy >= ny or cz >= nz:
                        continue
                    weight = wx if corner & 4 else np.float32(1) - wx
                    weight *= wy if corner & 2 else np.float32(1) - wy
                    weight *= wz if corner & 1 else np.float32(1) - wz
                    sx += weight * field[cx, cy, cz, 0]
                    sy += weight * field[cx, cy, cz, 1]
                    sz += weight * field[cx, cy, cz, 2]
                out[x, y, z, 0], out[x, y, z, 1], out[x, y, z, 2] = sx, sy, sz


@cached_njit(nogil=True, fastmath={"contract", "nsz"})
def square_rows_backward(
    field: NDArray[np.float32],
    gradient: NDArray[np.float32],
    out: NDArray[np.float32],
    start: int,
    stop: int,
    first: int,
) -> None:
    """Add to ``out`` the gradient of ``square_rows`` to its field, as far as the rows start <= x < stop cause it.

    Args:
        field: (X, Y, Z, 3) float32, contiguous, as ``square_rows`` took it.
        gradient: (X, Y, Z, 3) of the loss to the squared field.
        out: (rows, Y, Z, 3); its row 0 is row ``first`` of the field. Every row that a displaced position of these
            rows reads must be in it.
        start: first index along the first axis.
        stop: one past the last.
        first: see ``out``.
    """
    nx, ny, nz, _ = field.shape
    one = np.float32(1)
    for x in range(start, stop):
        for y in range(ny):
            for z in range(nz):
                gx, gy, gz = gradient[x, y, z, 0], gradient[x, y, z, 1], gradient[x, y, z, 2]
                ux, uy, uz = field[x, y, z, 0], field[x, y, z, 1], field[x, y, z, 2]
                px, py, pz = np.float32(x) + ux, np.float32(y) + uy, np.float32(z) + uz
                sx, sy, sz = gx, gy, gz
                if px > -1 and py > -1 and pz > -1 and px < nx and py < ny and pz < nz:
                    fx, fy, fz = np.floor(px), np.floor(py), np.floor(pz)
                    ix, iy, iz = int(fx), int(fy), int(fz)
                    wx, wy, wz = px - fx, py - fy, pz - fz
                    for corner in range(8):
                        cx, cy, cz = ix + (corner >> 2), iy + ((corner >> 1) & 1), iz + (corner & 1)
                        if cx < 0 or cy < 0 or cz < 0 or cx >= nx or cy >= ny or cz >= nz:
                            continue
                        ax, tx = (wx, one) if corner & 4 else (one - wx, -one)
                        ay, ty = (wy, one) if corner & 2 else (one - wy, -one)
                        az, tz = (wz, one) if corner & 1 else (one - wz, -one)
                        # What the corner's vector is worth: through its weight, the position gets a gradient.
                        worth = gx * field[cx, cy, cz, 0] + gy * field[cx, cy, cz, 1] + gz * field[cx, cy, cz, 2]
                        sx += tx * ay * az * worth
                        sy += ty * ax * az * worth
                        sz += tz * ax * ay * worth
                        weight = ax * ay * az
                        out[cx - first, cy, cz, 0] += weight * gx
                        out[cx - first, cy, cz, 1] += weight * gy
                        out[cx - first, cy, cz, 2] += weight * gz
                out[x - first, y, z, 0] += sx
                out[x - first, y, z, 1] += sy
                out[x - first, y, z, 2] += sz
