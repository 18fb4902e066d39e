"""Activations and targets as the compiled simulators take them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.activations import Activation
from meanfield.activations.own import POINTS
from meanfield.functions.users import NumericalDerivative, source_of
from meanfield.kernels.activations.codes import CUSTOM
from meanfield.kernels.activations.own import (
    CompilationError,
    difference_address,
    point_address,
    point_values,
    scalar_address,
    scalar_values,
)
from meanfield.kernels.activations.units import Unit
from meanfield.targets import MultiIndexTarget
from meanfield.targets.multi_index import sample_points
from meanfield.targets.polynomials import HermiteSeries, Polynomial

Array = NDArray[np.float64]

AGREEMENT = 1e-9  # of compiled and interpreted values, relative to the largest


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
            _refuse_other(what, derivative(POINTS), scalar_values(slope, POINTS))
    except CompilationError as error:
        raise ValueError(_refusal(what, error)) from error
    _refuse_other(what, activation.function(POINTS), scalar_values(value, POINTS))
    return Unit(CUSTOM, 0.0, value[0], slope[0])


def compiled_label(target: MultiIndexTarget) -> int:
    """Address of a target as a function of one point z; raises as `compiled_unit`."""
    function: Any = target.function
    if isinstance(function, Polynomial | HermiteSeries):
        function = function.plain()
    what = f"target {target.name!r}"
    try:
        address = point_address(source_of(function), target.k)
    except CompilationError as error:
        raise ValueError(_refusal(what, error)) from error
    points = sample_points(target.k)
    _refuse_other(what, target(points), point_values(address, points))
    return address[0]


def _refuse_other(what: str, interpreted: Array, compiled: Array) -> None:
    """Refuse compiled code that is not what every other description calls."""
    size = float(np.abs(interpreted).max())
    if not np.allclose(interpreted, compiled, rtol=AGREEMENT, atol=AGREEMENT * size):
        worst = float(np.abs(interpreted - compiled).max())
        raise ValueError(
            f"SGD calls the {what} compiled, and what numba made of it gives values that differ by "
            f"{worst:.2g} from those that Python gives now: does it draw random numbers, or call "
            "compiled functions whose captured values changed (their `recompile()` helps)?"
        )


def _refusal(what: str, error: Exception) -> str:
    return (
        f"SGD calls the {what} once a sample and needs it compiled, but numba refused: {error}; "
        "simple NumPy of columns z[:, 0] and loops compile"
    )
