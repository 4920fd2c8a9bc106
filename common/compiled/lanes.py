"""Sixteen float32 numbers as one value inside numba functions: explicit vectors, so that nothing hangs on luck.

LLVM's loop vectoriser gives up on loops as long as the scan's; here each operation is emitted as an LLVM instruction
on ``<16 x float>``, which is one AVX-512 register, two of AVX2, four of NEON. Import only from the CPU kernels: this
module needs numba. All functions below are for use inside ``numba.njit`` code; ``array`` is a flat float32 array.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.extending import intrinsic, register_model

from common.compiled.width import WIDTH

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_VECTOR, _INTEGERS = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_INT, WIDTH)
LOG2_E = 1.4426950408889634
# 2^f = 1 + f q(f) on [-0.5, 0.5]; q fitted in float64 for the least relative error (1e-8), highest power first.
_EXP2 = (
    0.00015403512225020677,
    0.0013390735257416964,
    0.009618237614631653,
    0.05550357326865196,
    0.24022649228572845,
    0.6931471824645996,
)
# atanh(s) / s in powers of s^2 for |s| <= 1/3, fitted likewise (4e-9).
_ATANH = (0.1408916711807251, 0.13980302214622498, 0.20012454688549042, 0.3333315849304199, 1.0)


class LanesType(types.Type):
    """The numba type of a vector of sixteen float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name="Lanes16")


lanes = LanesType()


@register_model(LanesType)
class _LanesModel(PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, _VECTOR)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [ir.Constant(_FLOAT, value)] * WIDTH)


def _integers(value: int) -> ir.Constant:
    return ir.Constant(_INTEGERS, [ir.Constant(_INT, value)] * WIDTH)


def _fma(builder, a, b, c):
    """a b + c, fused where the processor can."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.v16f32"), [a, b, c])


def _abs(builder, x):
    kind = ir.FunctionType(_VECTOR, [_VECTOR])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fabs.v16f32"), [x])


def _positive_part(builder, x):
    """max(x, 0); NaN stays NaN."""
    return builder.select(builder.fcmp_ordered("<", x, _constant(0.0)), _constant(0.0), x)


def _polynomial(builder, x, coefficients):
    value = _constant(coefficients[0])
    for coefficient in coefficients[1:]:
        value = _fma(builder, value, x, _constant(coefficient))
    return value


def _exp2_product(builder, a, b):
    """2^(a b) for a b < 127: a b = n + f with n whole; a polynomial for f, and n added to the exponent's bits.

    f comes from one fused multiply-add, so a b is never rounded. Below 2^-126 the result is zero; NaN stays NaN.
    """
    magic = 12582912.0  # 1.5 * 2^23: adding it leaves the rounded product in the low bits
    shifted = _fma(builder, a, b, _constant(magic))
    f = _fma(builder, a, b, builder.fsub(_constant(magic), shifted))
    p = _fma(builder, _polynomial(builder, f, _EXP2), f, _constant(1.0))
    exponent = builder.shl(builder.bitcast(shifted, _INTEGERS), _integers(23))
    bits = builder.add(builder.bitcast(p, _INTEGERS), exponent)
    tiny = builder.fcmp_ordered("<", shifted, _constant(magic - 126.0))
    return builder.bitcast(builder.select(tiny, _integers(0), bits), _VECTOR)


def _exp_minus_abs(builder, x):
    """exp(-|x|), in (0, 1]."""
    return _exp2_product(builder, _abs(builder, x), _constant(-LOG2_E))


def _softplus(builder, x):
    """log(1 + e^x) = max(x, 0) + log1p(e), e = exp(-|x|); and log1p(e) = 2 atanh(e / (2 + e)), accurate for small e."""
    e = _exp_minus_abs(builder, x)
    s = builder.fdiv(e, builder.fadd(e, _constant(2.0)))
    series = _polynomial(builder, builder.fmul(s, s), _ATANH)
    return _fma(builder, builder.fadd(s, s), series, _positive_part(builder, x))


def _sigmoid(builder, x):
    e = _exp_minus_abs(builder, x)
    top = builder.select(builder.fcmp_ordered("<", x, _constant(0.0)), e, _constant(1.0))
    return builder.fdiv(top, builder.fadd(e, _constant(1.0)))


def _element(context, builder, array_type, array, index):
    """Pointer to array[index]."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def _vector_pointer(context, builder, array_type, array, index):
    return builder.bitcast(_element(context, builder, array_type, array, index), _VECTOR.as_pointer())


def _broadcast(builder, scalar):
    lonely = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(lonely, ir.Constant(_VECTOR, ir.Undefined), _integers(0))


def _unary(emit):
    @intrinsic
    def operation(typingctx, x):
        return lanes(lanes), lambda context, builder, signature, args: emit(builder, *args)

    return operation


def _binary(emit):
    @intrinsic
    def operation(typingctx, a, b):
        return lanes(lanes, lanes), lambda context, builder, signature, args: emit(builder, *args)

    return operation


