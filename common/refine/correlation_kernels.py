"""CPU kernels of the local correlation and its derivative: running sums over boxes, one pass over memory each.

Layout, row ranges and jobs as in ``common.refine.kernels``. A box sum runs along x over planes that are added in front
and taken off behind, then along y over rows; both loops work on sixteen numbers at once. Along z the 2 r + 1
neighbours of a short line in the first-level cache are added up. The sums along x start anew with every job, so that
rounding does not pile up over a volume.
"""

# mypy: ignore-errors
# (numba types this code; its intrinsics have no Python signatures)

from pathlib import Path

from common.compiled.compiling import lane_kernels
from common.compiled.lanes import add, div, fma, larger, load, mul, store, sub, times, zeros
from common.compiled.width import WIDTH
from common.refine.kernels import row_of
from common.refine.sampling_lanes import constant

_FILES = ("kernels.py", "sampling_lanes.py", "correlation_kernels.py")
compiled = lane_kernels(depends=[Path(__file__).with_name(name) for name in _FILES])


@compiled
def _add_products(planes, size, fixed, moved, mask, layout, first, last, x, sign):
    """Add plane x of J, J J and I J to the sums along x, or take it off; with a mask, of m J, m J J and m I J."""
    nx, ny, _, stride, _ = layout
    if x < 0 or x >= nx:
        return
    for y in range(ny):
        row = row_of(layout, x, y)
        for z in range(first[x * ny + y], last[x * ny + y], WIDTH):
            j = load(moved, row + z)
            counted = mul(j, load(mask, row + z)) if len(mask) else j
            signed = times(counted, sign)
            at = WIDTH + y * stride + z
            store(planes, at, add(load(planes, at), signed))
            store(planes, at + size, fma(signed, j, load(planes, at + size)))
            store(planes, at + 2 * size, fma(signed, load(fixed, row + z), load(planes, at + 2 * size)))


@compiled
def _add_volumes(planes, size, a, b, c, layout, x, sign, low, high):
    """Add plane x of three volumes to the sums along x, or take it off."""
    nx, ny, _, stride, _ = layout
    if x < 0 or x >= nx:
        return
    for y in range(ny):
        row = row_of(layout, x, y)
        at = WIDTH + y * stride
        for z in range(low, high, WIDTH):
            store(planes, at + z, fma(constant(sign), load(a, row + z), load(planes, at + z)))
            store(planes, at + z + size, fma(constant(sign), load(b, row + z), load(planes, at + z + size)))
            store(planes, at + z + 2 * size, fma(constant(sign), load(c, row + z), load(planes, at + z + 2 * size)))


@compiled
def _slide(lines, planes, size, ny, stride, y, radius, low, high):
    """Move the sums along y, three lines, on to row y: the row that comes into reach is added, the last one goes."""
    enter, leave = y + radius, y - radius - 1
    for quantity in range(3):
        line = WIDTH + quantity * (stride + 2 * WIDTH)
        plane = WIDTH + quantity * size
        if enter < ny:
            for z in range(low, high, WIDTH):
                store(lines, line + z, add(load(lines, line + z), load(planes, plane + enter * stride + z)))
        if leave >= 0:
            for z in range(low, high, WIDTH):
                store(lines, line + z, sub(load(lines, line + z), load(planes, plane + leave * stride + z)))


@compiled
def _across(lines, stride, quantity, z, radius):
    """Sum along z."""
    at = WIDTH + quantity * (stride + 2 * WIDTH) + z
    total = load(lines, at)
    for k in range(1, radius + 1):
        total = add(total, add(load(lines, at - k), load(lines, at + k)))
    return total


@compiled
def _start(planes, lines):
    for i in range(0, len(planes), WIDTH):
        store(planes, i, zeros())
    for i in range(0, len(lines), WIDTH):
        store(lines, i, zeros())


@compiled
def _gradient(moved, layout, x, y, at):
    """Central differences of the moved image; at the faces of the volume half of the one-sided difference."""
    row = row_of(layout, x, y)
    z = at - row
    dx = sub(load(moved, row_of(layout, x + 1, y) + z), load(moved, row_of(layout, x - 1, y) + z))
    dy = sub(load(moved, row_of(layout, x, y + 1) + z), load(moved, row_of(layout, x, y - 1) + z))
    dz = sub(load(moved, at + 1), load(moved, at - 1))
    return times(dx, 0.5), times(dy, 0.5), times(dz, 0.5)


@compiled
def _plane_sums(planes, lines, size, images, mask, layout, first, last, radius, x, start):
    """Bring the sums along x to plane x and empty the lines for its rows."""
    if x == start:
        for ahead in range(start - radius, start + radius):
            _add_products(planes, size, images[0], images[1], mask, layout, first, last, ahead, 1.0)
    _add_products(planes, size, images[0], images[1], mask, layout, first, last, x + radius, 1.0)
    if x > start:
        _add_products(planes, size, images[0], images[1], mask, layout, first, last, x - radius - 1, -1.0)
    for i in range(0, len(lines), WIDTH):
        store(lines, i, zeros())


