"""Memory inside kernels, without numba's own functions for it.

numba compiles `np.empty`, `np.zeros` and `array.view` as functions of their own, anew for every
shape and every set of options: a tenth of what a first call waited for. Here they are a few
instructions where they are called. `passes` reads `np.empty(shape)` and `np.zeros(shape)` in a
kernel as the functions of this module.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

_ALIGNMENT, _BYTES = 64, 8  # of a line of the cache; of a double


def _lengths(context, builder, kind, value):
    """The lengths of a shape, a whole number or a tuple of them."""
    if isinstance(kind, types.Integer):
        return [context.cast(builder, value, kind, types.intp)]
    parts = cgutils.unpack_tuple(builder, value, count=len(kind))
    return [context.cast(builder, *pair, types.intp) for pair in zip(parts, kind, strict=True)]


def _allocated(context, builder, signature, shape):
    """An array of doubles in rows, and its size in bytes."""
    lengths = _lengths(context, builder, signature.args[0], shape)
    size = ir.Constant(lengths[0].type, _BYTES)
    strides: list[Any] = []
    for length in reversed(lengths):
        strides.insert(0, size)
        size = builder.mul(size, length)
    alignment = ir.Constant(ir.IntType(32), _ALIGNMENT)
    owner = context.nrt.meminfo_alloc_aligned(builder, size, alignment)
    array = make_array(signature.return_type)(context, builder)
    memory = context.nrt.meminfo_data(builder, owner)
    populate_array(
        array,
        data=builder.bitcast(memory, ir.DoubleType().as_pointer()),
        shape=cgutils.pack_array(builder, lengths),
        strides=cgutils.pack_array(builder, strides),
        itemsize=strides[-1],
        meminfo=owner,
    )
    return array, size


def _array_type(shape):
    return types.Array(types.float64, 1 if isinstance(shape, types.Integer) else len(shape), "C")


@intrinsic
def empty(typing, shape):
    """Doubles of some value, as `np.empty(shape)`."""

    def generate(context, builder, signature, args):
        return _allocated(context, builder, signature, args[0])[0]._getvalue()

    return _array_type(shape)(shape), generate


@intrinsic
def zeros(typing, shape):
    """Zeros, as `np.zeros(shape)`."""

    def generate(context, builder, signature, args):
        array, size = _allocated(context, builder, signature, args[0])
        cgutils.memset(builder, array.data, size, 0)
        return array._getvalue()

    return _array_type(shape)(shape), generate


@intrinsic
def integers(typing, array):
    """The same memory, its doubles seen as whole numbers of 64 bits."""

    def generate(context, builder, signature, args):
        doubles = make_array(signature.args[0])(context, builder, args[0])
        view = make_array(signature.return_type)(context, builder)
        populate_array(
            view,
            data=builder.bitcast(doubles.data, ir.IntType(64).as_pointer()),
            shape=doubles.shape,
            strides=doubles.strides,
            itemsize=doubles.itemsize,
            meminfo=doubles.meminfo,
            parent=doubles.parent,
        )
        if context.enable_nrt:
            context.nrt.incref(builder, signature.return_type, view._getvalue())
        return view._getvalue()

    return array.copy(dtype=types.int64)(array), generate


@intrinsic
def item(typing, array, index):
    """The number at `index` in the memory of an array in rows; nothing is checked.

    numba counts negative indices from the end, and asks for the sign wherever the compiler cannot
    tell it: in a product of matrices that took longer than its arithmetic.
    """
    if array.layout != "C":
        return None

    def generate(context, builder, signature, args):
        data = make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(data, [args[1]]))

    return array.dtype(array, types.intp), generate
