"""Eight numbers at once: vectors that stay in registers.

Compilers vectorise loops over long arrays, and give up on the short ones of a stencil, where eight
weights meet eight mesh points. `Lanes` is a numba type for a vector of eight doubles; the functions
here are its arithmetic, one machine instruction or two each, on any processor.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 8
VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_INDEX = ir.IntType(32)
_FAST = ("contract", "reassoc", "nsz", "arcp", "afn")


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
        nothing = ir.Constant(VECTOR, ir.Undefined)
        first = builder.insert_element(nothing, args[0], ir.Constant(_INDEX, 0))
        zeros = ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES)
        return builder.shuffle_vector(first, nothing, zeros)

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
            lanes = ir.VectorType(_INDEX, width)
            low = builder.shuffle_vector(value, value, ir.Constant(lanes, list(range(width))))
            high = builder.shuffle_vector(
                value, value, ir.Constant(lanes, list(range(width, 2 * width)))
            )
            value = builder.fadd(low, high)
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
