"""Descriptions of one run side by side, and how far apart they are."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meanfield import checks, display
from meanfield.dynamics.solution import Solution
from meanfield.integrate import Status
from meanfield.problem import Problem
from meanfield.regimes.descriptions import TITLES, mean_risk
from meanfield.regimes.diagnosis import Diagnosis
from meanfield.states import Overlaps, Weights

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RiskDistance:
    """How far the risk curves of two descriptions are apart.

    Attributes
    ----------
    first, second : str
        Names of the descriptions; of SGD, the mean over its runs is compared.
    largest : float
        The largest difference in risk over the common saved times.
    at : float
        The time of it, in units where one SGD step takes γ/(p d).
    rms : float
        Root mean square over the common saved times.
    error : float
        Standard error of the SGD mean at that time; 0 without SGD, NaN for a single run.
    overlaps : float
        Largest over time of the root mean square, over neurons, of the difference in M and in the
        diagonal of Q; NaN where the neurons of one are not those of the other.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=0.4)
    >>> comparison = mf.regimes.compare(problem, width=4, t_end=1.0, runs=2, save_at=5)
    >>> distance = comparison.distance("overlap_ode", "gradient_flow")
    >>> 0 < distance.rms <= distance.largest < 0.01
    True
    """

    first: str
    second: str
    largest: float
    at: float
    rms: float
    error: float
    overlaps: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several descriptions of one run. Printed, it is a table of distances.

    Attributes
    ----------
    problem : Problem
    width : int
        p.
    start : Weights or Overlaps
        What all runs start from.
    solutions : dict of str to Solution
        By name: ``"sgd"``, ``"overlap_ode"``, ``"gradient_flow"``, ``"mean_field"``,
        ``"mean_field_infinite"``. Descriptions that do not exist for the problem (SGD at d = ∞ or
        γ = 0) or were not reached before Ctrl-C are absent.
    diagnosis : Diagnosis
        What each was expected to neglect.
    interrupted : bool
        Whether Ctrl-C cut the runs short.
    band : Solution or None
        Of `solve_fluctuations` from the same start, if it was asked for: the scatter and the bias
        of SGD about the overlap ODE.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=0.4)
    >>> comparison = mf.regimes.compare(problem, width=4, t_end=1.0, runs=2, save_at=5)
    >>> str(comparison.status), comparison.solutions["sgd"].risk.shape
    ('success', (2, 5))
    """

    problem: Problem
    width: int
    start: Weights | Overlaps
    solutions: dict[str, Solution]
    diagnosis: Diagnosis
    interrupted: bool = False
    band: Solution | None = None

    @property
    def status(self) -> Status:
        """``"interrupted"`` after Ctrl-C, else the first status that is not a success, if any."""
        if self.interrupted:
            return Status.INTERRUPTED
        bad = (one.status for one in self._all().values() if one.status is not Status.SUCCESS)
        return next(bad, Status.SUCCESS)

    def inside_band(self) -> float:
        """The share of SGD's risks within the band: about 0.95 where the linear theory holds.

        Returns
        -------
        float
            Over runs and saved times after the start, those within two computed standard
            deviations of the ODE plus the bias.

        Raises
        ------
        ValueError
            If SGD or the band was not run.
        """
        if self.band is None or "sgd" not in self.solutions:
            raise ValueError("inside_band needs runs of SGD and the band: compare(..., band=True)")
        low, high = risk_band(self.band)
        risk = self.solutions["sgd"].risk
        count = min(risk.shape[1], len(low))
        inside = (risk[:, 1:count] >= low[1:count]) & (risk[:, 1:count] <= high[1:count])
        return float(inside.mean()) if inside.size else math.nan

    def distance(self, first: str, second: str) -> RiskDistance:
        """How far two descriptions are apart.

        Parameters
        ----------
        first, second : str
            Names in `solutions`.

        Returns
        -------
        RiskDistance

        Raises
        ------
        ValueError
            If one was not run, or they have no saved time in common.
        """
        one = self.solutions[checks.option(first, "first", self.solutions)]
        two = self.solutions[checks.option(second, "second", self.solutions)]
        count = min(len(one.t), len(two.t))
        if count == 0:
            raise ValueError(f"first and second share no saved time: {first}, {second}")
        gap = np.abs(mean_risk(one)[:count] - mean_risk(two)[:count])
        i = int(gap.argmax())
        error = math.hypot(_standard_error(one, i), _standard_error(two, i))
        return RiskDistance(
            first, second, float(gap[i]), float(one.t[i]), float(np.sqrt((gap**2).mean())),
            error, _overlap_distance(one, two),
        )  # fmt: skip

    def distances(self) -> tuple[RiskDistance, ...]:
        """All pairs, in the order of `solutions`."""
        return tuple(self.distance(*pair) for pair in itertools.combinations(self.solutions, 2))

    def __str__(self) -> str:
        titles = {name: TITLES[name] for name in self.solutions}
        wide = max((len(title) for title in titles.values()), default=0)
        lines = [
            str(self.diagnosis).split("\n", 1)[0],
            "largest distance between risk curves, root mean square over t, and between neurons:",
        ]
        for one in self.distances():
            error = f" ± {one.error:.0e}" if one.error > 0 else ""
            neurons = "" if math.isnan(one.overlaps) else f"{one.overlaps:10.2e}"
            pair = f"{titles[one.first]:<{wide}}  {titles[one.second]:<{wide}}"
            largest = f"{one.largest:.2e}{error:<8} at t = {one.at:<8.3g}"
            lines.append(f"  {pair}  {largest} {one.rms:.2e}  {neurons}".rstrip())
        if self.band is not None and "sgd" in self.solutions:
            share = f"{100 * self.inside_band():.0f} %"
            lines.append(f"within two computed standard deviations of SGD: {share} of its risks")
        for name, solution in self._all().items():
            if not solution.success:
                title = titles.get(name, name)
                lines.append(f"{title}: {solution.status}, {solution.message}")
        return "\n".join(lines)

    def _all(self) -> dict[str, Solution]:
        """The solutions, and the band under its own name."""
        return self.solutions | ({} if self.band is None else {"band": self.band})

    def _repr_html_(self) -> str:
        return display.printed(self)


def risk_band(solution: Solution) -> tuple[Array, Array]:
    """Two standard deviations of SGD below and above its mean risk, (T,) each.

    The band is Gaussian, the risk is not: below 0 there is none.
    """
    mean = solution.risk + solution.observables.get("risk_bias", 0.0)
    reach = 2.0 * solution.observables["risk_std"]
    return np.maximum(mean - reach, 0.0), mean + reach


def _standard_error(solution: Solution, i: int) -> float:
    if solution.risk.ndim == 1:
        return 0.0
    if len(solution.risk) == 1:
        return math.nan
    return float(solution.risk[:, i].std(ddof=1) / math.sqrt(len(solution.risk)))


def order_parameters(solution: Solution) -> NDArray[np.float64]:
    """M and the diagonal of Q at the saved times, (T, p, k + 1); of SGD, means over its runs."""
    states, basis = solution.states, solution.problem.target.basis
    if states.kind == "ParticleMeasure":
        u, r = states.varying["u"], states.varying["r"]
        M, q = u @ basis.T, (u**2).sum(axis=-1) + r**2
    else:
        M, q = states.varying["M"], np.diagonal(states.varying["Q"], axis1=-2, axis2=-1)
    both = np.concatenate((M, q[..., None]), axis=-1)
    return both.mean(axis=0) if both.ndim == 4 else both


def _overlap_distance(one: Solution, two: Solution) -> float:
    first, second = order_parameters(one), order_parameters(two)
    if first.shape[1:] != second.shape[1:]:
        return math.nan
    count = min(len(first), len(second))
    gap = first[:count] - second[:count]
    return float(np.sqrt((gap**2).mean(axis=(1, 2))).max())