@compiled
def window_planes(
    image, mask, usable, count, mean, inverse, layout, first, last, radius, epsilon, planes, lines, low, high,
    start, stop,
):  # fmt: skip
    """Measure the windows of an image anew: write ``mean``, and ``inverse`` = usable / (variance + epsilon)."""
    _, ny, _, stride, _ = layout
    size = ny * stride + 2 * WIDTH
    _start(planes, lines)
    eps = constant(epsilon)
    for x in range(start, stop):
        _plane_sums(planes, lines, size, (image, image), mask, layout, first, last, radius, x, start)
        for y in range(-radius, 0):
            _slide(lines, planes, size, ny, stride, y, radius, low, high)
        for y in range(ny):
            _slide(lines, planes, size, ny, stride, y, radius, low, high)
            row = row_of(layout, x, y)
            for z in range(first[x * ny + y], last[x * ny + y], WIDTH):
                n = load(count, row + z)
                average = mul(_across(lines, stride, 0, z, radius), n)
                variance = larger(sub(mul(_across(lines, stride, 1, z, radius), n), mul(average, average)), zeros())
                store(mean, row + z, average)
                store(inverse, row + z, div(load(usable, row + z), add(variance, eps)))


@compiled
def correlation_planes(
    fixed, moved, mask, mean, inverse, count, force, coefficients, layout, first, last, radius, epsilon, exact,
    planes, lines, low, high, start, stop,
):  # fmt: skip
    """Local correlation of planes start <= x < stop: the sum of cc, and the force or what its exact form is made of.

    Args:
        mask: one volume, 1 where voxels count; empty for all.
        mean: mean of the fixed image over the counted voxels of each window.
        inverse: 1 / (variance of the fixed image + epsilon), 0 where a window does not count.
        count: 1 / number of counted voxels of each window.
        force: three volumes; written without ``exact``.
        coefficients: three volumes; written with ``exact``: a, b, c of ``exact_force_planes``.
        planes: three planes of Y rows and 32 numbers. lines: three rows and 32 numbers each.
        low: first lane that any row of this job and its windows works on.
        high: one past the last.
    """
    _, ny, _, stride, volume = layout
    size = ny * stride + 2 * WIDTH
    _start(planes, lines)
    one, eps = constant(1.0), constant(epsilon)
    total = 0.0
    for x in range(start, stop):
        _plane_sums(planes, lines, size, (fixed, moved), mask, layout, first, last, radius, x, start)
        for y in range(-radius, 0):
            _slide(lines, planes, size, ny, stride, y, radius, low, high)
        for y in range(ny):
            _slide(lines, planes, size, ny, stride, y, radius, low, high)
            energy = zeros()
            row = row_of(layout, x, y)
            begin, end = first[x * ny + y], last[x * ny + y]
            for z in range(begin, end, WIDTH):
                at = row + z
                n, i_mean, i_inverse = load(count, at), load(mean, at), load(inverse, at)
                j_mean = mul(_across(lines, stride, 0, z, radius), n)
                j_variance = sub(mul(_across(lines, stride, 1, z, radius), n), mul(j_mean, j_mean))
                covariance = sub(mul(_across(lines, stride, 2, z, radius), n), mul(i_mean, j_mean))
                j_inverse = div(one, add(j_variance, eps))
                slope = mul(covariance, j_inverse)
                weight = mul(slope, i_inverse)  # cov / ((var_I + eps)(var_J + eps))
                energy = fma(weight, covariance, energy)
                if exact:
                    a = mul(times(weight, 2.0), n)
                    b = mul(a, slope)
                    store(coefficients, at, a)
                    store(coefficients, at + volume, b)
                    store(coefficients, at + 2 * volume, sub(mul(b, j_mean), mul(a, i_mean)))
                else:
                    rest = sub(load(fixed, at), i_mean)
                    rest = sub(rest, mul(slope, sub(load(moved, at), j_mean)))
                    along = mul(times(weight, 2.0), rest)
                    dx, dy, dz = _gradient(moved, layout, x, y, at)
                    store(force, at, mul(along, dx))
                    store(force, at + volume, mul(along, dy))
                    store(force, at + 2 * volume, mul(along, dz))
            store(lines, 0, energy)
            for lane in range(WIDTH):
                total += lines[lane]
            store(lines, 0, zeros())
    return total


@compiled
def exact_force_planes(
    fixed, moved, mask, coefficients, force, layout, first, last, radius, planes, lines, low, high, start, stop
):
    """force = mask (I box(a) - J box(b) + box(c)) grad J, the derivative of the sum of cc over all windows."""
    _, ny, _, stride, volume = layout
    size = ny * stride + 2 * WIDTH
    a, b, c = coefficients[:volume], coefficients[volume : 2 * volume], coefficients[2 * volume :]
    _start(planes, lines)
    for x in range(start - radius, start + radius):
        _add_volumes(planes, size, a, b, c, layout, x, 1.0, low, high)
    for x in range(start, stop):
        _add_volumes(planes, size, a, b, c, layout, x + radius, 1.0, low, high)
        if x > start:
            _add_volumes(planes, size, a, b, c, layout, x - radius - 1, -1.0, low, high)
        for i in range(0, len(lines), WIDTH):
            store(lines, i, zeros())
        for y in range(-radius, 0):
            _slide(lines, planes, size, ny, stride, y, radius, low, high)
        for y in range(ny):
            _slide(lines, planes, size, ny, stride, y, radius, low, high)
            row = row_of(layout, x, y)
            for z in range(first[x * ny + y], last[x * ny + y], WIDTH):
                at = row + z
                along = sub(
                    fma(load(fixed, at), _across(lines, stride, 0, z, radius), _across(lines, stride, 2, z, radius)),
                    mul(load(moved, at), _across(lines, stride, 1, z, radius)),
                )
                if len(mask):
                    along = mul(along, load(mask, at))
                dx, dy, dz = _gradient(moved, layout, x, y, at)
                store(force, at, mul(along, dx))
                store(force, at + volume, mul(along, dy))
                store(force, at + 2 * volume, mul(along, dz))
