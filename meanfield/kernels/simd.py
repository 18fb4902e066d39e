"""Eight numbers at once: vectors that stay in registers.

Compilers vectorise loops over long arrays, and give up on the short ones of a stencil, where eight
weights meet eight mesh points. `Lanes` is a numba type for a vector of eight doubles; the functions
here are its arithmetic, one machine instruction or two each, on any processor; last, powers of a
number in the lanes of a vector, sums over lanes two at a time, and transposition.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from meanfield.kernels.options import FAST

LANES = 8
VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_INDEX = ir.IntType(32)
_FAST = tuple(sorted(FAST))


def aligned(shape):
    """Zeros that start with a line of the cache, so that no vector of eight lies across two."""
    size = int(np.prod(shape))
    memory = np.zeros(size + LANES)
    first = -memory.ctypes.data % (8 * LANES) // 8
    return memory[first : first + size].reshape(shape)


class _Lanes(types.Type):
    def __init__(self):
        super().__init__(name="Lanes")


lanes_type = _Lanes()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes_type):
        super().__init__(manager, lanes_type, VECTOR)


def _pointer(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), VECTOR.as_pointer())


@intrinsic
def load(typing, array, index):
    """array[index : index + 8], of a contiguous vector; nothing is checked."""

    def generate(context, builder, signature, args):
        value = builder.load(_pointer(context, builder, signature.args[0], *args))
        value.align = 8
        return value

    return lanes_type(array, types.intp), generate


@intrinsic
def store(typing, array, index, value):
    """array[index : index + 8] = value."""

    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], pointer).align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes_type), generate


@intrinsic
def fill(typing, x):
    """x in all lanes."""

    def generate(context, builder, signature, args):
        return _filled(builder, args[0])

    return lanes_type(types.float64), generate


@intrinsic
def multiply(typing, x, y):
    """x y, lane by lane."""

    def generate(context, builder, signature, args):
        return builder.fmul(*args, flags=_FAST)

    return lanes_type(lanes_type, lanes_type), generate


@intrinsic
def add(typing, x, y):
    """x + y, lane by lane."""

    def generate(context, builder, signature, args):
        return builder.fadd(*args, flags=_FAST)

    return lanes_type(lanes_type, lanes_type), generate


@intrinsic
def multiply_add(typing, x, y, z):
    """x y + z, lane by lane."""

    def generate(context, builder, signature, args):
        product = builder.fmul(args[0], args[1], flags=_FAST)
        return builder.fadd(product, args[2], flags=_FAST)

    return lanes_type(lanes_type, lanes_type, lanes_type), generate


@intrinsic
def total(typing, x):
    """Sum over the lanes, in pairs."""

    def generate(context, builder, signature, args):
        value, width = args[0], LANES
        while width > 1:
            width //= 2
            low = _picked(builder, value, value, range(width))
            value = builder.fadd(low, _picked(builder, value, value, range(width, 2 * width)))
        return builder.extract_element(value, ir.Constant(_INDEX, 0))

    return types.float64(lanes_type), generate


@intrinsic
def divide(typing, x, y):
    """x/y, lane by lane."""

    def generate(context, builder, signature, args):
        return builder.fdiv(*args, flags=_FAST)

    return lanes_type(lanes_type, lanes_type), generate


def _call(builder, name, *args):
    kind = ir.FunctionType(VECTOR, [VECTOR] * len(args))
    name = f"llvm.{name}.v{LANES}f64"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


@intrinsic
def square_root(typing, x):
    """√x, lane by lane."""

    def generate(context, builder, signature, args):
        return _call(builder, "sqrt", *args)

    return lanes_type(lanes_type), generate


@intrinsic
def absolute(typing, x):
    """|x|, lane by lane."""

    def generate(context, builder, signature, args):
        return _call(builder, "fabs", *args)

    return lanes_type(lanes_type), generate


@intrinsic
def with_sign(typing, x, y):
    """|x| with the sign of y, lane by lane."""

    def generate(context, builder, signature, args):
        return _call(builder, "copysign", *args)

    return lanes_type(lanes_type, lanes_type), generate


@intrinsic
def where_above(typing, x, y, a, b):
    """a in the lanes where x > y, b in the others and where either is NaN."""

    def generate(context, builder, signature, args):
        above = builder.fcmp_ordered(">", *args[:2])
        return builder.select(above, *args[2:])

    return lanes_type(lanes_type, lanes_type, lanes_type, lanes_type), generate


@intrinsic
def any_above(typing, x, y):
    """Whether x > y in some lane."""

    def generate(context, builder, signature, args):
        above = builder.fcmp_ordered(">", *args)
        bits = builder.bitcast(above, ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(LANES), 0))

    return types.boolean(lanes_type, lanes_type), generate


_ONES = ir.Constant(VECTOR, [1.0] * LANES)


def _picked(builder, x, y, lanes):
    """Lanes of x, and of y from the eighth on."""
    chosen = ir.Constant(ir.VectorType(_INDEX, len(lanes)), list(lanes))
    return builder.shuffle_vector(x, y, chosen)


def _filled(builder, x):
    nothing = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, x, ir.Constant(_INDEX, 0))
    return _picked(builder, first, nothing, [0] * LANES)


@intrinsic(prefer_literal=True)
def join(typing, low, high, split):
    """The first `split` lanes of one vector and the others of another."""
    count = split.literal_value

    def generate(context, builder, signature, args):
        return _replaced(builder, args[0], args[1], range(count, LANES))

    return lanes_type(lanes_type, lanes_type, split), generate


def _replaced(builder, x, y, lanes):
    """x with some lanes of y."""
    return _picked(builder, x, y, [LANES + i if i in lanes else i for i in range(LANES)])


@intrinsic
def ladder(typing, x):
    """1, x, x², …, x⁷."""

    def generate(context, builder, signature, args):
        value, power = _ONES, args[0]
        for step in (1, 2, 4):
            lanes = [i for i in range(LANES) if i & step]
            factor = _replaced(builder, _ONES, _filled(builder, power), lanes)
            value = factor if step == 1 else builder.fmul(value, factor, flags=_FAST)
            power = builder.fmul(power, power, flags=_FAST)
        return value

    return lanes_type(types.float64), generate


@intrinsic
def tail(typing, x):
    """…, x², x, 1: powers in the last three lanes, backwards."""

    def generate(context, builder, signature, args):
        square = builder.fmul(args[0], args[0], flags=_FAST)
        value = _replaced(builder, _ONES, _filled(builder, args[0]), [6])
        return _replaced(builder, value, _filled(builder, square), [5])

    return lanes_type(types.float64), generate


@intrinsic
def totals(typing, x, y, z, w):
    """Sums over the lanes of x + y and of z + w, in pairs."""

    def generate(context, builder, signature, args):
        left, right = builder.fadd(args[0], args[1]), builder.fadd(args[2], args[3])
        low = _picked(builder, left, right, [0, 1, 2, 3, 8, 9, 10, 11])
        value = builder.fadd(low, _picked(builder, left, right, [4, 5, 6, 7, 12, 13, 14, 15]))
        value = builder.fadd(value, _picked(builder, value, value, [2, 3, 0, 1, 6, 7, 4, 5]))
        value = builder.fadd(value, _picked(builder, value, value, [1, 0, 3, 2, 5, 4, 7, 6]))
        sums = [builder.extract_element(value, ir.Constant(ir.IntType(32), i)) for i in (0, 4)]
        return context.make_tuple(builder, signature.return_type, sums)

    return types.UniTuple(types.float64, 2)(
        lanes_type, lanes_type, lanes_type, lanes_type
    ), generate


@intrinsic
def transpose(typing, source, p, step, target, q, stride):
    """Eight vectors of `source`, `step` apart from p on, as columns of eight of `target`."""

    def generate(context, builder, signature, args):
        def place(at, i):
            index = builder.add(args[at + 1], builder.mul(args[at + 2], args[at + 2].type(i)))
            return _pointer(context, builder, signature.args[at], args[at], index)

        rows = [builder.load(place(0, i), align=8) for i in range(LANES)]
        for half in (4, 2, 1):  # blocks off the diagonal change places
            low = [j - half + LANES if j & half else j for j in range(LANES)]
            high = [j + LANES if j & half else j + half for j in range(LANES)]
            for i in (i for i in range(LANES) if not i & half):
                both = builder, rows[i], rows[i + half]
                rows[i], rows[i + half] = _picked(*both, low), _picked(*both, high)
        for i, row in enumerate(rows):
            builder.store(row, place(3, i), align=8)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate
