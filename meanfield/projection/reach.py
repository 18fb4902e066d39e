"""When a given share of the mass has come within a given angle of the subspace."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.projection.alignment import Concentration
from meanfield.projection.curves import fraction_name, observables
from meanfield.projection.neurons import split

Array = NDArray[np.float64]

ROUNDING = 1e-12  # of a time


@dataclass(frozen=True)
class ReachTime:
    """When a curve came down to a level, between two saved times.

    Attributes
    ----------
    time : float
        NaN if it was not reached.
    error : float
        Of the interpolation between saved times. With the states of a law or of an ODE: the shift
        when only every other of the times is used. Without them, and for SGD, as far as `between`.
    between : tuple of float
        The saved times around it, which enclose it whatever the interpolation.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> law = mf.gaussian_measure(problem, n=1000)
    >>> run = mf.solve_mean_field(problem, law, 1.0, save_at=5)
    >>> reached = mf.projection.time_within(run, angle=0.01)  # within half a degree: not so soon
    >>> reached.time
    nan
    """

    time: float
    error: float
    between: tuple[float, float]


def time_within(solution: Solution, angle: float, fraction: float = 0.9) -> Any:
    """The first time at which a fraction of the mass lies within an angle of the subspace.

    Between saved times the angle of each neuron is interpolated by a monotone cubic (Fritsch &
    Carlson 1980): it is smooth in time, while the angle within which a fraction of finitely many
    neurons lies has kinks, wherever one neuron overtakes another. Without states the interpolation
    is that of the latter curve, and between two saved times it may be anywhere.

    Parameters
    ----------
    solution : Solution
        With its states, or the observable ``"angle_of_<fraction>"`` of
        `mf.projection.observables`.
    angle : float
        Radians, in [0, π/2].
    fraction : float
        In (0, 1].

    Returns
    -------
    ReachTime, or list of ReachTime
        One per run for SGD.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the solution holds neither states nor the observable.

    Examples
    --------
    >>> import math, meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=math.inf)
    >>> run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=2), 30.0)
    >>> reached = mf.projection.time_within(run, math.pi / 4)
    >>> reached.between[0] <= reached.time <= reached.between[1]
    True
    """
    checks.instance(solution, "solution", Solution)
    angle = checks.real(angle, "angle", minimum=0.0)
    if angle > math.pi / 2:
        raise ValueError(f"angle must lie in [0, π/2] radians, got {angle:g}")
    fraction = checks.real(fraction, "fraction", above=0.0)
    curve = _angles_in_time(solution, fraction)
    if curve.ndim > 1:
        return [_with_bracket_error(first_below(solution.t, one, angle)) for one in curve]
    found = first_below(solution.t, curve, angle)
    if found.between[0] == found.time or math.isnan(found.time):
        return found
    if solution.states.shape != solution.t.shape:
        return _with_bracket_error(found)
    return _interpolated_by_neuron(solution, found, angle, fraction)


def _with_bracket_error(found: ReachTime) -> ReachTime:
    """With an error that holds wherever the time lies between the saved ones."""
    low, high = found.between
    return replace(found, error=max(found.time - low, high - found.time))


def _interpolated_by_neuron(
    solution: Solution, found: ReachTime, angle: float, fraction: float
) -> ReachTime:
    """With the angle of each neuron interpolated, from up to four saved times on either side."""
    low, high = found.between
    i = int(np.searchsorted(solution.t, high))
    window = range(max(i - 4, 0), min(i + 4, len(solution.t)))
    neurons = [split(solution.states[j], solution.problem) for j in window]
    angles = np.array([np.arctan2(n.r, np.sqrt((n.u**2).sum(axis=1))) for n in neurons])
    t = solution.t[window.start : window.stop]
    at = i - window.start
    place = Concentration(np.ones(1), 1.0, 0.0, 0.0, 1.0, neurons[0].masses)

    def crossing(chosen: NDArray[np.intp]) -> float:
        each = _interpolant(t[chosen], angles[chosen])

        def above(time: float) -> float:
            alignment = np.cos(each(time)) ** 2
            return float(replace(place, alignment=alignment).angle_of(fraction)) - angle

        return _root(above, low, high)

    time = crossing(np.arange(len(t)))
    # every other saved time, those of the gap not both among them
    parts = (np.arange(at % 2, len(t), 2), np.arange((at - 1) % 2, len(t), 2))
    others = [crossing(part) for part in parts if len(part) > 1 and _spans(t[part], low, high)]
    error = max((abs(other - time) for other in others), default=high - low)
    return ReachTime(time, min(max(error, ROUNDING * high), high - low), found.between)


def _spans(t: Array, low: float, high: float) -> bool:
    return bool(t[0] <= low and t[-1] >= high)


def _angles_in_time(solution: Solution, fraction: float) -> Array:
    name = fraction_name(fraction)
    if name in solution.observables:
        return np.asarray(solution.observables[name])
    observe = observables(solution.problem, fractions=(fraction,))[name]
    shape = solution.states.shape
    if shape[-1] != len(solution.t):
        raise ValueError(
            f"solution must hold a state for every saved time, or the observable {name!r}"
        )
    runs = solution.states if len(shape) > 1 else [solution.states]
    return np.array([observe(0.0, state) for run in runs for state in run]).reshape(shape)


def first_below(t: Array, curve: Array, level: float) -> ReachTime:
    """The first time at which a curve (T,) over times (T,) is at or below a level."""
    reached = np.flatnonzero(curve <= level)
    if len(reached) == 0:
        return ReachTime(math.nan, math.nan, (float(t[-1]), math.inf))
    i = int(reached[0])
    if i == 0:
        return ReachTime(float(t[0]), 0.0, (float(t[0]), float(t[0])))
    low, high = float(t[i - 1]), float(t[i])
    time = _crossing(t, curve, level, low, high)
    straight = low + (high - low) * (curve[i - 1] - level) / (curve[i - 1] - curve[i])
    # every other saved time, the last before the crossing and the second after it among them
    fewer = np.unique(np.append(np.arange(i - 1, -1, -2), np.arange(i + 1, len(t), 2)))
    coarse = straight
    if len(fewer) > 2 and curve[fewer].min() <= level:
        after = int(fewer[np.flatnonzero(curve[fewer] <= level)[0]])
        coarse = _crossing(t[fewer], curve[fewer], level, low, float(t[after]))
    error = min(max(abs(coarse - time), abs(straight - time)), high - low)
    return ReachTime(time, error, (low, high))


def _crossing(t: Array, curve: Array, level: float, low: float, high: float) -> float:
    interpolant = _interpolant(t, curve)
    return _root(lambda time: float(interpolant(time)) - level, low, high)


def _interpolant(t: Array, values: Array) -> Any:
    # a third of what the library takes to import, and only wanted here
    from scipy.interpolate import PchipInterpolator

    return PchipInterpolator(t, values)


def _root(above: Callable[[float], float], low: float, high: float) -> float:
    """Where a function comes down to 0 between two times, or the one nearer to it."""
    from scipy.optimize import brentq

    if above(low) <= 0.0:
        return low
    return high if above(high) > 0.0 else float(brentq(above, low, high, xtol=1e-14))
