"""CPU kernels of the convolutional decoders, compiled by numba: what lies between two convolutions, in one pass.

Channels-last volumes as flat arrays, sixteen channels at a time; float32, or bfloat16 as its sixteen bits (uint16)
with all arithmetic in float32. Imported only where a kernel is used. Kernels release the GIL and start no threads.
"""

# mypy: ignore-errors
# (numba types this code; its intrinsics have no Python signatures)

from pathlib import Path

from numba import types

from common.compiled import half_lanes
from common.compiled.compiling import lane_kernels
from common.compiled.half_lanes import largest, leaky, read, total, write
from common.compiled.lanes import accumulate64, add, fma, load, splat, store, times, zeros
from common.compiled.width import WIDTH

compiled = lane_kernels(depends=[Path(half_lanes.__file__)])
_STATISTICS_ROWS = 128  # rows summed in float32 before they join the float64 totals


@compiled
def _upper(near, far, lower_open, z, c0, c1, c2, step):
    """The even output of one axis, taps k and positions j: near (k-, j-) + far (k-, j) + far (k0, j-) + ...

    ``c0``, ``c1``, ``c2`` are where the positions j-, j, j+ begin and ``step`` is from tap to tap.
    """
    value = add(read(z, c1 + step), read(z, c1 + 2 * step))
    if lower_open:
        value = add(value, read(z, c0))
    if far == 0.0:
        return value
    other = add(read(z, c0 + step), read(z, c2 + 2 * step))
    if lower_open:
        other = add(other, read(z, c1))
    return add(times(value, near), times(other, far))


@compiled
def _lower(near, far, upper_open, z, c0, c1, c2, step):
    """The odd output, the mirror image of the even one."""
    value = add(read(z, c1 + step), read(z, c1))
    if upper_open:
        value = add(value, read(z, c2 + 2 * step))
    if far == 0.0:
        return value
    other = add(read(z, c2 + step), read(z, c0))
    if upper_open:
        other = add(other, read(z, c1 + 2 * step))
    return add(times(value, near), times(other, far))


@compiled
def upsampled_taps(z, first, ny, nz, channels, y0, y1, near, far, out, out_at, slope, scratch):
    """Add the convolution over the doubled grid to one plane of ``out``, then activate.

    ``z`` holds the products of every coarse voxel of the rows from ``first`` on, (y, z, ky, kz, channels); the plane's
    own axis is already summed. Interpolation and the taps' shifts are done one axis after the other. Coarse rows
    y0 <= y < y1 are finished; ``out`` is (2 ny, 2 nz, channels) from ``out_at``. ``scratch`` holds (nz, 3, channels)
    numbers.
    """
    narrow = 3 * channels
    wide = 3 * narrow
    for y in range(y0, y1):
        before = (max(y - 1, 0) - first) * nz * wide
        here = (y - first) * nz * wide
        after = (min(y + 1, ny - 1) - first) * nz * wide
        for q in range(2):
            for w in range(nz):
                for c in range(0, narrow, WIDTH):
                    o = w * wide + c
                    if q == 0:
                        value = _upper(near, far, y > 0, z, before + o, here + o, after + o, narrow)
                    else:
                        value = _lower(near, far, y < ny - 1, z, before + o, here + o, after + o, narrow)
                    store(scratch, w * narrow + c, value)
            line = out_at + (2 * y + q) * 2 * nz * channels
            for w in range(nz):
                b0, b1, b2 = max(w - 1, 0) * narrow, w * narrow, min(w + 1, nz - 1) * narrow
                for c in range(0, channels, WIDTH):
                    at = line + 2 * w * channels + c
                    even = _upper(near, far, w > 0, scratch, b0 + c, b1 + c, b2 + c, channels)
                    odd = _lower(near, far, w < nz - 1, scratch, b0 + c, b1 + c, b2 + c, channels)
                    write(out, at, leaky(add(read(out, at), even), slope))
                    write(out, at + channels, leaky(add(read(out, at + channels), odd), slope))


@compiled
def statistics(x, channels, start, stop, shift, totals):
    """Add sum(x + shift) and sum((x + shift)^2) of rows start .. stop to ``totals`` (2 * channels, float64)."""
    for row in range(start, stop, _STATISTICS_ROWS):
        end = min(row + _STATISTICS_ROWS, stop)
        for c in range(0, channels, WIDTH):
            offset = load(shift, c)
            total, square = zeros(), zeros()
            for r in range(row, end):
                value = add(read(x, r * channels + c), offset)
                total = add(total, value)
                square = fma(value, value, square)
            accumulate64(totals, c, total)
            accumulate64(totals, channels + c, square)


