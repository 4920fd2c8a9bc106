"""CPU kernels of the refinement, compiled by numba: warp, short smoothing, composition with a small step, determinants.

Volumes are flat float32 arrays of rows along the last axis. ``layout`` is (X, Y, Z, S, P): S, a multiple of sixteen,
is the distance of two rows and leaves at least ``layout.MARGIN`` zeros behind each; P is the size of a volume with
sixteen numbers before its first row and behind its last. A field is three volumes in one array. Rows (x, y) are
numbered x Y + y; ``first`` and ``last`` hold, for each, which lanes to work on, in multiples of sixteen. Planes
start <= x < stop are one job; jobs share no output, so that the number of threads changes no bit.
"""

# mypy: ignore-errors
# (numba types this code; its intrinsics have no Python signatures)

from pathlib import Path

from common.compiled.compiling import lane_kernels
from common.compiled.lanes import add, div, fma, larger, load, minus, mul, smaller, store, sub, times, zeros
from common.compiled.width import WIDTH
from common.refine.sampling_lanes import constant, ramp, root, sample

compiled = lane_kernels(depends=[Path(__file__), Path(__file__).with_name("sampling_lanes.py")])


@compiled
def row_of(layout, x, y):
    """Where row (x, y) begins; beyond the faces the outermost row goes on."""
    nx, ny, _, stride, _ = layout
    return WIDTH + (min(max(x, 0), nx - 1) * ny + min(max(y, 0), ny - 1)) * stride


@compiled
def warp_planes(image, field, out, valid, layout, first, last, start, stop):
    """out(x) = image(x + field(x)); ``valid`` is a row with 1 for each voxel and 0 behind the last."""
    nx, ny, nz, stride, size = layout
    for x in range(start, stop):
        for y in range(ny):
            row = row_of(layout, x, y)
            for z in range(first[x * ny + y], last[x * ny + y], WIDTH):
                px = add(constant(float(x)), load(field, row + z))
                py = add(constant(float(y)), load(field, row + z + size))
                pz = add(ramp(float(z)), load(field, row + z + 2 * size))
                value = sample(image, WIDTH, nx, ny, nz, stride, px, py, pz)
                store(out, row + z, mul(value, load(valid, z)))


@compiled
def _across_three(source, rows, z, corner, edge, centre):
    """Sum over x and y of nine rows, three by three in the order of the tuple ``rows``."""
    corners = add(add(load(source, rows[0] + z), load(source, rows[2] + z)),
                  add(load(source, rows[6] + z), load(source, rows[8] + z)))  # fmt: skip
    edges = add(add(load(source, rows[1] + z), load(source, rows[3] + z)),
                add(load(source, rows[5] + z), load(source, rows[7] + z)))  # fmt: skip
    return fma(corner, corners, fma(edge, edges, mul(centre, load(source, rows[4] + z))))


@compiled
def _across_five(source, rows, z, outer, inner, middle):
    """Sum over y of five rows."""
    ends = add(load(source, rows[0] + z), load(source, rows[4] + z))
    sides = add(load(source, rows[1] + z), load(source, rows[3] + z))
    return fma(outer, ends, fma(inner, sides, mul(middle, load(source, rows[2] + z))))


@compiled
def _sum_rows(source, shift, buffer, layout, taps, x, y, begin, end):
    """Write the sums over x and y to the row ``buffer``; kernels of three and five numbers have their own loops."""
    reach = len(taps) // 2
    if reach == 1:
        rows = (
            row_of(layout, x - 1, y - 1) + shift, row_of(layout, x - 1, y) + shift,
            row_of(layout, x - 1, y + 1) + shift,
            row_of(layout, x, y - 1) + shift, row_of(layout, x, y) + shift,
            row_of(layout, x, y + 1) + shift,
            row_of(layout, x + 1, y - 1) + shift, row_of(layout, x + 1, y) + shift,
            row_of(layout, x + 1, y + 1) + shift,
        )  # fmt: skip
        weights = constant(taps[0] * taps[0]), constant(taps[0] * taps[1]), constant(taps[1] * taps[1])
        for z in range(begin, end, WIDTH):
            store(buffer, WIDTH + z, _across_three(source, rows, z, weights[0], weights[1], weights[2]))
        return
    for z in range(begin, end, WIDTH):
        store(buffer, WIDTH + z, zeros())
    for i in range(-reach, reach + 1):
        if reach == 2:
            five = (
                row_of(layout, x + i, y - 2) + shift, row_of(layout, x + i, y - 1) + shift,
                row_of(layout, x + i, y) + shift,
                row_of(layout, x + i, y + 1) + shift, row_of(layout, x + i, y + 2) + shift,
            )  # fmt: skip
            along = taps[i + reach]
            weights = constant(along * taps[0]), constant(along * taps[1]), constant(along * taps[2])
            for z in range(begin, end, WIDTH):
                line = _across_five(source, five, z, weights[0], weights[1], weights[2])
                store(buffer, WIDTH + z, add(line, load(buffer, WIDTH + z)))
            continue
        for j in range(-reach, reach + 1):
            row = row_of(layout, x + i, y + j) + shift
            weight = constant(taps[i + reach] * taps[j + reach])
            for z in range(begin, end, WIDTH):
                store(buffer, WIDTH + z, fma(weight, load(source, row + z), load(buffer, WIDTH + z)))


