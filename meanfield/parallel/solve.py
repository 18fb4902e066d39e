"""One mean-field solve on several ranks of MPI, each with a share of the neurons."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield._version import __version__
from meanfield.blas import one_blas_thread
from meanfield.dynamics.observables import Measurements
from meanfield.dynamics.particles.field_checks import Check
from meanfield.dynamics.particles.flow import ParticleFlow
from meanfield.dynamics.registry import ON_RANKS, goes_on
from meanfield.dynamics.run import Request, Result, Tolerances, carry_out
from meanfield.dynamics.solution import Solution
from meanfield.dynamics.stops import Stops
from meanfield.fields import check_evaluator
from meanfield.integrate import Trajectory
from meanfield.integrate.interrupts import raising_on_sigterm
from meanfield.parallel.rank_checkpoint import RankCheckpoint
from meanfield.parallel.rank_neurons import SharedField
from meanfield.parallel.ranks import Communicator, Ranks
from meanfield.problem import Problem, with_unit_second_rate
from meanfield.schedules.base import largest
from meanfield.states import ParticleMeasure
from meanfield.until import with_laws

Array = NDArray[np.float64]
Averages = Mapping[str, Callable[[float, ParticleMeasure], ArrayLike]]


@goes_on(
    ON_RANKS,
    settings=("rtol", "atol", "evaluator"),
    together=lambda comm: Ranks(comm).sharing_errors(),
)
@raising_on_sigterm()
@one_blas_thread()
def solve_mean_field(
    problem: Problem,
    part: ParticleMeasure,
    t_end: float,
    save_at: ArrayLike | int | None = None,
    rtol: float = 1e-6,
    atol: float | None = None,
    *,
    comm: Communicator | None = None,
    averages: Averages | None = None,
    evaluator: str | None = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    progress: bool = False,
    until: Any = None,
) -> Solution[ParticleMeasure, ParticleMeasure]:
    """Evolve a measure whose neurons lie on several ranks; every rank makes this call.

    The equation and method of `meanfield.solve_mean_field`. For each right-hand side the ranks sum
    what their neurons make, in one reduction whose size does not depend on the neurons, and for
    each step a number that measures its error. Results agree with those of one process to rounding
    and do not depend on the number of ranks beyond it.

    Parameters
    ----------
    problem : Problem
        That an evaluator serves in time linear in the neurons: up to three directions and a
        smooth or homogeneous student, or any number and a polynomial one.
    part : ParticleMeasure
        The neurons of this rank, with equal masses; see `draw`. Ranks may hold different numbers.
    t_end, save_at, rtol, atol
        See `meanfield.solve_mean_field`; the same on all ranks.
    comm : mpi4py communicator, optional
        Such as ``MPI.COMM_WORLD``; None: this process alone.
    averages : mapping of str to callable, optional
        Functions of (t, part) that return an average over the part's neurons. The averages over all
        neurons at the saved times are ``solution.observables[name]``, on every rank.
    evaluator : str
        "slices", "half-sphere" or "polynomial", or "auto"; see `meanfield.solve_mean_field`.
    checkpoint : path, optional
        A file for each rank, ``path.0-of-8`` and so on, from which the same call on as many ranks
        goes on, bit for bit, and on another number of ranks to rounding; see
        `meanfield.solve_mean_field`.
    threads : int, optional
        Threads of this rank's kernels; one a core in all is wanted.
    progress : bool
        Show a progress bar, on rank 0.
    until : Condition or callable, optional
        What ends the run before `t_end`; see `meanfield.solve_mean_field`. Of a function of
        (t, part) that returns an average over the part's neurons the average over all counts.

    Returns
    -------
    Solution
        On every rank: times, risk, averages and status of the whole, and this rank's neurons at the
        start and end. ``stats`` has ``ranks``, ``reductions`` and ``bytes_reduced``, of this rank.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or not the same on all ranks; the message names it.
    OSError
        If the checkpoint's folder does not exist or cannot be written in.

    Whatever one rank raises, all raise, with the same message and a note that says which.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> part = mf.parallel.draw(mf.gaussian_measure, problem, 1000)
    >>> solution = mf.parallel.solve_mean_field(problem, part, t_end=1.0, save_at=3)
    >>> solution.risk.shape, solution.stats["ranks"]
    ((3,), 1)
    """
    ranks = Ranks(comm)
    with ranks.sharing_errors():
        checks.instance(problem, "problem", Problem)
        checks.instance(part, "part", ParticleMeasure)
        if part.mass is not None:
            raise ValueError("part must have equal masses: how ranks weigh would be unsaid")
        _check_problem(problem, part)
        tolerances, evaluator = Tolerances.checked(rtol, atol), check_evaluator(evaluator)
        request = Request.checked(
            t_end, save_at, "ends", _named(averages), checkpoint, threads, progress, until=until
        )
        ranks.check_same(_call_of(problem, part, request, tolerances, evaluator))
        everyone = int(ranks.total(np.array([float(part.n)]))[0])
        request = _of_all(request, ranks, part.n / everyone)
        return carry_out(
            "parallel.solve_mean_field", problem, part, request,
            tolerances._asdict() | {"evaluator": evaluator},
            lambda: _SplitFlow(problem, part, request, tolerances, ranks, everyone, evaluator),
            partial(RankCheckpoint, ranks=ranks, part=part),
        )  # fmt: skip


def _check_problem(problem: Problem, part: ParticleMeasure) -> None:
    """Refuse what ranks cannot share."""
    k = problem.subspace_dim
    if part.k != k:
        raise ValueError(f"part must have u of shape (n, {k}) for this problem, got {part.u.shape}")
    if largest(problem.temperature) > 0.0:
        raise ValueError(f"problem must have temperature 0 here, got {problem.temperature}")


class _SplitFlow(ParticleFlow):
    """A run of which this rank holds a part; what it decides, it decides as all others do."""

    def __init__(
        self,
        problem: Problem,
        part: ParticleMeasure,
        request: Request,
        tolerances: Tolerances,
        ranks: Ranks,
        everyone: int,
        evaluator: str,
    ):
        self.ranks, self.everyone, self.total = ranks, everyone, ranks.total
        with np.errstate(over="ignore", invalid="ignore"):
            field = SharedField(with_unit_second_rate(problem), ranks, everyone, part, evaluator)
        super().__init__(problem, part, request, tolerances, field=field)

    def largest(self, value: float) -> float:
        """See `Motion`."""
        return self.ranks.largest(value)[0]

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`."""
        ranks = self.ranks
        counts = {
            "ranks": ranks.size, "reductions": ranks.reductions, "bytes_reduced": ranks.bytes
        }  # fmt: skip
        found = super().result(trajectory)
        return found._replace(
            stats=found.stats | counts, parameters={**found.parameters, "neurons": self.everyone}
        )

    def _checks(self, trajectory: Trajectory) -> list[Check]:
        bad = float(np.count_nonzero(~np.isfinite(trajectory.y)))
        if self.ranks.total(np.array([bad]))[0] > 0.0:
            return [Check(0.0, self.field_error)]
        with np.errstate(over="ignore", invalid="ignore"):
            last = self.field.error_estimate(self.state(trajectory.y))
        return [Check(0.0, self.field_error), Check(trajectory.t_reached, last)]