@compiled
def scale_shift_leaky(x, channels, start, stop, scale, shift, slope):
    """x = leaky(scale * x + shift) in place, one scale and shift a channel, for rows start .. stop."""
    if channels == WIDTH:  # one register for each, kept over all rows
        factor, offset = load(scale, 0), load(shift, 0)
        for at in range(start * WIDTH, stop * WIDTH, WIDTH):
            write(x, at, leaky(fma(read(x, at), factor, offset), slope))
        return
    for r in range(start, stop):
        for c in range(0, channels, WIDTH):
            at = r * channels + c
            write(x, at, leaky(fma(read(x, at), load(scale, c), load(shift, c)), slope))


@compiled
def max_pool(x, sizes, channels, first, last, out):
    """out = largest of every 2x2x2 cell of x (nx, ny, nz, channels), even sizes, for coarse planes first .. last."""
    _, ny, nz = sizes
    row = nz * channels
    for i in range(first, last):
        for j in range(ny // 2):
            near = (2 * i * ny + 2 * j) * row
            far = near + ny * row
            target = (i * (ny // 2) + j) * (nz // 2) * channels
            for k in range(nz // 2):
                for c in range(0, channels, WIDTH):
                    at = near + 2 * k * channels + c
                    value = largest(read(x, at), read(x, at + channels))
                    value = largest(value, largest(read(x, at + row), read(x, at + row + channels)))
                    at += far - near
                    value = largest(value, largest(read(x, at), read(x, at + channels)))
                    value = largest(value, largest(read(x, at + row), read(x, at + row + channels)))
                    write(out, target + k * channels + c, value)


@compiled
def average_pool(x, sizes, channels, first, last, out):
    """out = mean of 3x3x3 at every second voxel of x, zeros outside counted, for coarse planes first .. last."""
    nx, ny, nz = sizes
    row = nz * channels
    for i in range(first, last):
        for j in range(ny // 2):
            target = (i * (ny // 2) + j) * (nz // 2) * channels
            for k in range(nz // 2):
                for c in range(0, channels, WIDTH):
                    value = zeros()
                    for a in range(max(2 * i - 1, 0), min(2 * i + 2, nx)):
                        for b in range(max(2 * j - 1, 0), min(2 * j + 2, ny)):
                            at = (a * ny + b) * row + 2 * k * channels + c
                            value = add(value, add(read(x, at), read(x, at + channels)))
                            if k:
                                value = add(value, read(x, at - channels))
                    write(out, target + k * channels + c, times(value, 1.0 / 27.0))


@compiled
def average_pool_backward(gradient, sizes, channels, first, last, out):
    """out = gradient to the input (nx, ny, nz, channels) of ``average_pool``, for its coarse planes first .. last."""
    nx, ny, nz = sizes
    mx, my, mz = nx // 2, ny // 2, nz // 2
    for i in range(2 * first, 2 * last):
        for j in range(ny):
            for k in range(nz):
                target = ((i * ny + j) * nz + k) * channels
                for c in range(0, channels, WIDTH):
                    value = zeros()
                    # An odd voxel lies in two windows of its axis, an even one in one.
                    for a in range(i // 2, min((i + 1) // 2 + 1, mx)):
                        for b in range(j // 2, min((j + 1) // 2 + 1, my)):
                            for d in range(k // 2, min((k + 1) // 2 + 1, mz)):
                                value = add(value, read(gradient, ((a * my + b) * mz + d) * channels + c))
                    write(out, target + c, times(value, 1.0 / 27.0))


@compiled
def doubled_backward(gradient, sizes, pitch, channels, first, last, near, far, out):
    """out = gradient to the coarse volume of a doubling, for its planes first .. last.

    ``sizes`` are the coarse volume's, ``pitch`` the distance from voxel to voxel in ``gradient`` (2 nx, 2 ny, 2 nz).
    An axis' fine voxels 2 i and 2 i + 1 count ``near``, their outer neighbours ``far``; beyond the end is the end.
    """
    nx, ny, nz = sizes
    row = 2 * nz * pitch
    for i in range(first, last):
        for j in range(ny):
            for k in range(nz):
                before, here, after = max(2 * k - 1, 0) * pitch, 2 * k * pitch, min(2 * k + 2, 2 * nz - 1) * pitch
                for c in range(0, channels, WIDTH):
                    value = zeros()
                    for a in range(4):
                        x = min(max(2 * i - 1 + a, 0), 2 * nx - 1)
                        across = near if a == 1 or a == 2 else far
                        for b in range(4):
                            y = min(max(2 * j - 1 + b, 0), 2 * ny - 1)
                            weight = across * (near if b == 1 or b == 2 else far)
                            if weight == 0.0:
                                continue
                            at = (x * 2 * ny + y) * row + c
                            line = times(add(read(gradient, at + here), read(gradient, at + here + pitch)), near)
                            if far != 0.0:
                                outer = add(read(gradient, at + before), read(gradient, at + after))
                                line = add(line, times(outer, far))
                            value = add(value, times(line, weight))
                    write(out, ((i * ny + j) * nz + k) * channels + c, value)


@compiled
def conv_from_one(x, sizes, channels, weight, bias, slope, first, last, out):
    """3x3x3 convolution of one channel and LeakyReLU, planes first .. last.

    ``x`` is (nx + 2, ny + 2, nz + 2) with its border of zeros, ``weight`` (27, channels), ``out`` as ``sizes`` say.
    """
    _, ny, nz = sizes
    line, plane = nz + 2, (ny + 2) * (nz + 2)
    for i in range(first, last):
        for j in range(ny):
            target = (i * ny + j) * nz * channels
            for c in range(0, channels, WIDTH):
                start = load(bias, c)
                for k in range(nz):
                    corner = i * plane + j * line + k
                    value = start
                    for a in range(3):
                        for b in range(3):
                            at = corner + a * plane + b * line
                            tap = (a * 9 + b * 3) * channels + c
                            value = fma(splat(x, at), load(weight, tap), value)
                            value = fma(splat(x, at + 1), load(weight, tap + channels), value)
                            value = fma(splat(x, at + 2), load(weight, tap + 2 * channels), value)
                    write(out, target + k * channels + c, leaky(value, slope))


@compiled
def conv_to_three(x, sizes, channels, weight, bias, first, last, out):
    """3x3x3 convolution to three channels, zeros outside, planes first .. last.

    ``x`` is (nx, ny, nz, channels), ``weight`` (27, 3, channels), ``out`` (3, nx, ny, nz).
    """
    nx, ny, nz = sizes
    row, size = nz * channels, nx * ny * nz
    for i in range(first, last):
        for j in range(ny):
            k = 0
            while k < nz:
                at = (i * ny + j) * nz + k
                if k > 0 and k + 2 < nz:  # two voxels share the weights' loads, and their sums need not wait in turn
                    one, two, three = zeros(), zeros(), zeros()
                    four, five, six = zeros(), zeros(), zeros()
                    for a in range(max(i - 1, 0), min(i + 2, nx)):
                        for b in range(max(j - 1, 0), min(j + 2, ny)):
                            here = (a * ny + b) * row + (k - 1) * channels
                            tap = ((a - i + 1) * 9 + (b - j + 1) * 3) * 3 * channels
                            for d in range(3):
                                for c in range(0, channels, WIDTH):
                                    value = read(x, here + d * channels + c)
                                    other = read(x, here + (d + 1) * channels + c)
                                    w = tap + 3 * d * channels + c
                                    weight_one, weight_two = load(weight, w), load(weight, w + channels)
                                    weight_three = load(weight, w + 2 * channels)
                                    one, four = fma(value, weight_one, one), fma(other, weight_one, four)
                                    two, five = fma(value, weight_two, two), fma(other, weight_two, five)
                                    three, six = fma(value, weight_three, three), fma(other, weight_three, six)
                    out[at], out[at + 1] = total(one) + bias[0], total(four) + bias[0]
                    out[size + at], out[size + at + 1] = total(two) + bias[1], total(five) + bias[1]
                    out[2 * size + at], out[2 * size + at + 1] = total(three) + bias[2], total(six) + bias[2]
                    k += 2
                    continue
                one, two, three = zeros(), zeros(), zeros()
                for a in range(max(i - 1, 0), min(i + 2, nx)):
                    for b in range(max(j - 1, 0), min(j + 2, ny)):
                        for d in range(max(k - 1, 0), min(k + 2, nz)):
                            here = (a * ny + b) * row + d * channels
                            tap = ((a - i + 1) * 9 + (b - j + 1) * 3 + d - k + 1) * 3 * channels
                            for c in range(0, channels, WIDTH):
                                value = read(x, here + c)
                                one = fma(value, load(weight, tap + c), one)
                                two = fma(value, load(weight, tap + channels + c), two)
                                three = fma(value, load(weight, tap + 2 * channels + c), three)
                out[at] = total(one) + bias[0]
                out[size + at] = total(two) + bias[1]
                out[2 * size + at] = total(three) + bias[2]
                k += 1


def signatures(half: bool) -> dict[str, tuple]:
    """Return the argument types of every kernel for float32 or (``half``) bfloat16 volumes."""
    floats, doubles, number, real = types.float32[::1], types.float64[::1], types.int64, types.float64
    volume = types.uint16[::1] if half else floats
    sizes = types.UniTuple(number, 3)
    counts = (number, number, number)
    return {
        "upsampled_taps": (volume, *counts, *counts, real, real, volume, number, real, floats),
        "statistics": (volume, *counts, floats, doubles),
        "scale_shift_leaky": (volume, *counts, floats, floats, real),
        "max_pool": (volume, sizes, *counts, volume),
        "average_pool": (volume, sizes, *counts, volume),
        "average_pool_backward": (volume, sizes, *counts, volume),
        "doubled_backward": (volume, sizes, number, *counts, real, real, volume),
        "conv_from_one": (floats, sizes, number, floats, floats, real, number, number, volume),
        "conv_to_three": (volume, sizes, number, floats, floats, number, number, floats),
    }