@compiled
def smooth_planes(source, out, weight, sums, layout, taps, first, last, buffer, start, stop):
    """out = source + weight (smoothed - source) for three components; returns the weighted sum of squares of out.

    Args:
        weight: one volume; where it is 0 the field stays as it is. An empty array counts as 1 everywhere.
        sums: one volume that weighs the sum of squares; empty for none.
        taps: the symmetric kernel, an odd number of weights up to 2 ``layout.MARGIN`` + 1.
        buffer: a row and sixteen numbers on either side.
    """
    _, ny, _, _, size = layout
    reach = len(taps) // 2
    total = 0.0
    for component in range(3):
        shift = component * size
        for x in range(start, stop):
            for y in range(ny):
                begin, end = first[x * ny + y], last[x * ny + y]
                if begin >= end:
                    continue
                _sum_rows(source, shift, buffer, layout, taps, x, y, begin - WIDTH, end + WIDTH)
                row = row_of(layout, x, y)
                squares = zeros()
                for z in range(begin, end, WIDTH):
                    at = WIDTH + z
                    value = mul(constant(taps[reach]), load(buffer, at))
                    for k in range(1, reach + 1):
                        both = add(load(buffer, at - k), load(buffer, at + k))
                        value = fma(constant(taps[reach + k]), both, value)
                    if len(weight):
                        old = load(source, shift + row + z)
                        value = fma(load(weight, row + z), sub(value, old), old)
                    if len(sums):
                        squares = fma(mul(load(sums, row + z), value), value, squares)
                    store(out, shift + row + z, value)
                if len(sums):
                    store(buffer, 0, squares)
                    for lane in range(WIDTH):
                        total += buffer[lane]
    return total


@compiled
def _blend(field, below, at, above, low, middle, high):
    """Linear interpolation between three neighbours."""
    return fma(high, load(field, above), fma(middle, load(field, at), mul(low, load(field, below))))


@compiled
def compose_planes(force, field, out, weight, layout, first, last, scale, cap, start, stop):
    """out = v + field(x + v) with v = weight times the force, scaled and cut to a length of ``cap`` < 1 voxel.

    A step below one voxel reaches no further than the direct neighbours, whose weights are max(-v, 0), 1 - |v| and
    max(v, 0): no address depends on the data.
    """
    _, ny, _, _, size = layout
    one, none = constant(1.0), zeros()
    for x in range(start, stop):
        for y in range(ny):
            row = row_of(layout, x, y)
            for z in range(first[x * ny + y], last[x * ny + y], WIDTH):
                at = row + z
                fx, fy, fz = load(force, at), load(force, at + size), load(force, at + 2 * size)
                length = root(fma(fx, fx, fma(fy, fy, fma(fz, fz, constant(1e-30)))))
                factor = mul(load(weight, at), smaller(constant(scale), div(constant(cap), length)))
                vx, vy, vz = mul(fx, factor), mul(fy, factor), mul(fz, factor)
                ax, cx = larger(minus(vx), none), larger(vx, none)
                ay, cy = larger(minus(vy), none), larger(vy, none)
                az, cz = larger(minus(vz), none), larger(vz, none)
                bx, by, bz = sub(sub(one, ax), cx), sub(sub(one, ay), cy), sub(sub(one, az), cz)
                for component in range(3):
                    shift = component * size
                    value = zeros()
                    for j in range(-1, 2):
                        below = row_of(layout, x - 1, y + j) + z + shift
                        middle = row_of(layout, x, y + j) + z + shift
                        above = row_of(layout, x + 1, y + j) + z + shift
                        line = mul(az, _blend(field, below - 1, middle - 1, above - 1, ax, bx, cx))
                        line = fma(bz, _blend(field, below, middle, above, ax, bx, cx), line)
                        line = fma(cz, _blend(field, below + 1, middle + 1, above + 1, ax, bx, cx), line)
                        value = fma(ay if j < 0 else (by if j == 0 else cy), line, value)
                    own = vx if component == 0 else (vy if component == 1 else vz)
                    store(out, shift + at, add(value, own))


