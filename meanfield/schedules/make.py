"""Schedules from a user's arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.schedules.base import Schedule
from meanfield.schedules.laws import (
    KINDS,
    AdagradNorm,
    Cosine,
    Custom,
    Exponential,
    Piecewise,
    Power,
)

Array = NDArray[np.float64]


def constant(value: float) -> float:
    """A rate that does not change: the number itself, checked.

    Parameters
    ----------
    value : float
        ≥ 0.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If it is not a finite number of at least 0.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.schedules.constant(0.5)
    0.5
    """
    return checks.real(value, "value", minimum=0.0)


def power(initial: float, exponent: float, onset: float, *, clock: str = "t") -> Schedule:
    """initial (1 + x/onset)^−exponent, with x the reading of the clock.

    Parameters
    ----------
    initial : float
        Value at 0, ≥ 0.
    exponent : float
        1 is the decay of stochastic approximation (Robbins & Monro 1951).
    onset : float
        Where the decay sets in, > 0, in units of the clock.
    clock : str
        ``"t"``, the time of every description, or ``"alpha"``, samples per dimension.

    Returns
    -------
    Schedule

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> import meanfield as mf
    >>> float(mf.schedules.power(1.0, 0.5, onset=1.0)(3.0))
    0.5
    """
    return Power(clock=clock, initial=initial, exponent=exponent, onset=onset)


def exponential(initial: float, time: float, *, clock: str = "t") -> Schedule:
    """initial e^{−x/time}, with x the reading of the clock; arguments as for `power`.

    Examples
    --------
    >>> import meanfield as mf
    >>> float(mf.schedules.exponential(2.0, time=1.0)(0.0))
    2.0
    """
    return Exponential(clock=clock, initial=initial, time=time)


def cosine(initial: float, duration: float, final: float = 0.0, *, clock: str = "t") -> Schedule:
    """Half a cosine from `initial` to `final` within `duration`, and `final` from there on.

    Examples
    --------
    >>> import meanfield as mf
    >>> float(mf.schedules.cosine(1.0, duration=2.0)(1.0))
    0.5
    """
    return Cosine(clock=clock, initial=initial, final=final, duration=duration)


def piecewise(times: ArrayLike, values: ArrayLike, *, clock: str = "t") -> Schedule:
    """values[i] from times[i] on; times start at 0 and increase, of the same number.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.schedules.piecewise([0.0, 5.0], [1.0, 0.1])([4.9, 5.0])
    array([1. , 0.1])
    """
    return Piecewise(clock=clock, times=times, values=values)  # type: ignore[arg-type]


def adagrad_norm(rate: float, b: float) -> Schedule:
    """AdaGrad-norm, a learning rate that falls as gradients are met: γ_ν = rate/√(b² + S_ν).

    S_ν = Σ_{μ<ν} |g_μ|²/d sums over the steps before, and |g|² = (1/p) Σ_i |p ∂L/∂w_i|² is the mean
    over the neurons of the squared gradient of the loss L = ½ε², of a batch's mean loss, by the
    first layer's weights; each neuron's is times p, as its step is. In SGD each run has a γ of its
    own; as d grows all follow dS/dt = Σ_i ⟨(a_i σ'(λ_i) ε)²⟩/γ, label noise included. Only a
    `learning_rate` can be one, and t = Σγ/(p d) stays the clock.

    Parameters
    ----------
    rate, b : float
        > 0. γ starts at rate/b; for b far above the gradients' sum it stays there.

    Returns
    -------
    Schedule

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Notes
    -----
    Ward, Wu & Bottou 2019; in high dimensions Collins-Woodfin, Paquette, Paquette & Seroussi 2024.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(
    ...     mf.CommitteeTarget(k=1, noise=0.1), learning_rate=mf.schedules.adagrad_norm(1.0, b=1.0)
    ... )
    >>> run = mf.solve_overlaps(problem, mf.gaussian_overlaps(problem, p=2), 2.0, save_at=2)
    >>> gamma = run.observables["learning_rate"]
    >>> float(gamma[0]), bool(gamma[1] < 0.9)
    (1.0, True)
    """
    return AdagradNorm(rate=rate, b=b)


def function(law: Callable[[Array], ArrayLike], *, clock: str = "t") -> Schedule:
    """A function of one's own: it takes an array of readings and returns their rates, ≥ 0.

    It must be smooth, for no step is made to end where it jumps; `piecewise` has jumps.

    Examples
    --------
    >>> import meanfield as mf
    >>> float(mf.schedules.function(lambda t: 1.0 / (1.0 + t) ** 2)(1.0))
    0.25
    """
    return Custom(clock=clock, law=law)


def check_rate(value: Any, name: str) -> Any:
    """A rate ≥ 0 as a float or a `Schedule`; a function is one of t, a mapping is described."""
    try:
        if isinstance(value, Mapping):
            value = _described(value)
        if isinstance(value, AdagradNorm) and name != "learning_rate":
            raise ValueError("only the learning_rate can be adagrad_norm")
        if isinstance(value, Schedule):
            return value
        if callable(value):
            return function(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error
    return checks.real(value, name, minimum=0.0)


def _described(values: Mapping[str, Any]) -> Any:
    arguments = {name: value for name, value in values.items() if name != "kind"}
    if values.get("kind") == "constant":
        return constant(**arguments)
    kind = KINDS[checks.option(values.get("kind"), "kind", (*KINDS, "constant"))]
    known = {each.name for each in fields(kind)}
    if set(arguments) - known:
        raise ValueError(f"{sorted(set(arguments) - known)} are not among {sorted(known)}")
    return kind(**arguments)


def plain_rate(value: Any) -> Any:
    """A rate in plain values, for a file."""
    return value.parameters() if isinstance(value, Schedule) else value
