"""Conditions on which a run stops: when its risk is low enough, when it is steady, or one's own.

A condition is a value that knows nothing of the run; what it asks of it is a `Look`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any, ClassVar, Protocol

import numpy as np

from meanfield import checks

LEAST = 1e-300  # a risk of 0 has a logarithm too
GROWS = 1e-2  # times rtol, of the fastest rate there is: growth by which a state will be left
UNSEEN = 1e-6  # of the fastest rate: growth that differences of velocities cannot tell from none


class Look(Protocol):
    """A run at one moment, as a condition asks for it."""

    t: float

    def risk(self) -> float:
        """The population risk."""

    def state(self) -> Any:
        """The state, of the kind that the run records."""

    def unrest(self) -> float:
        """The largest change of a coordinate in as long again, over its largest size so far."""

    def growth(self) -> tuple[float, float]:
        """The largest rate at which a deviation from the state grows, and the largest of all."""


@dataclass(frozen=True)
class Condition:
    """What ends a run; made by the functions of `meanfield.until`.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.until.any(mf.until.risk_below(1e-6), mf.until.steady()).name
    'any(risk_below(1e-06), steady(0.0001))'
    """

    kind: ClassVar[str] = ""
    signed: ClassVar[bool] = False  # met by a change of sign, not only by falling to 0
    of_equations: ClassVar[bool] = False  # has no meaning where noise never rests

    def __post_init__(self) -> None:
        for each in fields(self):  # numbers, unless a kind says otherwise
            number = checks.real(getattr(self, each.name), each.name, above=0.0)
            object.__setattr__(self, each.name, number)

    @property
    def name(self) -> str:
        """How the run says which condition stopped it."""
        return f"{self.kind}({', '.join(f'{getattr(self, f.name):g}' for f in fields(self))})"

    @property
    def parts(self) -> tuple[Condition, ...]:
        """The conditions of which one is enough, in order."""
        return (self,)

    def value(self, look: Look) -> float:
        """A number that is above 0 until the condition is met, and continuous in time."""
        raise NotImplementedError

    def confirmed(self, look: Look) -> bool:
        """Whether what `value` says holds on a closer, dearer look."""
        return True

    def parameters(self) -> dict[str, Any]:
        """What is needed to build the condition again, in plain values."""
        return {"kind": self.kind, **{f.name: getattr(self, f.name) for f in fields(self)}}


@dataclass(frozen=True)
class RiskBelow(Condition):
    """R ≤ value."""

    level: float
    kind = "risk_below"

    def value(self, look: Look) -> float:
        """See `Condition`."""
        return math.log(max(look.risk(), LEAST) / self.level)


@dataclass(frozen=True)
class Steady(Condition):
    """Nothing changes by more than rtol in as long again, and nothing grows."""

    rtol: float = 1e-4
    kind = "steady"
    of_equations = True

    def value(self, look: Look) -> float:
        """See `Condition`."""
        return math.log(max(look.unrest(), LEAST) / self.rtol)

    def confirmed(self, look: Look) -> bool:
        """A plateau that is being left is no steady state: a direction grows there."""
        growth, fastest = look.growth()
        return growth <= max(GROWS * self.rtol, UNSEEN) * fastest


@dataclass(frozen=True)
class AnyOf(Condition):
    """The first of several."""

    conditions: tuple[Condition, ...]
    kind = "any"

    def __post_init__(self) -> None:
        if not self.conditions:
            raise ValueError("conditions must be at least one, got none")
        each = enumerate(self.conditions)
        found = tuple(check_until(one, f"conditions[{i}]") for i, one in each)
        object.__setattr__(self, "conditions", found)

    @property
    def name(self) -> str:
        """See `Condition`."""
        return f"any({', '.join(each.name for each in self.conditions)})"

    @property
    def parts(self) -> tuple[Condition, ...]:
        """See `Condition`."""
        return tuple(part for each in self.conditions for part in each.parts)

    def parameters(self) -> dict[str, Any]:
        """See `Condition`."""
        return {"kind": self.kind, "conditions": [one.parameters() for one in self.conditions]}


@dataclass(frozen=True)
class Custom(Condition):
    """A user's own function of (t, state), met where its sign changes."""

    law: Callable[[float, Any], float]
    kind = "function"
    signed = True

    def __post_init__(self) -> None:
        checks.function(self.law, "law", "(t, state)")

    @property
    def name(self) -> str:
        """See `Condition`."""
        return str(getattr(self.law, "__name__", type(self.law).__name__))

    def value(self, look: Look) -> float:
        """See `Condition`."""
        found = np.asarray(self.law(look.t, look.state()))
        if found.shape != () or found.dtype.kind not in "biuf" or not np.isfinite(found):
            seen = f"{found} at t = {look.t:g}"
            raise ValueError(f"until must return one finite number, {self.name} returned {seen}")
        return float(found)

    def parameters(self) -> dict[str, Any]:
        """The function by its name alone, as observables are known."""
        place = getattr(self.law, "__module__", ""), getattr(self.law, "__qualname__", self.name)
        return {"kind": self.kind, "law": ":".join(place)}