softplus = _unary(_softplus)
sigmoid = _unary(_sigmoid)
exp2_product = _binary(_exp2_product)
add = _binary(lambda builder, a, b: builder.fadd(a, b))
sub = _binary(lambda builder, a, b: builder.fsub(a, b))
mul = _binary(lambda builder, a, b: builder.fmul(a, b))
div = _binary(lambda builder, a, b: builder.fdiv(a, b))
smaller = _binary(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", b, a), b, a))
larger = _binary(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", b, a), b, a))


minus = _unary(lambda builder, x: builder.fsub(_constant(-0.0), x))


@intrinsic
def times(typingctx, x, number):
    """x times one number."""

    def emit(context, builder, signature, args):
        return builder.fmul(args[0], _broadcast(builder, builder.fptrunc(args[1], _FLOAT)))

    return lanes(lanes, types.float64), emit


@intrinsic
def fma(typingctx, a, b, c):
    """a b + c."""
    return lanes(lanes, lanes, lanes), lambda context, builder, signature, args: _fma(builder, *args)


@intrinsic
def zeros(typingctx):
    """Sixteen zeros."""
    return lanes(), lambda context, builder, signature, args: _constant(0.0)


@intrinsic
def load(typingctx, array, index):
    """array[index : index + 16]."""

    def emit(context, builder, signature, args):
        return builder.load(_vector_pointer(context, builder, signature.args[0], *args), align=4)

    return lanes(array, types.intp), emit


def _prefetcher(write: int):
    @intrinsic
    def operation(typingctx, array, index):
        def emit(context, builder, signature, args):
            byte = ir.IntType(8).as_pointer()
            kind = ir.FunctionType(ir.VoidType(), [byte, _INT, _INT, _INT])
            function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            pointer = builder.bitcast(_element(context, builder, signature.args[0], *args), byte)
            builder.call(function, [pointer, _INT(write), _INT(2), _INT(1)])
            return context.get_dummy_value()

        return types.void(array, types.intp), emit

    return operation


prefetch = _prefetcher(0)
prefetch_write = _prefetcher(1)


@intrinsic
def splat(typingctx, array, index):
    """array[index] in all sixteen lanes."""

    def emit(context, builder, signature, args):
        return _broadcast(builder, builder.load(_element(context, builder, signature.args[0], *args)))

    return lanes(array, types.intp), emit


@intrinsic
def store(typingctx, array, index, value):
    """array[index : index + 16] = value."""

    def emit(context, builder, signature, args):
        array_value, at, vector = args
        builder.store(vector, _vector_pointer(context, builder, signature.args[0], array_value, at), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), emit


@intrinsic
def accumulate64(typingctx, array, index, value):
    """array[index : index + 16] += value, on a float64 array."""

    def emit(context, builder, signature, args):
        array_value, at, vector = args
        wide = ir.VectorType(ir.DoubleType(), WIDTH)
        pointer = builder.bitcast(_element(context, builder, signature.args[0], array_value, at), wide.as_pointer())
        total = builder.fadd(builder.load(pointer, align=8), builder.fpext(vector, wide))
        builder.store(total, pointer, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), emit


def _transposed(builder, rows: list) -> list:
    """Transpose sixteen vectors by four rounds of pairwise shuffles, halving the block size each round."""
    block = WIDTH // 2
    while block:
        first = [lane if not lane & block else WIDTH + lane - block for lane in range(WIDTH)]
        second = [lane + block if not lane & block else WIDTH + lane for lane in range(WIDTH)]
        masks = [ir.Constant(_INTEGERS, [ir.Constant(_INT, i) for i in picks]) for picks in (first, second)]
        result = list(rows)
        for index in (i for i in range(WIDTH) if not i & block):
            a, b = rows[index], rows[index + block]
            result[index], result[index + block] = (builder.shuffle_vector(a, b, mask) for mask in masks)
        rows, block = result, block // 2
    return rows


@intrinsic
def transpose(typingctx, target, at, step, source, source_at, source_step):
    """target[at + j step + i] = source[source_at + i source_step + j] for i, j in 0..15."""

    def emit(context, builder, signature, args):
        target_value, at_, step_, source_value, from_, from_step = args

        def pointer(kind, array, start, stride, i):
            index = builder.add(start, builder.mul(stride, ir.Constant(start.type, i)))
            return _vector_pointer(context, builder, kind, array, index)

        read = [pointer(signature.args[3], source_value, from_, from_step, i) for i in range(WIDTH)]
        rows = _transposed(builder, [builder.load(p, align=4) for p in read])
        for i, row in enumerate(rows):
            builder.store(row, pointer(signature.args[0], target_value, at_, step_, i), align=4)
        return context.get_dummy_value()

    return types.void(target, types.intp, types.intp, source, types.intp, types.intp), emit


@intrinsic
def sum_rows(typingctx, target, at, source, source_at):
    """target[at + i] = sum of source[source_at + 16 i : source_at + 16 i + 16] for i in 0..15."""

    def emit(context, builder, signature, args):
        target_value, at_, source_value, from_ = args
        kind = signature.args[2]
        offsets = [builder.add(from_, ir.Constant(from_.type, WIDTH * i)) for i in range(WIDTH)]
        pointers = [_vector_pointer(context, builder, kind, source_value, offset) for offset in offsets]
        rows = _transposed(builder, [builder.load(p, align=4) for p in pointers])
        while len(rows) > 1:
            rows = [builder.fadd(a, b) for a, b in zip(rows[::2], rows[1::2], strict=True)]
        builder.store(rows[0], _vector_pointer(context, builder, signature.args[0], target_value, at_), align=4)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp), emit
