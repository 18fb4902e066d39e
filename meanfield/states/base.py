"""What the states share: equality, pickling, and the checks of a conversion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.problem import Problem

Origin = Mapping[str, Any]
KINDS: dict[str, Any] = {}  # the states by name: one makes another without importing it


class State:
    """Equality by the values of the arrays, wherever they came from."""

    def __init_subclass__(cls) -> None:
        KINDS[cls.__name__] = cls

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        arrays = [name for name in vars(self) if name != "origin"]
        return all(np.array_equal(getattr(self, m), getattr(other, m)) for m in arrays)

    __hash__ = None  # type: ignore[assignment]

    def _keep(self, **values: Any) -> None:
        """Hold the fields as they were checked."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        # built anew: pickled arrays would come back writable
        return type(self), tuple(vars(self).values())


def check_neurons(a: Any, described: str) -> NDArray[np.float64]:
    """One weight for each neuron, of which there is one at least."""
    a = checks.array(a, "a", (None,), described=described)
    if len(a) == 0:
        raise ValueError("a must hold at least one neuron, got shape (0,)")
    return a


def check_conversion(problem: Any, seed: Any, *, finite: bool) -> int | None:
    """Refuse what cannot tell where to put neurons; the seed, checked."""
    checks.instance(problem, "problem", Problem)
    if finite and math.isinf(problem.dim):
        raise ValueError("problem must have a finite dim to have weights in R^d, got inf")
    return None if seed is None else checks.integer(seed, "seed", minimum=0)


WAYS = {
    ("ParticleMeasure", "Overlaps"): "its .overlaps(problem, p) draws a network of width p",
    ("ParticleMeasure", "Weights"): "its .weights(problem, p) draws a network of width p",
    ("Overlaps", "ParticleMeasure"): "its .measure() is the law of its neurons",
    ("Overlaps", "Weights"): "its .weights(problem) are weights with these overlaps",
    ("Weights", "ParticleMeasure"): "its .measure() is the law of its neurons",
    ("Weights", "Overlaps"): "its .overlaps() are its order parameters",
}
DRAWN = {
    "ParticleMeasure": "gaussian_measure",
    "Overlaps": "gaussian_overlaps",
    "Weights": "gaussian_weights",
}


def check_state(value: Any, name: str, *kinds: type[Any]) -> Any:
    """Return `value` if it is a state of one of these kinds; else say how to come to one."""
    if isinstance(value, kinds):
        return value
    allowed, got = [kind.__name__ for kind in kinds], type(value).__name__
    ways = [WAYS[got, kind] for kind in allowed if (got, kind) in WAYS]
    if hasattr(value, "final"):
        ways = ["its .final is the state that it ended in"]
    elif not ways:
        ways = [f"{DRAWN[allowed[0]]}(problem, ...) draws one"]
    raise TypeError(f"{name} must be {' or '.join(allowed)}, got {got}; {ways[0]}")
