"""When a given share of the mass has come within a given angle of the subspace."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.projection.curves import fraction_name, observables

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ReachTime:
    """When a curve came down to a level, between two saved times.

    Attributes
    ----------
    time : float
        NaN if it was not reached.
    error : float
        Of the interpolation between saved times: the shift when only every other of them is used,
        or if larger the distance to the straight line; at most the gap between saved times.
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

    Found on the curve of the angle within which that fraction lies, which is continuous in time,
    by monotone cubic interpolation between saved times (Fritsch & Carlson 1980).

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
    curve = _angles_in_time(solution, checks.real(fraction, "fraction", above=0.0))
    if curve.ndim == 1:
        return first_below(solution.t, curve, angle)
    return [first_below(solution.t, one, angle) for one in curve]


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
    # a third of what the library takes to import, and only wanted here
    from scipy.interpolate import PchipInterpolator
    from scipy.optimize import brentq

    interpolant = PchipInterpolator(t, curve)
    if interpolant(low) <= level:
        return low
    return float(brentq(lambda time: interpolant(time) - level, low, high, xtol=1e-14))
