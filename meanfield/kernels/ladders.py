"""Powers of a number in the lanes of a vector, and sums over lanes two at a time."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from meanfield.kernels.simd import LANES, VECTOR, lanes_type

_FAST = ("contract", "reassoc", "nsz", "arcp", "afn")
_ONES = ir.Constant(VECTOR, [1.0] * LANES)


def _picked(builder, x, y, lanes):
    """Lanes of x, and of y from the eighth on."""
    chosen = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(x, y, chosen)


def _filled(builder, x):
    nothing = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, x, ir.Constant(ir.IntType(32), 0))
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
