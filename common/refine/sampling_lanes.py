"""What the refinement's kernels need besides ``common.compiled.lanes``: constants, roots, and sixteen samples at once.

A gather instruction is no faster than sixteen loads on the processors at hand, and not every processor has one: each
lane loads its two neighbours along the last axis as one number of 64 bits, and one shuffle sorts them.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from common.compiled.lanes import lanes
from common.compiled.width import WIDTH

_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR, _INTEGERS = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_INT, WIDTH)
_HALF = ir.VectorType(_LONG, WIDTH // 2)


def _integers(numbers) -> ir.Constant:
    return ir.Constant(_INTEGERS, [ir.Constant(_INT, int(n)) for n in numbers])


def _spread(builder, scalar, kind):
    """One number in all lanes."""
    lonely = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(lonely, ir.Constant(kind, ir.Undefined), _integers([0] * WIDTH))


def _call(builder, name, *args):
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(args))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v16f32"), args)


def _lower(builder, a, b):
    return builder.select(builder.fcmp_ordered("<", b, a), b, a)


@intrinsic
def constant(typingctx, number):
    """One number in all lanes."""

    def emit(context, builder, signature, args):
        return _spread(builder, builder.fptrunc(args[0], _FLOAT), _VECTOR)

    return lanes(types.float64), emit


@intrinsic
def ramp(typingctx, start):
    """start, start + 1, ... start + 15."""

    def emit(context, builder, signature, args):
        steps = ir.Constant(_VECTOR, [ir.Constant(_FLOAT, float(i)) for i in range(WIDTH)])
        return builder.fadd(_spread(builder, builder.fptrunc(args[0], _FLOAT), _VECTOR), steps)

    return lanes(types.float64), emit


@intrinsic
def root(typingctx, x):
    """Square root."""
    return lanes(lanes), lambda context, builder, signature, args: _call(builder, "sqrt", args[0])


def _split(builder, position, last):
    """Whole and fractional part of positions held to [0, last]; the whole part is below last, so that +1 exists."""
    zero = ir.Constant(_VECTOR, [ir.Constant(_FLOAT, 0.0)] * WIDTH)
    one = ir.Constant(_VECTOR, [ir.Constant(_FLOAT, 1.0)] * WIDTH)
    end = _spread(builder, builder.sitofp(last, _FLOAT), _VECTOR)
    inside = builder.select(builder.fcmp_ordered(">", position, zero), position, zero)  # NaN becomes 0
    inside = _lower(builder, inside, end)
    whole = _lower(builder, _call(builder, "floor", inside), builder.fsub(end, one))
    return builder.fptosi(whole, _INTEGERS), builder.fsub(inside, whole)


def _neighbours(builder, data, base, index, offset):
    """data[base + offset + index] and the numbers behind them, for sixteen indices."""
    halves = [ir.Constant(_HALF, ir.Undefined)] * 2
    start = builder.add(base, offset)
    for lane in range(WIDTH):
        at = builder.add(start, builder.sext(builder.extract_element(index, ir.Constant(_INT, lane)), _LONG))
        pair = builder.load(builder.bitcast(builder.gep(data, [at]), _LONG.as_pointer()), align=4)
        half, slot = divmod(lane, WIDTH // 2)
        halves[half] = builder.insert_element(halves[half], pair, ir.Constant(_INT, slot))
    low, high = (builder.bitcast(half, _VECTOR) for half in halves)
    even, odd = _integers(range(0, 2 * WIDTH, 2)), _integers(range(1, 2 * WIDTH, 2))
    return builder.shuffle_vector(low, high, even), builder.shuffle_vector(low, high, odd)


@intrinsic
def sample(typingctx, array, base, nx, ny, nz, stride, px, py, pz):
    """Trilinear samples of a volume at sixteen positions; beyond its faces the outermost voxels go on.

    The volume begins at ``array[base]``; its rows of ``nz`` numbers are ``stride`` apart, its planes ``ny`` rows. Every
    axis has two voxels or more.
    """

    def emit(context, builder, signature, args):
        array_value, base_, nx_, ny_, nz_, stride_, px_, py_, pz_ = args
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, array_value).data
        one = ir.Constant(_LONG, 1)
        (ix, wx), (iy, wy), (iz, wz) = (
            _split(builder, p, builder.sub(n, one)) for p, n in ((px_, nx_), (py_, ny_), (pz_, nz_))
        )
        rows = builder.add(builder.mul(ix, _spread(builder, builder.trunc(ny_, _INT), _INTEGERS)), iy)
        index = builder.add(builder.mul(rows, _spread(builder, builder.trunc(stride_, _INT), _INTEGERS)), iz)
        plane = builder.mul(ny_, stride_)
        zero = ir.Constant(_LONG, 0)

        def between(a, b, weight):
            return _fma(builder, weight, builder.fsub(b, a), a)

        offsets = zero, stride_, plane, builder.add(plane, stride_)
        pairs = [_neighbours(builder, data, base_, index, offset) for offset in offsets]
        a, b, c, d = (between(low, high, wz) for low, high in pairs)
        return between(between(a, b, wy), between(c, d, wy), wx)

    long = types.intp
    return lanes(array, long, long, long, long, long, lanes, lanes, lanes), emit


def _fma(builder, a, b, c):
    return _call(builder, "fmuladd", a, b, c)
