"""CPU kernels of sums of squares between up to sixteen feature channels: one voxel's channels are one vector.

Feature images are flat arrays (X, Y, Z, 16) behind sixteen zeros; scalar volumes and fields as in
``common.refine.kernels``. All channels share a voxel's position and weights: a corner of a sampling is one load.
"""

# mypy: ignore-errors
# (numba types this code; its intrinsics have no Python signatures)

from pathlib import Path

from common.compiled.compiling import lane_kernels
from common.compiled.lanes import fma, load, mul, store, sub, sum_rows, times, zeros
from common.compiled.width import WIDTH
from common.refine.kernels import row_of
from common.refine.sampling_lanes import constant

_FILES = ("kernels.py", "sampling_lanes.py", "feature_kernels.py")
compiled = lane_kernels(depends=[Path(__file__).with_name(name) for name in _FILES])


@compiled
def voxel_of(layout, x, y, z):
    """Where the channels of a voxel begin; beyond the faces the outermost voxel goes on."""
    nx, ny, nz, _, _ = layout
    row = min(max(x, 0), nx - 1) * ny + min(max(y, 0), ny - 1)
    return WIDTH + (row * nz + min(max(z, 0), nz - 1)) * WIDTH


@compiled
def _between(features, a, b, weight):
    low = load(features, a)
    return fma(weight, sub(load(features, b), low), low)


@compiled
def warp_features(moving, field, moved, layout, first, last, start, stop):
    """moved(x) = moving(x + field(x)) for all channels."""
    nx, ny, nz, _, size = layout
    for x in range(start, stop):
        for y in range(ny):
            row = row_of(layout, x, y)
            for z in range(first[x * ny + y], min(last[x * ny + y], nz)):
                px = min(max(x + field[row + z], 0.0), nx - 1.0)
                py = min(max(y + field[row + z + size], 0.0), ny - 1.0)
                pz = min(max(z + field[row + z + 2 * size], 0.0), nz - 1.0)
                ix, iy, iz = min(int(px), nx - 2), min(int(py), ny - 2), min(int(pz), nz - 2)
                wx, wy, wz = constant(px - ix), constant(py - iy), constant(pz - iz)
                near = voxel_of(layout, ix, iy, iz)
                over, far = near + nz * WIDTH, near + ny * nz * WIDTH
                beyond = far + nz * WIDTH
                a, b = _between(moving, near, near + WIDTH, wz), _between(moving, over, over + WIDTH, wz)
                c, d = _between(moving, far, far + WIDTH, wz), _between(moving, beyond, beyond + WIDTH, wz)
                a, c = fma(wy, sub(b, a), a), fma(wy, sub(d, c), c)
                store(moved, voxel_of(layout, x, y, z), fma(wx, sub(c, a), a))


@compiled
def feature_force(fixed, moved, weight, force, layout, first, last, products, start, stop):
    """force = weight sum over channels of (F - W) grad W; returns the weighted sum of squares.

    Args:
        weight: one volume.
        products: four blocks of sixteen vectors.
    """
    _, ny, nz, _, size = layout
    block = WIDTH * WIDTH
    total = 0.0
    for x in range(start, stop):
        for y in range(ny):
            row = row_of(layout, x, y)
            for z in range(first[x * ny + y], last[x * ny + y], WIDTH):
                for lane in range(WIDTH):
                    at = lane * WIDTH
                    if z + lane >= nz:
                        for part in range(4):
                            store(products, part * block + at, zeros())
                        continue
                    own = voxel_of(layout, x, y, z + lane)
                    rest = sub(load(fixed, own), load(moved, own))
                    half = times(rest, 0.5)
                    dx = sub(load(moved, voxel_of(layout, x + 1, y, z + lane)),
                             load(moved, voxel_of(layout, x - 1, y, z + lane)))  # fmt: skip
                    dy = sub(load(moved, voxel_of(layout, x, y + 1, z + lane)),
                             load(moved, voxel_of(layout, x, y - 1, z + lane)))  # fmt: skip
                    dz = sub(load(moved, voxel_of(layout, x, y, z + lane + 1)),
                             load(moved, voxel_of(layout, x, y, z + lane - 1)))  # fmt: skip
                    store(products, at, mul(half, dx))
                    store(products, block + at, mul(half, dy))
                    store(products, 2 * block + at, mul(half, dz))
                    store(products, 3 * block + at, mul(rest, rest))
                counted = load(weight, row + z)
                for part in range(4):
                    # The sums overwrite the block's first row, which has been read by then.
                    sum_rows(products, part * block, products, part * block)
                    value = mul(load(products, part * block), counted)
                    if part < 3:
                        store(force, row + z + part * size, value)
                    else:
                        store(products, 3 * block, value)
                        for lane in range(WIDTH):
                            total += products[3 * block + lane]
    return total
