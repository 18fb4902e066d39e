"""What each description of a run neglects, computed for this problem at these times."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield import checks, display
from meanfield.dynamics.solution import Solution
from meanfield.problem import Problem
from meanfield.regimes.verdicts import TITLES

Array = NDArray[np.float64]

# what a description leaves out beyond the one before it in `TITLES`
LEFT_OUT = {
    "overlap_ode": "fluctuations of SGD",
    "gradient_flow": "SGD term",
    "mean_field": "finite width",
    "mean_field_infinite": "finite dimension",
}


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
        for name in _up_to(description):
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
        return _as_table(self)

    def _repr_html_(self) -> str:
        return display.printed(self)


def _up_to(description: str) -> list[str]:
    """The description and those that neglect less, SGD apart."""
    names = list(LEFT_OUT)
    return names[: names.index(description) + 1] if description in names else []


def _as_table(found: Budget) -> str:
    """Risks and what is neglected, at a few of the times."""
    problem = found.problem
    shown = np.unique(np.linspace(0, len(found.t) - 1, min(6, len(found.t))).astype(int))
    d = "∞" if math.isinf(problem.dim) else f"{problem.dim:g}"
    rows = [("t", *(f"{found.t[i]:.3g}" for i in shown))]
    for name, one in found.solutions.items():
        risk = one.risk.mean(axis=0) if one.risk.ndim == 2 else one.risk
        rows.append((f"risk, {TITLES[name]}", *(f"{risk[i]:.3g}" for i in shown)))
    for what, part in found.parts.items():
        rows.append((f"{what}: bias", *(f"{part.bias[i]:+.1e}" for i in shown)))
        for title, values in (
            ("  its error", part.error), ("  spread", part.spread),
            ("  error of the spread", part.spread_error),
        ):  # fmt: skip
            if values.any():
                rows.append((title, *(f"{values[i]:.1e}" for i in shown)))
    for name in found.solutions:
        if name in LEFT_OUT:
            sizes = found.neglected(name)
            rows.append((f"neglected by {TITLES[name]}", *(f"{sizes[i]:.1e}" for i in shown)))
    body = display.columns(rows, _justify)
    stated = ", ".join(f"{TITLES[name]} {error:.1e}" for name, error in found.numerics.items())
    return "\n".join([
        f"d = {d}, p = {found.width}, γ = {problem.learning_rate:g}: what is neglected of the risk",
        "", *body, "",
        "neglected: |bias|, its error (two standard errors) and two spreads of all up to there",
        f"errors of averages and fields as runs state them, steps in time aside: {stated}",
    ])  # fmt: skip


def _justify(cell: str, width: int) -> str:
    """Words to the left, numbers to the right."""
    return cell.ljust(width) if cell[:1].isalpha() or cell[:2] == "  " else cell.rjust(width)
