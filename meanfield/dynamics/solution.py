"""What a run returns, whichever description computed it; in memory and as one file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from meanfield import checks, display
from meanfield._version import __version__
from meanfield.dynamics.continuing import Continued
from meanfield.dynamics.export import dataset, frame, read_solution, write_solution
from meanfield.dynamics.phases import Phase
from meanfield.dynamics.state_series import Kept, StateSeries
from meanfield.integrate.records import Status
from meanfield.problem import Problem
from meanfield.storage import PathLike

if TYPE_CHECKING:
    import pandas
    import xarray

Final = TypeVar("Final", covariant=True)  # the last state, or one of each run


@dataclass(frozen=True, eq=False)
class Solution(Continued[Kept], Generic[Kept, Final]):
    """A training run under one description.

    The fields of its states are arrays over time under their own names: `u`, `r`, `a` of a law of
    neurons; `Q`, `M`, `P`, `a` of overlaps; `W`, `a` of weights.

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
    parts : tuple of Phase
        What its phases were, if it has several; see `then` and `phases`.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=20), 1.0, save_at=5)
    >>> run.t.shape, run.risk.shape, run.final.n, str(run.status)
    ((5,), (5,), 20, 'success')
    >>> run.u.shape
    (5, 20, 1)
    """

    t: NDArray[np.float64]
    risk: NDArray[np.float64]
    states: StateSeries[Kept]
    status: Status
    message: str
    stats: dict[str, Any]
    problem: Problem
    parameters: Mapping[str, Any] = field(default_factory=dict)
    observables: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    parts: tuple[Phase, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", {"version": __version__, **self.parameters})
        object.__setattr__(self, "status", Status(self.status))
        for name in ("t", "risk"):  # as states are: a number that was computed stays what it was
            values = np.asarray(getattr(self, name)).view()
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    @property
    def success(self) -> bool:
        """Whether the run reached its end within its tolerances."""
        return self.status is Status.SUCCESS

    @property
    def final(self) -> Final:
        """The last saved state (a list with one per run, for SGD)."""
        if 0 in self.states.shape:
            raise ValueError(f"the run saved no state: {self.message}")
        states: StateSeries[Any] = self.states  # what `Kept` and `Final` are goes with its axes
        last: Any = [run[-1] for run in states] if len(states.shape) > 1 else states[-1]
        return last

    def at_dim(self, dim: float) -> Solution:
        """The same fluctuations, said for another input dimension.

        Parameters
        ----------
        dim : int or math.inf
            Greater than the number of target directions.

        Returns
        -------
        Solution
            With standard deviations that fall as 1/√d and biases that fall as 1/d.

        Raises
        ------
        ValueError
            If `dim` is not as above, or this is no run of `solve_fluctuations` or
            `solve_risk_band`: other descriptions are not known at another d without a run there.
        """
        if self.parameters.get("description") not in ("fluctuations", "risk band"):
            raise ValueError(
                "at_dim is for what solve_fluctuations or solve_risk_band returned, got a run of "
                f"{self.parameters.get('description')}"
            )
        problem = self.problem.at_dim(dim)
        if not math.isfinite(self.problem.dim):
            raise ValueError("at_dim needs a solution at a finite dim, got one at inf")
        share = self.problem.dim / problem.dim
        powers = {name: 0.5 if name.endswith("_std") else 1.0 for name in self.observables}
        scaled = {name: v * share ** powers[name] for name, v in self.observables.items()}
        return replace(self, problem=problem, observables=scaled)

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
            and checks.same_values(
                [part.plain() for part in self.parts], [part.plain() for part in other.parts]
            )
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        description = self.parameters.get("description", "run")
        reached = f"t = {self.t[-1]:g}" if len(self.t) else "no saved time"
        last = f", risk {np.mean(self.risk[..., -1]):.4g}" if np.size(self.risk) else ""
        return f"<Solution: {description}, {self.status}, {reached}{last}; {self.message}>"

    def _repr_html_(self) -> str:
        times = f"{self.t[0]:g} to {self.t[-1]:g}, {len(self.t)} saved" if len(self.t) else ""
        rows = {
            "status": f"{self.status}: {self.message}",
            "t": times,
            "final risk": float(np.mean(self.risk[..., -1])) if np.size(self.risk) else None,
            "states": repr(self.states)[1:-1],
            "observables": ", ".join(self.observables),
            **{name: value for name, value in self.stats.items() if name.endswith("error")},
            "problem": repr(self.problem),
            "version": self.parameters["version"],
        }
        return display.table(f"Solution: {self.parameters.get('description', 'run')}", rows)

    def to_xarray(self) -> xarray.Dataset:
        """Risk, observables and states with named dimensions, time as a coordinate.

        Returns
        -------
        xarray.Dataset
            Dimensions ``time`` and ``run`` (SGD), then ``neuron``, ``direction``, ``target`` and so
            on; ``state_time`` where states were kept at the ends only. Axes of an observable beyond
            time are named after it. Problem, parameters, status and counts are attributes, as text.

        Raises
        ------
        ImportError
            Without the extra ``xarray``.
        """
        return dataset(self)

    def to_dataframe(self) -> pandas.DataFrame:
        """One row for each saved time and run: time, risk, and observables that are numbers.

        Raises
        ------
        ImportError
            Without pandas, which the extra ``xarray`` brings.
        """
        return frame(self)

    def plot(self, ax: Any = None) -> Any:
        """Draw the risk against time; see `meanfield.plotting.plot_run`.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default new ones.

        Returns
        -------
        matplotlib Axes
        """
        # pictures lie above all that can be drawn; only who asks for one pays for matplotlib
        return import_module("meanfield.plotting").plot_run(self, ax)

    def save(self, path: PathLike) -> Path:
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
        return write_solution(path, self)


def load(path: PathLike) -> Solution:
    """Read a solution that `Solution.save` wrote.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Solution
        Equal to the one saved.

    Raises
    ------
    OSError
        If there is no such file (FileNotFoundError), or it cannot be read.
    ValueError
        If the file is truncated, damaged, or not a solution of this library.

    Examples
    --------
    >>> import tempfile, meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=20), 1.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mf.load(run.save(f"{folder}/run.meanfield")) == run
    True
    """
    return Solution(**read_solution(path))
