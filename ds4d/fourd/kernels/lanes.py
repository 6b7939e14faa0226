"""Sixteen floats at once, for numba kernels: one to four vector registers of the processor.

A loop over channels vectorises by itself only where the compiler can prove that nothing overlaps.
With a type for vectors it need not prove anything, and sums over many points stay in registers.
Arrays are flat, contiguous and float32; indices are not checked.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

LANES = 16
VECTOR = ir.VectorType(ir.FloatType(), LANES)
ZEROS = ir.Constant(VECTOR, [0.0] * LANES)
INT = ir.IntType(32)
FAST = ("reassoc", "contract", "nsz")  # sums and products may be joined and reordered


class _Lanes(types.Type):
    def __init__(self):
        super().__init__(name=f"lanes{LANES}")


lanes = _Lanes()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, VECTOR)


def _address(context, builder, kind, array, index):
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


@intrinsic
def number(typing, array, index):
    """array[index]; a negative index does not count from the end, which would cost a test."""

    def lower(context, builder, signature, arguments):
        return builder.load(_address(context, builder, signature.args[0], *arguments))

    return types.float32(array, types.intp), lower


@intrinsic
def load(typing, array, index):
    """array[index : index + LANES]."""

    def lower(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments)
        return builder.load(builder.bitcast(address, VECTOR.as_pointer()), align=4)

    return lanes(array, types.intp), lower


@intrinsic
def store(typing, array, index, values):
    """array[index : index + LANES] = values."""

    def lower(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], builder.bitcast(address, VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), lower


def _spread(builder, value):
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, INT(0))
    everywhere = ir.Constant(ir.VectorType(INT, LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(VECTOR, ir.Undefined), everywhere)


def _operation(kinds, build: Callable):
    """Typing and code of a function of vectors; a float32 stands for a vector of it."""
    kinds = [kind if kind == lanes else types.float32 for kind in kinds]

    def lower(context, builder, signature, values):
        pairs = zip(kinds, values, strict=True)
        return build(builder, *(v if k == lanes else _spread(builder, v) for k, v in pairs))

    return lanes(*kinds), lower


@intrinsic
def spread(typing, a):
    """a in every lane."""
    return _operation([a], lambda builder, a: a)


@intrinsic
def plus(typing, a, b):
    """a + b"""
    return _operation([a, b], lambda builder, a, b: builder.fadd(a, b, flags=FAST))


@intrinsic
def minus(typing, a, b):
    """a - b"""
    return _operation([a, b], lambda builder, a, b: builder.fsub(a, b, flags=FAST))


@intrinsic
def times(typing, a, b):
    """a b"""
    return _operation([a, b], lambda builder, a, b: builder.fmul(a, b, flags=FAST))


@intrinsic
def plus_times(typing, total, a, b):
    """total + a b"""

    def build(builder, total, a, b):
        return builder.fadd(total, builder.fmul(a, b, flags=FAST), flags=FAST)

    return _operation([total, a, b], build)


@intrinsic
def where_positive(typing, a, b):
    """b where a > 0, else 0"""

    def build(builder, a, b):
        return builder.select(builder.fcmp_ordered(">", a, ZEROS), b, ZEROS)

    return _operation([a, b], build)


@intrinsic
def signed(typing, a, b):
    """b times the sign of a, 0 where a is 0"""

    def build(builder, a, b):
        negative = builder.select(builder.fcmp_ordered("<", a, ZEROS), builder.fneg(b), ZEROS)
        return builder.select(builder.fcmp_ordered(">", a, ZEROS), b, negative)

    return _operation([a, b], build)


@intrinsic
def total(typing, a):
    """The sum of the lanes."""

    def lower(context, builder, signature, arguments):
        (a,) = arguments
        half = LANES // 2
        while half:
            other = [i + half if i < half else i for i in range(LANES)]
            mask = ir.Constant(ir.VectorType(INT, LANES), other)
            a = builder.fadd(a, builder.shuffle_vector(a, a, mask), flags=FAST)
            half //= 2
        return builder.extract_element(a, INT(0))

    return types.float32(lanes), lower
