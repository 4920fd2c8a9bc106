"""Compiled squaring of a field for inference on the CPU: ``u(x) + u(x + u(x))`` in one pass over memory.

Scaling and squaring composes a field with itself. With PyTorch that is a grid, a sampling and a sum, each a pass over
memory, and the sampling looks its eight corners up once for each of the three channels; here it is one loop that looks
them up once. Used only without gradients; the tests hold it to ``compose``.
"""

import numpy as np
from numpy.typing import NDArray

from common.compiled import cached_njit


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
