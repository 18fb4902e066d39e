"""Activations made of users' own functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from meanfield import checks
from meanfield.activations.base import Activation, Function
from meanfield.functions import (
    NumericalDerivative,
    describe_function,
    elementwise,
    function_name,
    restored_function,
    values_at,
)
from meanfield.kernels import codes

# where a user's function is sampled, to know it again and to see whether it is odd
POINTS = 6.0 * np.sinh(np.linspace(-1.5, 1.5, 9))


def custom(
    function: Function,
    derivative: Function | None = None,
    name: str | None = None,
    kinks: Sequence[float] = (),
    strip: float = 1.0,
) -> Activation:
    """Make an activation of a user's own function.

    Parameters
    ----------
    function : callable
        σ, elementwise on NumPy arrays, growing no faster than a polynomial; a function of one
        number is compiled to take arrays. SGD compiles it with numba in any case, and refuses if
        that fails; every other description takes it as it is.
    derivative : callable, optional
        σ'; by default central differences of sixth order, good to about 1e-12.
    name : str, optional
        How to call it in titles; by default the function's own name.
    kinks : sequence of float
        Where σ' jumps: quadratures are broken there, and pairs of kinks are closed forms.
        Undeclared kinks cost accuracy. σ itself must not jump.
    strip : float
        Width of the finest feature of σ, > 0: distance from the real axis to its nearest complex
        singularity, if known. It sets the steps of quadratures.

    Returns
    -------
    Activation

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the function does not map an array to real numbers of
        its shape.

    Examples
    --------
    >>> import numpy as np, meanfield as mf
    >>> swish = mf.activations.custom(lambda x: x / (1 + np.exp(-x)), name="swish")
    >>> mf.Problem(mf.CommitteeTarget(k=1), swish).student.name
    'swish'
    """
    function = elementwise(function, POINTS)
    if derivative is not None:
        derivative = elementwise(derivative, POINTS)
    source: dict[str, Any] = {
        "kind": "custom",
        "function": describe_function(function, values_at(function, "function", POINTS, (9,))),
        "derivative": derivative
        and describe_function(derivative, values_at(derivative, "derivative", POINTS, (9,))),
        "name": function_name(getattr(function, "function", function))
        if name is None
        else str(name),
        "kinks": sorted(checks.real(kink, "kinks") for kink in kinks),
        "strip": checks.real(strip, "strip", above=0.0),
    }
    refuse_jumps(function, source["kinks"])
    return _custom(source, function, derivative)


def refuse_jumps(function: Function, kinks: Sequence[float]) -> None:
    """Refuse a function that jumps: its slope would miss what the jump adds to every average."""
    for kink in kinks:
        side = 1e-9 * max(1.0, abs(kink))
        below, above = function(np.array([kink - side, kink + side]))
        if abs(above - below) > 1e-6 * max(1.0, abs(above)):
            raise ValueError(
                f"function must be continuous, got a jump from {below:g} to {above:g} at the kink "
                f"{kink:g}"
            )


def _custom(source: dict[str, Any], function: Any, derivative: Any) -> Activation:
    kinks = tuple(source["kinks"])
    if derivative is None:
        derivative = NumericalDerivative(function, kinks)
    values = np.array(source["function"]["values"])  # at points that mirror each other
    return Activation(
        source["name"], codes.CUSTOM, function, derivative,
        smooth=not kinks, odd=bool(np.array_equal(values, -values[::-1])), kinks=kinks,
        strip=source["strip"], source=source,
    )  # fmt: skip


def restored(source: dict[str, Any]) -> Activation:
    """A user's activation from what `Activation.parameters` gave."""
    function = restored_function(source["function"], POINTS)
    derivative = source["derivative"] and restored_function(source["derivative"], POINTS)
    return _custom(dict(source), function, derivative)
