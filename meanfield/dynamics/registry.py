"""What solvers say of themselves, so that a solution can ask for more of what it came from.

Solvers return solutions, so a solution imports none of them: each puts itself here when it is
imported, under the name of its description.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar

from meanfield.problem import Problem

Function = TypeVar("Function", bound=Callable[..., Any])
OF_EQUATIONS = ("rtol", "atol", "method", "spherical")  # settings of differential equations
ON_RANKS = "mean-field particles on ranks"


class Solver(NamedTuple):
    """How a run of one description goes on.

    Attributes
    ----------
    solve : callable
        ``solve(problem, start, t_end, **settings)``, the public function.
    settings : tuple of str
        Those of a run's parameters that stay what they were.
    begin : callable
        What more the end of a run says of the next start, as arguments.
    together : callable, optional
        Of an MPI communicator: a context in which all its ranks meet one rank's error.
    """

    solve: Callable[..., Any]
    settings: tuple[str, ...]
    begin: Callable[[Any], dict[str, Any]]
    together: Callable[[Any], AbstractContextManager[Any]] | None = None


SOLVERS: dict[str, Solver] = {}
RISKS: list[Callable[[Problem, Any], float]] = []


def goes_on(
    *descriptions: str,
    settings: tuple[str, ...],
    begin: Callable[[Any], dict[str, Any]] = lambda run: {},
    together: Callable[[Any], AbstractContextManager[Any]] | None = None,
) -> Callable[[Function], Function]:
    """Name what goes on with runs of these descriptions; a decorator of the public function."""

    def put(function: Function) -> Function:
        for name in descriptions:
            SOLVERS[name] = Solver(function, settings, begin, together)
        return function

    return put


def knows_risk(function: Function) -> Function:
    """Name the function that computes the population risk of a state of any kind."""
    RISKS[:] = [function]
    return function


def risk_of_state(problem: Problem, state: Any) -> float:
    """Its population risk, by the function that knows it."""
    return RISKS[0](problem, state)
