"""An activation as kernels see it: its number, and its value and slope at a point.

A user's own function is compiled by itself and called by its address: the address is data, so the
kernels that call it stay cached on disk and are compiled once for all functions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from meanfield.kernels.options import serial

# the numbers by which kernels know activations
ERF = 0
RELU = 1
SQUARE = 2
LEAKY_RELU = 3
HERMITE = 4
TANH = 5
SIGMOID = 6
SOFTPLUS = 7
GELU = 8
SINE = 9
CUSTOM = 10

# whose averages over pairs of units the compiled kernels have in closed form
CLOSED_PAIRS = frozenset({ERF, RELU, SQUARE})
# linear on both sides of 0
RAMPS = frozenset({RELU, LEAKY_RELU})

ROOT_HALF = math.sqrt(0.5)
ROOT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)
ROOT_HALF_OVER_PI = math.sqrt(0.5 / math.pi)


class Unit(NamedTuple):
    """One activation: code, parameter, and the addresses of a user's own σ and σ' (else 0)."""

    code: int
    parameter: float
    value: int
    slope: int


@intrinsic
def call_scalar(typingctx, address, x):
    """Call the compiled function float64(float64) at an address."""

    def codegen(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.DoubleType(), [ir.DoubleType()])
        pointer = builder.inttoptr(arguments[0], kind.as_pointer())
        return builder.call(pointer, [arguments[1]])

    return types.float64(types.int64, types.float64), codegen


@intrinsic
def call_vector(typingctx, address, z):
    """Call the compiled function float64(float64*) at an address, on a contiguous array."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[1])(context, builder, arguments[1]).data
        kind = ir.FunctionType(ir.DoubleType(), [data.type])
        pointer = builder.inttoptr(arguments[0], kind.as_pointer())
        return builder.call(pointer, [data])

    return types.float64(types.int64, z), codegen


@serial
def hermite_unit(degree, x):
    """He_n(x)/√n! and its derivative √n He_{n−1}(x)/√(n−1)!."""
    before, value = 0.0, 1.0
    for n in range(1, int(degree) + 1):
        before, value = value, (x * value - math.sqrt(n - 1.0) * before) / math.sqrt(n)
    return value, math.sqrt(degree) * before


@serial
def other_unit(unit, x):
    """σ(x) and σ'(x) of all that `activate` does not do in place."""
    code = unit.code
    if unit.value != 0:
        return call_scalar(unit.value, x), call_scalar(unit.slope, x)
    if code == LEAKY_RELU:
        return (x, 1.0) if not x <= 0.0 else (unit.parameter * x, unit.parameter)
    if code == HERMITE:
        return hermite_unit(unit.parameter, x)
    if code == TANH:
        value = math.tanh(x)
        return value, 1.0 - value * value
    if code == SINE:
        return math.sin(x), math.cos(x)
    if code == GELU:
        above = 0.5 * math.erfc(-x * ROOT_HALF)
        return x * above, above + x * ROOT_HALF_OVER_PI * math.exp(-0.5 * x * x)
    small = math.exp(-abs(x))
    above = 1.0 / (1.0 + small) if x >= 0.0 else small / (1.0 + small)
    if code == SIGMOID:
        return above, small / ((1.0 + small) * (1.0 + small))
    if code == SOFTPLUS:
        return max(x, 0.0) + math.log1p(small), above
    return math.nan, math.nan


@serial
def activate(unit, x):
    """σ(x) and σ'(x); short, so that it is put in place where it is called."""
    code = unit.code
    if code == ERF:
        return math.erf(x * ROOT_HALF), ROOT_TWO_OVER_PI * math.exp(-0.5 * x * x)
    if code == RELU:
        # a NaN must come out as NaN, not as a dead unit
        return (x, 1.0) if not x <= 0.0 else (0.0, 0.0)
    if code == SQUARE:
        return x * x, 2.0 * x
    return other_unit(unit, x)