KINDS: dict[str, type[Condition]] = {each.kind: each for each in (RiskBelow, Steady, AnyOf, Custom)}


def with_laws(
    condition: Condition, change: Callable[[Callable[..., float]], Callable[..., float]]
) -> Condition:
    """The condition with other functions in place of the user's, under their names."""
    if isinstance(condition, AnyOf):
        return AnyOf(tuple(with_laws(each, change) for each in condition.conditions))
    if isinstance(condition, Custom):
        return Custom(wraps(condition.law)(change(condition.law)))
    return condition


def check_until(value: Any, name: str = "until") -> Condition:
    """A condition, a function of (t, state), or a mapping that describes one."""
    try:
        if isinstance(value, Condition):
            return value
        if isinstance(value, Mapping):
            return _described(value)
        if callable(value):
            return Custom(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error
    raise TypeError(
        f"{name} must be one of mf.until's conditions or a function of (t, state), got {value!r}"
    )


def _described(values: Mapping[str, Any]) -> Condition:
    given = dict(values)
    kind = KINDS[checks.option(given.pop("kind", None), "kind", KINDS)]
    known = {each.name for each in fields(kind)}
    if unknown := given.keys() - known:
        raise ValueError(f"{sorted(unknown)} are not among {sorted(known)}")
    if missing := known - given.keys() - {"rtol"}:
        raise ValueError(f"{', '.join(sorted(missing))} is missing")
    return kind(**given)


def risk_below(level: float) -> Condition:
    """The population risk is at most `level`.

    Parameters
    ----------
    level : float
        > 0, of R = ½ E (f − f*)², label noise not included.

    Returns
    -------
    Condition

    Raises
    ------
    TypeError, ValueError
        If the level is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1))
    >>> start = mf.gaussian_overlaps(problem, p=2, seed=1)
    >>> run = mf.solve_overlaps(problem, start, 100.0, until=mf.until.risk_below(1e-3))
    >>> run.stopped_by, bool(run.t[-1] == run.stopped_at), round(float(run.risk[-1]), 9)
    ('risk_below(0.001)', True, 0.001)
    """
    return RiskBelow(level)


def steady(rtol: float = 1e-4) -> Condition:
    """The state has come to rest, and not on a plateau that will be left.

    Parameters
    ----------
    rtol : float
        > 0. In as long again, max(t, 1), at its present speed, no coordinate would change by more
        than this share of the largest size that it has had: a large coordinate that stands still
        hides no other. Where that holds, the direction in which a deviation grows fastest is
        looked for, and as long as one grows (at more than rtol/100 of the fastest rate there is)
        the state is that of a saddle and the run goes on.

    Returns
    -------
    Condition
        Of equations: SGD and Langevin noise never rest, and refuse it.

    Raises
    ------
    TypeError, ValueError
        If rtol is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1, noise=0.1), learning_rate=0.5)
    >>> start = mf.gaussian_overlaps(problem, p=2, seed=1)
    >>> mf.solve_overlaps(problem, start, 1000.0, until=mf.until.steady(1e-3)).stopped_by
    'steady(0.001)'
    """
    return Steady(rtol)


def any(*conditions: Condition | Callable[[float, Any], float]) -> Condition:
    """The first of several conditions; the run says which it was.

    Parameters
    ----------
    *conditions : Condition or callable
        At least one.

    Returns
    -------
    Condition

    Raises
    ------
    TypeError, ValueError
        If there is none, or one is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.until.any(mf.until.risk_below(1e-3), lambda t, state: state.M[0, 0] - 0.5).name
    'any(risk_below(0.001), <lambda>)'
    """
    return AnyOf(conditions)  # type: ignore[arg-type]
