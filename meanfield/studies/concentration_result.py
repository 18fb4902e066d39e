"""What a concentration study found, on disk and in memory."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks, display
from meanfield.problem import Problem
from meanfield.projection.curves import SCALARS
from meanfield.states import ParticleMeasure
from meanfield.storage import write_archive
from meanfield.studies.observables import RISK
from meanfield.studies.power_laws import Limit, Rate, Resampled, fit_limit, fit_rate
from meanfield.studies.tables import (
    COLUMNS,
    EXPLANATIONS,
    fits_at,
    mean_over_replicas,
    standard_error,
    table_of_cases,
)

CURVES = (RISK, *SCALARS)
STUDY_FORMAT = "meanfield-concentration-study"
BOOTSTRAPS = 400
NOTHING = 1e-16  # of E f*²: squares of what is lost to rounding
LAW_ARRAYS = ("a", "u", "r", "mass")
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ConcentrationStudy:
    """What `concentration_study` found: a case for each width and dimension.

    Attributes
    ----------
    problem : Problem
        At d = ∞.
    dims : ndarray, shape (m,)
        Input dimension of each case, increasing for each width.
    widths : ndarray, shape (m,)
        Width of each case; ∞ for the mean field.
    t : ndarray, shape (T,)
        Saved times.
    replicas : dict of str to ndarray, shape (m, R, T)
        Curves of every replica: ``"risk"``, ``"energy"``, ``"mean_alignment"``, ``"leak"`` and its
        two parts ``"leak_variance"`` and ``"function_energy"``, ``"perpendicular"``; see
        `projection.ConcentrationCurves`. NaN where a case has fewer replicas.
    distances : ndarray, shape (m, R)
        W2 between the final law of neurons (a, u, r) and the one at d = ∞, of the same width and
        replica; NaN without d = ∞.
    laws : list of list of ParticleMeasure
        Final law of neurons of every replica, for each case.
    parameters : dict
        How the study was made.
    messages : list of str
        What runs had to say beyond success.

    Examples
    --------
    >>> import math, meanfield as mf
    >>> study = mf.concentration_study(
    ...     mf.CommitteeTarget(k=1), [20, 40, math.inf], n=20, t_end=1.0, replicas=2
    ... )
    >>> study.final("leak").shape, study.curves["energy"].shape
    ((3,), (3, 41))
    """

    problem: Problem
    dims: Array
    widths: Array
    t: Array
    replicas: dict[str, Array]
    distances: Array
    laws: list[list[ParticleMeasure]]
    parameters: dict[str, Any]
    messages: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<ConcentrationStudy: {len(self.dims)} cases of {self.distances.shape[1]} replicas>"

    def _repr_html_(self) -> str:
        rows = {
            "dimensions d": ", ".join(display.text(d) for d in sorted(set(self.dims.tolist()))),
            "widths": ", ".join(display.text(p) for p in sorted(set(self.widths.tolist()))),
            "replicas": self.distances.shape[1],
            "t": f"{self.t[0]:g} to {self.t[-1]:g}, {len(self.t)} saved",
            "leak at the end": ", ".join(map(display.text, self.final("leak").tolist())),
            "messages": "; ".join(self.messages[:3]),
            "notes": "; ".join(self.notes[:3]),
        }
        return display.table("Concentration study", rows)

    @property
    def finals(self) -> list[ParticleMeasure]:
        """Final law of the first replica of each case."""
        return [replicas[0] for replicas in self.laws]

    @cached_property
    def curves(self) -> dict[str, Array]:
        """Means over replicas of every curve, (m, T)."""
        return {name: mean_over_replicas(values) for name, values in self.replicas.items()}

    @property
    def wasserstein(self) -> Array:
        """Mean over replicas of the distance to the law at d = ∞, (m,)."""
        return mean_over_replicas(self.distances)

    @cached_property
    def notes(self) -> list[str]:
        """Where a number does not mean what it seems to: a limit at a saddle, a function of 0."""
        notes = []
        for width in sorted(set(self.widths.tolist())):
            where = "" if math.isinf(width) else f" at p = {width:g}"
            rows = np.flatnonzero(self.widths == width)
            if saddle := _at_a_saddle(self.curves["energy"][rows], self.dims[rows]):
                notes.append(f"the run at d = ∞{where} stays at a saddle: {saddle}")
            size = self.problem.target.second_moment()
            empty = rows[self.final("function_energy")[rows] <= NOTHING * size]
            if len(empty):
                dims = ", ".join(map(display.text, self.dims[empty].tolist()))
                notes.append(
                    f"f is 0 up to rounding at the final time in d = {dims}{where}: its leak, a "
                    "ratio, means nothing"
                )
        return notes

    @cached_property
    def sampling_error(self) -> dict[str, Array]:
        """Standard errors over replicas of the final values, (m,); NaN of a single replica."""
        finals = {name: values[:, :, -1] for name, values in self.replicas.items()}
        return {
            name: standard_error(values)
            for name, values in (*finals.items(), ("wasserstein", self.distances))
        }

    def final(self, quantity: str) -> Array:
        """Values at the final time, shape (m,).

        Of the curves, of ``"wasserstein"``, or of ``"risk_difference"``, ``"energy_difference"``
        and so on, which is the distance |· − that at d = ∞| at the same width.
        """
        return self._final_of(quantity, self.distances, self.replicas)

    def _final_of(self, quantity: str, distances: Array, replicas: dict[str, Array]) -> Array:
        allowed = (*CURVES, "wasserstein", *(f"{name}_difference" for name in CURVES))
        checks.option(quantity, "quantity", allowed)
        if quantity == "wasserstein":
            return mean_over_replicas(distances)
        if not quantity.endswith("_difference"):
            return mean_over_replicas(replicas[quantity][:, :, -1])
        if not np.isinf(self.dims).any():
            raise ValueError(f"quantity {quantity!r} needs math.inf among the dims")
        values = mean_over_replicas(replicas[quantity.removesuffix("_difference")][:, :, -1])
        there = np.isinf(self.dims)
        limits = dict(zip(self.widths[there], values[there], strict=True))
        return np.abs(values - np.array([limits.get(p, math.nan) for p in self.widths]))

    def rate(self, quantity: str, over: str = "dim", at: float | None = None) -> Rate:
        """Fitted exponent of a final quantity in d or in the width, with a 95 % interval.

        Parameters
        ----------
        quantity : str
            See `final`; ``"risk"`` means its difference to d = ∞, which is what vanishes.
        over : str
            ``"dim"`` or ``"width"``.
        at : float, optional
            The width, or the dimension, held fixed; by default the largest.

        Returns
        -------
        Rate

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above, or fewer than three cases have a positive value.
        """
        name = "risk_difference" if quantity == "risk" else quantity
        rows, x = self._rows(checks.option(over, "over", ("dim", "width")), at)
        return fit_rate(x, self.final(name)[rows], self._resampled(name, rows))

    def extrapolate(self, quantity: str, at: float | None = None) -> Limit:
        """A final quantity extrapolated to d = ∞, beside what the run at d = ∞ found.

        Parameters
        ----------
        quantity : str
            One of the curves.
        at : float, optional
            The width; by default the largest.

        Returns
        -------
        Limit

        Raises
        ------
        TypeError, ValueError
            If there are fewer than three finite dimensions.
        """
        checks.option(quantity, "quantity", CURVES)
        rows, dims = self._rows("dim", at)
        values = self.final(quantity)[rows]
        there = values[np.isinf(dims)]
        solved = float(there[0]) if len(there) else math.nan
        return fit_limit(dims, values, solved, self._resampled(quantity, rows))

    def _rows(self, over: str, at: float | None) -> tuple[NDArray[np.intp], Array]:
        """The cases along one axis, and their place on it."""
        along, fixed = self.dims, self.widths
        if over == "width":
            along, fixed = fixed, along
        value = float(fixed.max()) if at is None else at
        rows = np.flatnonzero(fixed == value)
        if len(rows) == 0:
            raise ValueError(f"at must be one of {sorted(set(fixed.tolist()))}, got {at!r}")
        return rows, along[rows]

    def _resampled(self, quantity: str, rows: NDArray[np.intp]) -> Resampled | None:
        """The quantity on replicas drawn again, the same ones in every case: they share draws."""
        R = self.distances.shape[1]
        if R < 2:
            return None
        rng = np.random.default_rng(0)
        drawn = []
        distances = _filled(self.distances)
        finals = {name: _filled(y[:, :, -1])[:, :, None] for name, y in self.replicas.items()}
        for _ in range(BOOTSTRAPS):
            chosen = rng.integers(R, size=R)
            curves = {name: y[:, chosen] for name, y in finals.items()}
            drawn.append(self._final_of(quantity, distances[:, chosen], curves)[rows])
        return Resampled(np.array(drawn), R)

    def text(self) -> str:
        """One line a dimension, then the fitted slopes."""
        values = {name: self.final(name) for name in COLUMNS}
        lines = table_of_cases(self.widths, self.dims, values, self.sampling_error)
        finite = sorted(p for p in set(self.widths.tolist()) if math.isfinite(p))
        for width in finite or [math.inf]:
            lines += ["", *fits_at(width, self.rate, self.extrapolate)]
        notes = (f"note: {message}" for message in (*self.messages, *self.notes))
        return "\n".join([*lines, "", *EXPLANATIONS, *notes])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the study to one file; `load_study` reads it."""
        header = {
            "problem": self.problem.parameters(),
            "parameters": self.parameters,
            "messages": self.messages,
            "origins": [[dict(law.origin) for law in replicas] for replicas in self.laws],
        }
        arrays = {name: getattr(self, name) for name in ("dims", "widths", "t", "distances")}
        arrays |= {f"curves.{name}": value for name, value in self.replicas.items()}
        for i, replicas in enumerate(self.laws):
            for j, law in enumerate(replicas):
                parts = {name: getattr(law, name) for name in LAW_ARRAYS}
                arrays |= {f"law{i}.{j}.{x}": y for x, y in parts.items() if y is not None}
        return write_archive(path, STUDY_FORMAT, header, arrays)


def _filled(values: Array) -> Array:
    """With the mean for replicas that a case does not have: at d = ∞ there is one, and no draw."""
    return np.where(np.isfinite(values), values, mean_over_replicas(values)[:, None])


def _at_a_saddle(energy: Array, dims: Array) -> str:
    """What tells that the limit's neurons do not turn while those at any d do; else nothing.

    A Gaussian start at d = ∞ has no part in the subspace, and where the residual has no linear part
    no velocity leads out of u = 0; at finite d the start's share of 1/d grows.
    """
    finite = energy[np.isfinite(dims)]
    if len(finite) < 2 or len(finite) == len(dims) or np.ptp(energy[-1]) > 1e-9:
        return ""
    gained = finite[:, -1] - finite[:, 0]
    if abs(gained[-1]) < max(1e-2, 0.5 * abs(gained[0])):
        return ""
    return (
        f"its neurons do not turn, those at d = {dims[-2]:g} gain {gained[-1]:.2g} in energy, no "
        "less than at smaller d. Distances to it do not fall with d, and their slopes mean nothing"
    )
