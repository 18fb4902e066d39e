"""What is asked of an evaluator, and what an evaluator asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from meanfield.problem import Problem
from meanfield.targets import potential_of
from meanfield.targets.potentials.form import Potential


class Cost(NamedTuple):
    """Seconds of a right-hand side on one core, and the relative error that it comes to.

    Endless seconds: it serves, but another always does the same for less.
    """

    seconds: float
    error: float


@dataclass(frozen=True)
class Task:
    """A problem with neurons that reach so far, and how its field will be used.

    Attributes
    ----------
    problem : Problem
    n : int
        Neurons.
    furthest, longest : float
        Largest |u| and r.
    many_values : bool
        Whether risks or variances, or da/dt, are asked for as often as du/dt.
    tolerance : float or None
        Relative error to aim at; None: what each evaluator comes to.
    """

    problem: Problem
    n: int
    furthest: float
    longest: float
    many_values: bool = False
    tolerance: float | None = None

    @cached_property
    def potential(self) -> Potential | None:
        """The target's, where it is as good as the sums over pairs that build on it; else None."""
        found = potential_of(self.problem.target, self.problem.student)
        return found if found.precise else None
