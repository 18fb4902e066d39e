"""What the states share: equality, pickling, and the checks of a conversion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

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

    def __reduce__(self) -> tuple[Any, ...]:
        # built anew: pickled arrays would come back writable
        return type(self), tuple(vars(self).values())


def check_conversion(problem: Any, seed: Any, *, finite: bool) -> int | None:
    """Refuse what cannot tell where to put neurons; the seed, checked."""
    checks.instance(problem, "problem", Problem)
    if finite and math.isinf(problem.dim):
        raise ValueError("problem must have a finite dim to have weights in R^d, got inf")
    return None if seed is None else checks.integer(seed, "seed", minimum=0)
