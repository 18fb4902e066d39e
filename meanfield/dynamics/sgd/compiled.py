"""Activations as the compiled simulators take them."""

from __future__ import annotations

from meanfield.activations import Activation
from meanfield.activations.own import POINTS
from meanfield.functions.users import NumericalDerivative, refusal, refuse_other, source_of
from meanfield.kernels.activations.codes import CUSTOM
from meanfield.kernels.activations.own import (
    CompilationError,
    difference_address,
    scalar_address,
    scalar_values,
)
from meanfield.kernels.activations.units import Unit


def compiled_unit(activation: Activation) -> Unit:
    """An activation for kernels; a user's own is compiled, once for all that it captures.

    Raises
    ------
    ValueError
        If numba cannot compile the user's function, with numba's reason, or what it compiled gives
        other values.
    """
    if activation.code != CUSTOM:
        return Unit(activation.code, float(activation.parameter), 0, 0)
    source, derivative = source_of(activation.function), activation.derivative
    what = f"activation {activation.name!r}"
    try:
        value = scalar_address(source)
        if isinstance(derivative, NumericalDerivative):
            shape = derivative.kinks, derivative.edges, derivative.steps
            slope = difference_address(source, *shape)
        else:
            slope = scalar_address(source_of(derivative))
            refuse_other(what, derivative(POINTS), scalar_values(slope, POINTS))
    except CompilationError as error:
        raise ValueError(refusal(what, error)) from error
    refuse_other(what, activation.function(POINTS), scalar_values(value, POINTS))
    return Unit(CUSTOM, 0.0, value[0], slope[0])
