"""Activations and targets as the compiled simulators take them."""

from __future__ import annotations

from typing import Any

from meanfield.activations import Activation
from meanfield.functions import STEP, Elementwise, NumericalDerivative, StoredFunction
from meanfield.kernels.codes import CUSTOM
from meanfield.kernels.own import (
    CompilationError,
    difference_address,
    point_address,
    scalar_address,
)
from meanfield.kernels.units import Unit
from meanfield.targets import MultiIndexTarget
from meanfield.targets.polynomials import HermiteSeries, Polynomial


def compiled_unit(activation: Activation) -> Unit:
    """An activation for kernels; a user's own is compiled, once for all problems.

    Raises
    ------
    ValueError
        If numba cannot compile the user's function, with numba's reason.
    """
    if activation.code != CUSTOM:
        return Unit(activation.code, float(activation.parameter), 0, 0)
    function, derivative = _found(activation.function), activation.derivative
    try:
        value, _ = scalar_address(function)
        if isinstance(derivative, NumericalDerivative):
            slope, _ = difference_address(function, activation.kinks, STEP)
        else:
            slope, _ = scalar_address(_found(derivative))
    except CompilationError as error:
        raise ValueError(_refusal(f"activation {activation.name!r}", error)) from error
    return Unit(CUSTOM, 0.0, value, slope)


def compiled_label(target: MultiIndexTarget) -> int:
    """Address of a target as a function of one point z; raises as `compiled_unit`."""
    function: Any = target.function
    known = isinstance(function, Polynomial | HermiteSeries)
    function = function.plain() if known else _found(function)
    try:
        address, _ = point_address(function, target.k)
    except CompilationError as error:
        raise ValueError(_refusal(f"target {target.name!r}", error)) from error
    return address


def _found(function: Any) -> Any:
    if isinstance(function, StoredFunction):
        function = function.resolve()
    return function.function if isinstance(function, Elementwise) else function


def _refusal(what: str, error: Exception) -> str:
    return (
        f"SGD calls the {what} once a sample and needs it compiled, but numba refused: {error}; "
        "simple NumPy of columns z[:, 0] and loops compile"
    )
