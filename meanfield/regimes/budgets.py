"""What each description of a run neglects, computed for this problem at these times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield import checks, display
from meanfield.dynamics.solution import Solution
from meanfield.problem import Problem
from meanfield.regimes.descriptions import LEFT_OUT, TITLES, mean_risk

Array = NDArray[np.float64]


class Part(NamedTuple):
    """One thing neglected, in the risk, at each time: (T,) each.

    `bias` is the risk with it less the risk without, `spread` its standard deviation over runs or
    starts; `error` and `spread_error` are two standard errors of these.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=0.4)
    >>> budget = mf.regimes.budget(problem, width=4, t_end=1.0, save_at=3, runs=20, starts=3)
    >>> budget.parts["SGD term"].bias.shape
    (3,)
    """

    bias: Array
    spread: Array
    error: Array
    spread_error: Array


@dataclass(frozen=True, eq=False)
class Budget:
    """What each description of a run neglects. Printed, it is a table.

    Attributes
    ----------
    problem : Problem
    width : int
        p.
    t : ndarray, shape (T,)
        In units where one step of SGD takes γ/(p d).
    parts : dict of str to Part
        By what is neglected: ``"fluctuations of SGD"``, ``"SGD term"``, ``"finite width"``,
        ``"finite dimension"``; those that exist for the problem.
    solutions : dict of str to Solution
        The runs behind, by the names that `compare` gives them; ``"sgd"`` may be a diffusion.
    numerics : dict of str to float
        For each solution what it states of its own errors, relative to the risk.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=0.4)
    >>> budget = mf.regimes.budget(problem, width=4, t_end=1.0, save_at=3, runs=20, starts=3)
    >>> list(budget.parts)
    ['fluctuations of SGD', 'SGD term', 'finite width', 'finite dimension']
    >>> bool((budget.neglected("mean_field") >= budget.neglected("overlap_ode")).all())
    True
    """

    problem: Problem
    width: int
    t: Array
    parts: dict[str, Part]
    solutions: dict[str, Solution] = field(repr=False)
    numerics: dict[str, float] = field(repr=False)

    def neglected(self, description: str) -> Array:
        """By how much SGD may be off a description's risk: sizes of all it neglects, (T,)."""
        bias, error, variance = self.sums(description)
        return np.abs(bias) + error + 2.0 * np.sqrt(variance)

    def cheapest(self, tolerance: float) -> str:
        """The simplest description whose `neglected` is within a tolerance at all times.

        Relative to the largest risk of the run; ``"sgd"`` if there is no other.
        """
        tolerance = checks.real(tolerance, "tolerance", above=0.0)
        for name in reversed(LEFT_OUT):
            if name in self.solutions and self.share(name) <= tolerance:
                return name
        return "sgd"

    def sums(self, description: str) -> tuple[Array, Array, Array]:
        """Bias, its error and the variance of all that a description neglects, (T,) each."""
        checks.option(description, "description", TITLES)
        bias, error, variance = (np.zeros_like(self.t) for _ in range(3))
        order = list(TITLES)
        for name in order[1 : order.index(description) + 1]:  # all that neglect no more, but SGD
            part = self.parts.get(LEFT_OUT[name])
            if part is not None:
                bias, variance = bias + part.bias, variance + part.spread**2
                error = np.hypot(error, part.error)
        return bias, error, variance

    def share(self, description: str) -> float:
        """The largest `neglected` of a description, relative to the largest risk of the run."""
        scale = max(float(np.max(one.risk)) for one in self.solutions.values())
        return float(np.max(self.neglected(description))) / scale if scale > 0.0 else 0.0

    def __str__(self) -> str:
        rows = [("t", self.t, ".3g")]
        rows += [(f"risk, {TITLES[n]}", mean_risk(one), ".3g") for n, one in self.solutions.items()]
        for what, part in self.parts.items():
            rows.append((f"{what}: bias", part.bias, "+.1e"))
            sizes = {
                "  its error": part.error,
                "  spread": part.spread,
                "  error of the spread": part.spread_error,
            }
            rows += [(title, values, ".1e") for title, values in sizes.items() if values.any()]
        for name in self.solutions:
            if name in LEFT_OUT:
                rows.append((f"neglected by {TITLES[name]}", self.neglected(name), ".1e"))
        shown = np.unique(np.linspace(0, len(self.t) - 1, min(6, len(self.t))).astype(int))
        cells = [
            (title, *(format(x, style) for x in values[shown])) for title, values, style in rows
        ]
        body = display.columns(cells, _justify)
        stated = ", ".join(f"{TITLES[name]} {error:.1e}" for name, error in self.numerics.items())
        d, rate = display.text(self.problem.dim), self.problem.learning_rate
        return "\n".join([
            f"d = {d}, p = {self.width}, γ = {rate:g}: what is neglected of the risk",
            "", *body, "",
            "neglected: |bias|, its error (two standard errors) and two spreads of all up to there",
            f"errors of averages and fields as runs state them, steps in time aside: {stated}",
        ])  # fmt: skip

    def _repr_html_(self) -> str:
        return display.printed(self)


def _justify(cell: str, width: int) -> str:
    """Words to the left, numbers to the right."""
    return cell.ljust(width) if cell[:1].isalpha() or cell[:2] == "  " else cell.rjust(width)
