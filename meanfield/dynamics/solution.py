"""What a run returns, whichever description computed it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield._version import __version__
from meanfield.dynamics.series import StateSeries
from meanfield.integrate.outcome import Status
from meanfield.problem import Problem


@dataclass(frozen=True, eq=False)
class Solution:
    """A training run under one description.

    Attributes
    ----------
    t : ndarray, shape (T,)
        Saved times, in units where one SGD step takes γ/(p d).
    risk : ndarray, shape (T,), or (runs, T) for SGD
        Population risk R = ½ E (f − f*)², label noise not included.
    states : StateSeries
        A state of the kind that went in, per saved time (per run, then time, for SGD). Only the
        first and last are there if the run was told not to keep the others.
    status, message : Status, str
        How the run ended. Anything but ``"success"`` deserves a look at the message.
    stats : dict
        Counts, and estimates of the error made.
    problem : Problem
        What was solved.
    parameters : dict
        How: description, tolerances, seed, the start's origin, the version of the library.
    observables : dict of str to ndarray
        What the observables asked for returned, (T, ...) each; (runs, T, ...) for SGD.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=20), 1.0, save_at=5)
    >>> run.t.shape, run.risk.shape, run.final.n, str(run.status)
    ((5,), (5,), 20, 'success')
    """

    t: NDArray[np.float64]
    risk: NDArray[np.float64]
    states: StateSeries
    status: Status
    message: str
    stats: dict[str, Any]
    problem: Problem
    parameters: Mapping[str, Any] = field(default_factory=dict)
    observables: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", {"version": __version__, **self.parameters})
        object.__setattr__(self, "status", Status(self.status))

    @property
    def success(self) -> bool:
        """Whether the run reached its end within its tolerances."""
        return self.status is Status.SUCCESS

    @property
    def final(self) -> Any:
        """The last saved state (a list with one per run, for SGD)."""
        if 0 in self.states.shape:
            raise ValueError(f"the run saved no state: {self.message}")
        if len(self.states.shape) > 1:
            return [run[-1] for run in self.states]
        return self.states[-1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Solution):
            return NotImplemented
        return (
            self.problem == other.problem
            and self.states == other.states
            and (self.status, self.message) == (other.status, other.message)
            and checks.same_values(self.t, other.t)
            and checks.same_values(self.risk, other.risk)
            and checks.same_values(self.stats, other.stats)
            and checks.same_values(self.parameters, other.parameters)
            and checks.same_values(self.observables, other.observables)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        description = self.parameters.get("description", "run")
        reached = f"t = {self.t[-1]:g}" if len(self.t) else "no saved time"
        last = f", risk {np.mean(self.risk[..., -1]):.4g}" if np.size(self.risk) else ""
        return f"<Solution: {description}, {self.status}, {reached}{last}; {self.message}>"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the run to one file; see `meanfield.load`.

        Parameters
        ----------
        path : str or path
            The file to write. It appears whole or not at all.

        Returns
        -------
        Path
            The file written.
        """
        from meanfield.storage import save_solution

        return save_solution(self, path)
