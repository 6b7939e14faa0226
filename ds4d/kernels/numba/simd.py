"""SIMD for numba kernels: vectors of floats as a type, and the few operations on them.

A loop vectorises by itself only where the compiler can prove that nothing overlaps, and gains only
where it is long. With a type for vectors it need not prove anything, short rows are one operation,
and sums over many points stay in registers. The compiler maps vectors to the processor's registers.

There are two widths: WIDE floats (channels of a feature) and NARROW floats (pixels of a row). In an
operation on vectors a float32 stands for a vector of it. Arrays are contiguous and float32, of any
number of axes; an index counts floats from the start of the array and is not checked.

Each operation is a numba intrinsic: a function that is called while a kernel is compiled, with the
types of the arguments, and returns the type of the result and the function that writes its LLVM
instructions.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

# Options of numba's `parallel`: loops over prange and nothing else, which saves time to compile.
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
LOWEST = -100.0  # exp2 of less is exp2 of this
ROUNDS = 1.5 * 2**23  # a float32 to which a small number is added is that number, rounded


class _Vector(types.Type):
    def __init__(self, count: int):
        self.count = count
        self.vector = ir.VectorType(FLOAT, count)
        super().__init__(name=f"float32x{count}")

    def all(self, value: float) -> ir.Constant:
        return ir.Constant(self.vector, [value] * self.count)


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.vector)


WIDE, NARROW = 16, 8  # a row of channels, and a row of pixels
wide, narrow = _Vector(WIDE), _Vector(NARROW)


def _address(context, builder, kind, array, index):
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


@intrinsic
def load_scalar(typing, array, index):
    """array[index]; a negative index does not count from the end, which would cost a test."""

    def lower(context, builder, signature, arguments):
        return builder.load(_address(context, builder, signature.args[0], *arguments))

    return types.float32(array, types.intp), lower


def _load(kind: _Vector, array):
    def lower(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments)
        return builder.load(builder.bitcast(address, kind.vector.as_pointer()), align=4)

    return kind(array, types.intp), lower


@intrinsic
def load(typing, array, index):
    """array[index : index + WIDE]"""
    return _load(wide, array)


@intrinsic
def load_narrow(typing, array, index):
    """array[index : index + NARROW]"""
    return _load(narrow, array)


@intrinsic
def store(typing, array, index, values):
    """array[index : index + ..] = values"""

    def lower(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments[:2])
        pointer = builder.bitcast(address, values.vector.as_pointer())
        builder.store(arguments[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, values), lower


def _spread(builder, kind: _Vector, value):
    nothing = ir.Constant(kind.vector, ir.Undefined)
    one = builder.insert_element(nothing, value, INT(0))
    first = ir.Constant(ir.VectorType(INT, kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, nothing, first)


def _operation(kinds, build: Callable, kind: _Vector | None = None, result=None):
    """Typing and code of an operation on vectors, from the function that builds its code."""
    kind = kind or next(kind for kind in kinds if isinstance(kind, _Vector))
    kinds = [kind if isinstance(each, _Vector) else types.float32 for each in kinds]

    def lower(context, builder, signature, values):
        pairs = zip(kinds, values, strict=True)
        vectors = [v if k == kind else _spread(builder, kind, v) for k, v in pairs]
        return build(builder, *vectors)

    return (result or kind)(*kinds), lower


@intrinsic
def broadcast(typing, a):
    """A WIDE vector of a"""
    return _operation([a], lambda builder, a: a, wide)


@intrinsic
def broadcast_narrow(typing, a):
    """A NARROW vector of a"""
    return _operation([a], lambda builder, a: a, narrow)


@intrinsic
def ramp_narrow(typing, a):
    """0, a, 2 a, ...: a NARROW vector"""
    ramp = ir.Constant(narrow.vector, [float(i) for i in range(NARROW)])
    return _operation([a], lambda builder, a: builder.fmul(a, ramp), narrow)


@intrinsic
def add(typing, a, b):
    """a + b"""
    return _operation([a, b], lambda builder, a, b: builder.fadd(a, b, flags=FAST))


@intrinsic
def subtract(typing, a, b):
    """a - b"""
    return _operation([a, b], lambda builder, a, b: builder.fsub(a, b, flags=FAST))


@intrinsic
def multiply(typing, a, b):
    """a b"""
    return _operation([a, b], lambda builder, a, b: builder.fmul(a, b, flags=FAST))


@intrinsic
def divide(typing, a, b):
    """a / b"""
    return _operation([a, b], lambda builder, a, b: builder.fdiv(a, b))


@intrinsic
def multiply_add(typing, total, a, b):
    """total + a b"""

    def build(builder, total, a, b):
        return builder.fadd(total, builder.fmul(a, b, flags=FAST), flags=FAST)

    return _operation([total, a, b], build)


@intrinsic
def multiply_subtract(typing, total, a, b):
    """total - a b"""

    def build(builder, total, a, b):
        return builder.fsub(total, builder.fmul(a, b, flags=FAST), flags=FAST)

    return _operation([total, a, b], build)


@intrinsic
def select_less(typing, a, b, c, d):
    """c where a < b, else d"""

    def build(builder, a, b, c, d):
        return builder.select(builder.fcmp_ordered("<", a, b), c, d)

    return _operation([a, b, c, d], build)


@intrinsic
def multiply_sign(typing, a, b):
    """b times the sign of a, 0 where a is 0"""
    kind = a

    def build(builder, a, b):
        zeros = kind.all(0.0)
        negative = builder.select(builder.fcmp_ordered("<", a, zeros), builder.fneg(b), zeros)
        return builder.select(builder.fcmp_ordered(">", a, zeros), b, negative)

    return _operation([a, b], build)


@intrinsic
def any_less(typing, a, b):
    """True if a < b for any element"""
    count = next(kind.count for kind in (a, b) if isinstance(kind, _Vector))

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
def reduce_add(typing, a):
    """The sum of the elements of a vector."""
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
def reduce_add_each(typing, a, b, c, d, e, f, g, h):
    """The sums of the elements of eight NARROW vectors, as a NARROW vector"""

    def lower(context, builder, signature, vectors):
        even, odd = list(range(0, 2 * NARROW, 2)), list(range(1, 2 * NARROW, 2))
        while len(vectors) > 1:  # neighbours are added, of two vectors at a time
            vectors = [
                builder.fadd(
                    _shuffled(builder, x, y, even), _shuffled(builder, x, y, odd), flags=FAST
                )
                for x, y in zip(vectors[0::2], vectors[1::2], strict=True)
            ]
        return vectors[0]

    return narrow(*[narrow] * 8), lower
