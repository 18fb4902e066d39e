"""Activations made of users' own functions, and all activations as compiled kernels take them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from meanfield import checks
from meanfield.activations.base import Activation, Function
from meanfield.functions.users import (
    STEP,
    NumericalDerivative,
    StoredFunction,
    describe_function,
    elementwise,
    function_name,
    key_of,
    refusal,
    refuse_other,
    restored_function,
    source_of,
    values_at,
)
from meanfield.gaussian.panels import NEAR, Panels, find_panels
from meanfield.kernels.activations.own import (
    CompilationError,
    difference_address,
    scalar_address,
    scalar_values,
)
from meanfield.kernels.activations.units import CUSTOM, Unit

STRIDE = 64.0  # steps of a difference in a panel, of which one of 1/2 takes the longest step
TRUSTED = 2.5  # a strip said may be this much above the one found, which is the lower of two bounds


def grid(count: int) -> np.ndarray:
    """Where a user's function is sampled, to know it again and to see whether it is odd."""
    half = 6.0 * np.sinh(np.arange(1.0, count // 2 + 1) * (1.5 / (count // 2)))
    return np.concatenate((-half[::-1], [0.0], half))


POINTS = grid(257)


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
        σ'; by default central differences of sixth order, shorter where σ is steep, good to about
        1e-11 of the largest slope.
    name : str, optional
        How to call it in titles; by default the function's own name.
    kinks : sequence of float
        Where σ' jumps: quadratures are broken there, and pairs of kinks are closed forms. Kinks are
        found without being declared, up to |x| = 16384, or 32 for a function that oscillates; one
        that is declared is taken as exact. σ itself must not jump.
    strip : float
        Width of the finest feature of σ, > 0: distance from the real axis to its nearest complex
        singularity, if known. It sets the steps of quadratures; a narrower feature is found too.

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
    given = _checked_kinks(kinks)
    values = values_at(function, "function", POINTS, POINTS.shape)
    panels = find_panels(function, given)
    slopes = values_at(derivative or function, "derivative", POINTS, POINTS.shape)
    source: dict[str, Any] = {
        "kind": "custom",
        "function": describe_function(function, values) | {"panels": _described(panels)},
        "derivative": derivative and describe_function(derivative, slopes),
        "name": function_name(getattr(function, "function", function))
        if name is None
        else str(name),
        "kinks": given,
        "strip": checks.real(strip, "strip", above=0.0),
    }
    if panels.jump is not None:
        at, below, above = panels.jump
        raise ValueError(
            f"function must be continuous, got a jump from {below:g} to {above:g} at {at:g}"
        )
    return _custom(source, function, derivative)


def _described(panels: Panels) -> dict[str, Any]:
    """Plain values, as a file gives them back."""
    found = {name: list(getattr(panels, name)) for name in ("edges", "points", "kinks")}
    return found | {"strip": panels.strip}


def _checked_kinks(kinks: Sequence[float]) -> list[float]:
    return sorted(checks.real(kink, "kinks") for kink in kinks)


def _custom(source: dict[str, Any], function: Any, derivative: Any) -> Activation:
    given = tuple(source["kinks"])
    # an older file knows what was declared
    known = source["function"].get("panels", {"edges": (), "points": given, "kinks": given,
                                              "strip": source["strip"]})  # fmt: skip
    edges, points, found = (tuple(known[name]) for name in ("edges", "points", "kinks"))
    panels = Panels(edges, points, found, known["strip"])
    beyond = {kink for kink in given if abs(kink) >= NEAR or not panels.points}
    kinks = tuple(sorted({*panels.kinks, *beyond}))
    breaks = tuple(sorted({*panels.points, *kinks}))
    strip = source["strip"]
    if strip > TRUSTED * panels.strip:
        strip = panels.strip
    if derivative is None:
        derivative = NumericalDerivative(function, breaks, *_steps(panels))
    values = np.array(source["function"]["values"])  # at points that mirror each other
    return Activation(
        source["name"], CUSTOM, function, derivative,
        smooth=not kinks, odd=bool(np.array_equal(values, -values[::-1])),
        homogeneous=kinks == (0.0,) and _is_homogeneous(values), kinks=kinks, strip=strip,
        source=source, breaks=breaks, edges=panels.edges,
    )  # fmt: skip


def _is_homogeneous(values: np.ndarray) -> bool:
    """Whether values on the grid lie on a straight line on either side of 0."""
    points = grid(len(values))
    slopes = np.divide(values, points, out=np.zeros_like(values), where=points != 0.0)
    straight = (slopes - np.where(points > 0.0, slopes[-1], slopes[0]))[points != 0.0]
    return values[len(values) // 2] == 0.0 and bool((np.abs(straight) <= 1e-15).all())


def _steps(panels: Panels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Ends of panels, and the step of differences between them: a power of two."""
    if not panels.edges:
        return (), (_power_of_two(STEP * min(1.0, panels.strip)),)
    inner = np.diff(panels.edges) / STRIDE
    return panels.edges, (STEP, *(_power_of_two(min(STEP, h)) for h in inner), STEP)


def _power_of_two(h: float) -> float:
    return 2.0 ** math.floor(math.log2(h))


def restored(source: dict[str, Any]) -> Activation:
    """A user's activation from what `Activation.parameters` gave."""
    function = restored_function(source["function"], grid)
    derivative = source["derivative"] and restored_function(source["derivative"], grid)
    return _custom(dict(source), function, derivative)


def present(activation: Activation) -> Activation:
    """A user's activation as it is now: made again if its functions capture other values."""
    source, function = activation.source, activation.function
    derivative = None if source["derivative"] is None else activation.derivative
    for own, described in ((function, source["function"]), (derivative, source["derivative"])):
        if own is None or isinstance(own, StoredFunction):
            continue
        if key_of(getattr(own, "function", own)) != described["code"] + described["captured"]:
            return custom(function, derivative, source["name"], source["kinks"], source["strip"])
    return activation


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
