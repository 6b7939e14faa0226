"""Several floats at once, for numba kernels: vectors as a type, with the few operations we need.

A loop vectorises by itself only where the compiler can prove that nothing overlaps, and gains only
where it is long. With a type for vectors it need not prove anything, short rows are one operation,
and sums over many points stay in registers. The compiler maps vectors to what the processor has.
Arrays are flat, contiguous and float32; indices are not checked.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

# What numba makes parallel: loops over prange and nothing else, which saves time to compile.
LOOPS = {
    "prange": True, "comprehension": False, "reduction": False, "inplace_binop": False,
    "setitem": False, "numpy": False, "stencil": False, "fusion": False,
}  # fmt: skip

INT, FLOAT = ir.IntType(32), ir.FloatType()
FAST = ("reassoc", "contract", "nsz")  # sums and products may be joined and reordered

# 2^f on [-1/2, 1/2], to 8e-8 (minimax), the constant first.
POWERS = (
    1.0000000716450543, 0.6931469675057853, 0.24022119698276834,
    0.055507127220922145, 0.00967554288505765, 0.0013276624483779787,
)  # fmt: skip
LOWEST = -100.0  # 2^t is as small as at this t below it
ROUNDS = 1.5 * 2**23  # a float32 to which a small number is added is that number, rounded


class _Lanes(types.Type):
    def __init__(self, count: int):
        self.count = count
        self.vector = ir.VectorType(FLOAT, count)
        super().__init__(name=f"lanes{count}")

    def all(self, value: float) -> ir.Constant:
        return ir.Constant(self.vector, [value] * self.count)


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.vector)


LANES, FEW = 16, 8  # a row of channels, and a row of pixels
lanes, few = _Lanes(LANES), _Lanes(FEW)


def _address(context, builder, kind, array, index):
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


@intrinsic
def number(typing, array, index):
    """array[index]; a negative index does not count from the end, which would cost a test."""

    def lower(context, builder, signature, arguments):
        return builder.load(_address(context, builder, signature.args[0], *arguments))

    return types.float32(array, types.intp), lower


def _load(kind: _Lanes, array):
    def lower(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments)
        return builder.load(builder.bitcast(address, kind.vector.as_pointer()), align=4)

    return kind(array, types.intp), lower


@intrinsic
def load(typing, array, index):
    """array[index : index + LANES]"""
    return _load(lanes, array)


@intrinsic
def load_few(typing, array, index):
    """array[index : index + FEW]"""
    return _load(few, array)


@intrinsic
def store(typing, array, index, values):
    """array[index : index + ..] = values"""

    def lower(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments[:2])
        pointer = builder.bitcast(address, values.vector.as_pointer())
        builder.store(arguments[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, values), lower


def _spread(builder, kind: _Lanes, value):
    nothing = ir.Constant(kind.vector, ir.Undefined)
    one = builder.insert_element(nothing, value, INT(0))
    first = ir.Constant(ir.VectorType(INT, kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, nothing, first)


def _operation(kinds, build: Callable, kind: _Lanes | None = None, result=None):
    """Typing and code of a function of vectors; a float32 stands for a vector of it."""
    kind = kind or next(kind for kind in kinds if isinstance(kind, _Lanes))
    kinds = [kind if isinstance(each, _Lanes) else types.float32 for each in kinds]

    def lower(context, builder, signature, values):
        pairs = zip(kinds, values, strict=True)
        vectors = [v if k == kind else _spread(builder, kind, v) for k, v in pairs]
        return build(builder, *vectors)

    return (result or kind)(*kinds), lower


@intrinsic
def spread(typing, a):
    """a in all LANES"""
    return _operation([a], lambda builder, a: a, lanes)


@intrinsic
def spread_few(typing, a):
    """a in all FEW"""
    return _operation([a], lambda builder, a: a, few)


@intrinsic
def steps_few(typing, a):
    """0, a, 2 a, ... in FEW lanes"""
    ramp = ir.Constant(few.vector, [float(i) for i in range(FEW)])
    return _operation([a], lambda builder, a: builder.fmul(a, ramp), few)


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
def over(typing, a, b):
    """a / b"""
    return _operation([a, b], lambda builder, a, b: builder.fdiv(a, b))


@intrinsic
def plus_times(typing, total, a, b):
    """total + a b"""

    def build(builder, total, a, b):
        return builder.fadd(total, builder.fmul(a, b, flags=FAST), flags=FAST)

    return _operation([total, a, b], build)


@intrinsic
def minus_times(typing, total, a, b):
    """total - a b"""

    def build(builder, total, a, b):
        return builder.fsub(total, builder.fmul(a, b, flags=FAST), flags=FAST)

    return _operation([total, a, b], build)


@intrinsic
def where_less(typing, a, b, c, d):
    """c where a < b, else d"""

    def build(builder, a, b, c, d):
        return builder.select(builder.fcmp_ordered("<", a, b), c, d)

    return _operation([a, b, c, d], build)


@intrinsic
def signed(typing, a, b):
    """b times the sign of a, 0 where a is 0"""
    kind = a

    def build(builder, a, b):
        zeros = kind.all(0.0)
        negative = builder.select(builder.fcmp_ordered("<", a, zeros), builder.fneg(b), zeros)
        return builder.select(builder.fcmp_ordered(">", a, zeros), b, negative)

    return _operation([a, b], build)


@intrinsic
def any_less(typing, a, b):
    """Whether a < b anywhere"""
    count = next(kind.count for kind in (a, b) if isinstance(kind, _Lanes))

    def build(builder, a, b):
        bits = builder.bitcast(builder.fcmp_ordered("<", a, b), ir.IntType(count))
        return builder.icmp_unsigned("!=", bits, ir.IntType(count)(0))

    return _operation([a, b], build, result=types.boolean)


@intrinsic
def exp2(typing, t):
    """2^t for t below 127, relative error below 5e-7"""
    kind = t

    def build(builder, t):
        integers = ir.VectorType(INT, kind.count)
        lowest, rounds = kind.all(LOWEST), kind.all(ROUNDS)
        t = builder.select(builder.fcmp_ordered(">", t, lowest), t, lowest)
        rounded = builder.fadd(t, rounds)
        rest = builder.fsub(t, builder.fsub(rounded, rounds))
        power = kind.all(POWERS[-1])
        for number in POWERS[-2::-1]:
            product = builder.fmul(power, rest, flags=FAST)
            power = builder.fadd(product, kind.all(number), flags=FAST)
        # Adding to the exponent's bits multiplies by a power of two; the others are shifted out.
        whole = builder.bitcast(rounded, integers)
        shifted = builder.shl(whole, ir.Constant(integers, [23] * kind.count))
        return builder.bitcast(builder.add(builder.bitcast(power, integers), shifted), kind.vector)

    return _operation([t], build)


def _shuffled(builder, a, b, places):
    mask = ir.Constant(ir.VectorType(INT, len(places)), places)
    return builder.shuffle_vector(a, b, mask)


@intrinsic
def total(typing, a):
    """The sum of the lanes."""
    count = a.count

    def lower(context, builder, signature, arguments):
        (a,) = arguments
        half = count // 2
        while half:
            other = [i + half if i < half else i for i in range(count)]
            a = builder.fadd(a, _shuffled(builder, a, a, other), flags=FAST)
            half //= 2
        return builder.extract_element(a, INT(0))

    return types.float32(a), lower


@intrinsic
def totals(typing, a, b, c, d, e, f, g, h):
    """The sums of FEW vectors of FEW lanes, as a vector."""

    def lower(context, builder, signature, vectors):
        even, odd = list(range(0, 2 * FEW, 2)), list(range(1, 2 * FEW, 2))
        while len(vectors) > 1:  # neighbours are added, of two vectors at a time
            vectors = [
                builder.fadd(
                    _shuffled(builder, x, y, even), _shuffled(builder, x, y, odd), flags=FAST
                )
                for x, y in zip(vectors[0::2], vectors[1::2], strict=True)
            ]
        return vectors[0]

    return few(*[few] * 8), lower