@compiled
def _determinant(ax, ay, az, bx, by, bz, cx, cy, cz):
    first = sub(mul(by, cz), mul(bz, cy))
    second = sub(mul(bz, cx), mul(bx, cz))
    third = sub(mul(bx, cy), mul(by, cx))
    return fma(ax, first, fma(ay, second, mul(az, third)))


@compiled
def determinant_planes(field, out, cells, layout, first, last, edges, buffer, start, stop):
    """Return the least of the ten determinants of all cells whose first corner lies in these planes.

    Args:
        out: one volume that takes each cell's least determinant at its first corner; empty for none.
        cells: a row with 1 where a cell begins, 0 for the last voxel and behind.
        edges: 36 vectors of sixteen numbers.
        buffer: sixteen numbers.
    """
    nx, ny, _, _, size = layout
    one = constant(1.0)
    least = constant(1e30)
    for x in range(start, min(stop, nx - 1)):
        for y in range(ny - 1):
            begin, end = first[x * ny + y], last[x * ny + y]
            for z in range(begin, end, WIDTH):
                for axis in range(3):
                    for a in range(2):
                        for b in range(2):
                            # The two other axes in rising order place the edge: (y, z), (x, z), (x, y).
                            i = 0 if axis == 0 else a
                            j = a if axis == 0 else (0 if axis == 1 else b)
                            k = 0 if axis == 2 else b
                            base = row_of(layout, x + i, y + j) + z + k
                            if axis == 0:
                                tip = row_of(layout, x + 1, y + j) + z + k
                            elif axis == 1:
                                tip = row_of(layout, x + i, y + 1) + z + k
                            else:
                                tip = base + 1
                            for component in range(3):
                                shift = component * size
                                edge = sub(load(field, tip + shift), load(field, base + shift))
                                if component == axis:
                                    edge = add(edge, one)
                                store(edges, (((axis * 2 + a) * 2 + b) * 3 + component) * WIDTH, edge)
                cell = constant(1e30)
                for i in range(2):
                    for j in range(2):
                        for k in range(2):
                            ex, ey, ez = (j * 2 + k) * 3, 12 + (i * 2 + k) * 3, 24 + (i * 2 + j) * 3
                            cell = smaller(cell, _corner(edges, ex, ey, ez))
                cell = smaller(cell, smaller(_inner(edges, 0), _inner(edges, 1)))
                cell = fma(load(cells, z), sub(cell, one), one)
                if len(out):
                    store(out, row_of(layout, x, y) + z, cell)
                least = smaller(least, cell)
    store(buffer, 0, least)
    smallest = 1e30
    for lane in range(WIDTH):
        smallest = min(smallest, buffer[lane])
    return smallest


@compiled
def _edge(edges, number, component):
    return load(edges, (number + component) * WIDTH)


@compiled
def _corner(edges, ex, ey, ez):
    """Six times the volume of the tetrahedron that three edges of one corner span."""
    return _determinant(
        _edge(edges, ex, 0), _edge(edges, ex, 1), _edge(edges, ex, 2),
        _edge(edges, ey, 0), _edge(edges, ey, 1), _edge(edges, ey, 2),
        _edge(edges, ez, 0), _edge(edges, ez, 1), _edge(edges, ez, 2),
    )  # fmt: skip


@compiled
def _inner(edges, side):
    """Three times the volume of the tetrahedron between alternating corners, seen from (0, 0, 0) or from (1, 1, 1).

    Diagonals of the three faces at that corner: along x then y, x then z, y then z. Of the two signs by which they are
    to be multiplied, both matrices of the undeformed cell have the same: -2 and, all columns turned round, 2.
    """
    far = side
    xy = (far * 2 + far) * 3  # the edge along x in the face of the corner, its other axes at (far, far)
    ax, ay, az = _sum3(edges, xy, 12 + ((1 - far) * 2 + far) * 3)
    bx, by, bz = _sum3(edges, xy, 24 + ((1 - far) * 2 + far) * 3)
    cx, cy, cz = _sum3(edges, 12 + (far * 2 + far) * 3, 24 + (far * 2 + (1 - far)) * 3)
    return times(_determinant(ax, ay, az, bx, by, bz, cx, cy, cz), -0.5)


@compiled
def _sum3(edges, a, b):
    return (
        add(_edge(edges, a, 0), _edge(edges, b, 0)),
        add(_edge(edges, a, 1), _edge(edges, b, 1)),
        add(_edge(edges, a, 2), _edge(edges, b, 2)),
    )