def _call_of(
    problem: Problem,
    part: ParticleMeasure,
    request: Request,
    tolerances: Tolerances,
    evaluator: str,
) -> dict[str, str]:
    """The arguments that must be the same on all ranks, as text."""
    call = {
        "t_end": request.t_end, "save_at": request.times.tolist(), **tolerances._asdict(),
        "evaluator": evaluator, "averages": list(request.measurements.functions),
        "checkpoint": None if request.checkpoint is None else os.fspath(request.checkpoint),
        "part's directions": part.k, "version": __version__,
    }  # fmt: skip
    if request.stops is not None:
        call["until"] = request.stops.condition.parameters()
    call = {f"problem's {name}": value for name, value in problem.parameters().items()} | call
    return {name: repr(value) for name, value in call.items()}


def _named(averages: Averages | None) -> Measurements:
    """The averages, checked."""
    try:
        return Measurements(averages)
    except TypeError as error:
        raise TypeError(str(error).replace("observables", "averages", 1)) from error


def _of_all(request: Request, ranks: Ranks, share: float) -> Request:
    """The request with averages over all neurons, from those over each rank's share."""
    whole = {
        name: partial(_average, function, ranks, share)
        for name, function in request.measurements.functions.items()
    }
    stops = request.stops
    if stops is not None:
        stops = Stops(
            with_laws(stops.condition, lambda law: partial(_average_number, law, ranks, share))
        )
    return replace(
        request,
        progress=request.progress and ranks.rank == 0,
        measurements=Measurements(whole, required=True),
        stops=stops,
    )


def _average(
    function: Callable[[float, ParticleMeasure], ArrayLike],
    ranks: Ranks,
    share: float,
    t: float,
    part: ParticleMeasure,
) -> Array:
    return ranks.total(share * np.asarray(function(t, part), dtype=np.float64))


def _average_number(
    law: Callable[[float, ParticleMeasure], float], ranks: Ranks, share: float, t: float,
    part: ParticleMeasure,
) -> float:  # fmt: skip
    return float(_average(law, ranks, share, t, part))
