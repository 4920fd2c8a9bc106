"""What decoders need of sixteen numbers besides ``lanes``: float32 or bfloat16 memory, LeakyReLU, maximum and sum.

A bfloat16 array comes as its sixteen bits (uint16); all arithmetic is in float32. Import only from CPU kernels: this
module needs numba. All functions below are for use inside ``numba.njit`` code; arrays are flat.
"""

# mypy: ignore-errors
# (numba types this code; its intrinsics have no Python signatures)

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from common.compiled.lanes import lanes
from common.compiled.width import WIDTH

_FLOATS = ir.VectorType(ir.FloatType(), WIDTH)
_WORDS = ir.VectorType(ir.IntType(32), WIDTH)
_HALVES = ir.VectorType(ir.IntType(16), WIDTH)


def _constant(kind: ir.VectorType, value: int) -> ir.Constant:
    return ir.Constant(kind, [ir.Constant(kind.element, value)] * WIDTH)


def _pointer(context, builder, array_type, array, index):
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), (_HALVES if _is_half(array_type) else _FLOATS).as_pointer())


def _is_half(array_type) -> bool:
    return array_type.dtype == types.uint16


@intrinsic
def read(typingctx, array, index):
    """array[index : index + 16] as float32 numbers."""

    def emit(context, builder, signature, args):
        half = _is_half(signature.args[0])
        value = builder.load(_pointer(context, builder, signature.args[0], *args), align=2 if half else 4)
        if half:
            value = builder.bitcast(builder.shl(builder.zext(value, _WORDS), _constant(_WORDS, 16)), _FLOATS)
        return value

    return lanes(array, types.intp), emit


@intrinsic
def write(typingctx, array, index, value):
    """array[index : index + 16] = value, rounded to nearest even for bfloat16."""

    def emit(context, builder, signature, args):
        array_value, at, vector = args
        half = _is_half(signature.args[0])
        if half:
            bits = builder.bitcast(vector, _WORDS)
            odd = builder.and_(builder.lshr(bits, _constant(_WORDS, 16)), _constant(_WORDS, 1))
            bits = builder.add(bits, builder.add(odd, _constant(_WORDS, 0x7FFF)))
            vector = builder.trunc(builder.lshr(bits, _constant(_WORDS, 16)), _HALVES)
        builder.store(vector, _pointer(context, builder, signature.args[0], array_value, at), align=2 if half else 4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), emit


@intrinsic
def leaky(typingctx, x, slope):
    """x where positive, slope * x elsewhere."""

    def emit(context, builder, signature, args):
        vector, number = args
        lonely = builder.insert_element(
            ir.Constant(_FLOATS, ir.Undefined), builder.fptrunc(number, ir.FloatType()), ir.Constant(ir.IntType(32), 0)
        )
        slopes = builder.shuffle_vector(lonely, ir.Constant(_FLOATS, ir.Undefined), _constant(_WORDS, 0))
        positive = builder.fcmp_ordered(">", vector, _constant(_FLOATS, 0))
        return builder.select(positive, vector, builder.fmul(vector, slopes))

    return lanes(lanes, types.float64), emit


@intrinsic
def largest(typingctx, a, b):
    """The larger of two, lane by lane."""

    def emit(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", args[0], args[1]), args[0], args[1])

    return lanes(lanes, lanes), emit


@intrinsic
def total(typingctx, x):
    """The sum of the sixteen lanes, pair by pair."""

    def emit(context, builder, signature, args):
        value, width = args[0], WIDTH
        while width > 1:
            width //= 2
            lower, upper = (
                ir.Constant(
                    ir.VectorType(ir.IntType(32), width), [ir.Constant(ir.IntType(32), o + i) for i in range(width)]
                )
                for o in (0, width)
            )
            nothing = ir.Constant(value.type, ir.Undefined)
            value = builder.fadd(
                builder.shuffle_vector(value, nothing, lower), builder.shuffle_vector(value, nothing, upper)
            )
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.float32(lanes), emit
