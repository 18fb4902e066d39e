"""What solvers say of themselves, so that a solution can ask for more of what it came from.

Solvers import the class of solutions that they return, so it can import none of them: each puts
itself here when it is imported, under the name of its description. So does the one function that
computes the population risk.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar

from meanfield.problem import Problem

Function = TypeVar("Function", bound=Callable[..., Any])
OF_EQUATIONS = ("rtol", "atol", "method", "spherical")  # settings of differential equations
# the name here of the solver on ranks; its runs have the description of those in one process
ON_RANKS = "mean-field particles on ranks"


class Solver(NamedTuple):
    """How a run of one description goes on.

    Attributes
    ----------
    solve : callable
        ``solve(problem, start, t_end, **settings)``, the public function.
    settings : tuple of str
        The names of those of a run's parameters that `solve` takes again as they were.
    begin : callable
        From a solution to arguments of `solve` that carry on what its last state does not hold,
        such as the covariance of fluctuations.
    together : callable, optional
        Of an MPI communicator: a context in which all its ranks meet one rank's error.
    """

    solve: Callable[..., Any]
    settings: tuple[str, ...]
    begin: Callable[[Any], dict[str, Any]]
    together: Callable[[Any], AbstractContextManager[Any]] | None = None


SOLVERS: dict[str, Solver] = {}  # by the name of the description
RISKS: list[Callable[[Problem, Any], float]] = []  # the function that `knows_risk` has named


def goes_on(
    *descriptions: str,
    settings: tuple[str, ...],
    begin: Callable[[Any], dict[str, Any]] = lambda run: {},
    together: Callable[[Any], AbstractContextManager[Any]] | None = None,
) -> Callable[[Function], Function]:
    """Put the public function decorated here as what goes on with runs of these descriptions.

    `settings`, `begin` and `together` are those of `Solver`.
    """

    def put(function: Function) -> Function:
        for name in descriptions:
            SOLVERS[name] = Solver(function, settings, begin, together)
        return function

    return put


def knows_risk(function: Function) -> Function:
    """Put the function decorated here as what computes the risk of a state of any kind."""
    RISKS[:] = [function]
    return function


def risk_of_state(problem: Problem, state: Any) -> float:
    """The population risk of a state of any kind."""
    return RISKS[0](problem, state)
