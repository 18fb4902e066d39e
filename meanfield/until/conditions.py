"""Conditions on which a run stops, each a value, and what they ask of the run: a `Look`."""

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
        """The largest change of a coordinate in as long again at its present speed.

        Relative to the largest size that the coordinate has had.
        """

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

    @property
    def name(self) -> str:
        """How the run says which condition stopped it."""
        raise NotImplementedError

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", checks.real(self.level, "level", above=0.0))

    @property
    def name(self) -> str:
        """See `Condition`."""
        return f"risk_below({self.level:g})"

    def value(self, look: Look) -> float:
        """See `Condition`."""
        return math.log(max(look.risk(), LEAST) / self.level)


@dataclass(frozen=True)
class Steady(Condition):
    """Nothing changes by more than rtol in as long again, and nothing grows."""

    rtol: float = 1e-4
    kind = "steady"
    of_equations = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "rtol", checks.real(self.rtol, "rtol", above=0.0))

    @property
    def name(self) -> str:
        """See `Condition`."""
        return f"steady({self.rtol:g})"

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
        found = tuple(
            check_until(each, f"conditions[{i}]") for i, each in enumerate(self.conditions)
        )
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
        return {"kind": self.kind, "conditions": [each.parameters() for each in self.conditions]}


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
            raise ValueError(
                f"until must return one finite number, {self.name} returned {found} at "
                f"t = {look.t:g}"
            )
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
    if not isinstance(condition, Custom):
        return condition
    changed = change(condition.law)

    @wraps(condition.law)
    def law(t: float, state: Any) -> float:
        return changed(t, state)

    return Custom(law)


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
    arguments = {key: value for key, value in values.items() if key != "kind"}
    kind = KINDS[checks.option(values.get("kind"), "kind", KINDS)]
    known = {each.name for each in fields(kind)}
    if set(arguments) - known:
        raise ValueError(f"{sorted(set(arguments) - known)} are not among {sorted(known)}")
    if missing := known - set(arguments) - {"rtol"}:
        raise ValueError(f"{', '.join(sorted(missing))} is missing")
    if "conditions" in arguments:
        arguments["conditions"] = tuple(arguments["conditions"])
    return kind(**arguments)
