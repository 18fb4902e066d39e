"""One mean-field solve on several ranks of MPI, each with a share of the neurons."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.dynamics.checkpoint import describe_call
from meanfield.dynamics.observables import Measurements
from meanfield.dynamics.particles.field_checks import Check
from meanfield.dynamics.particles.flow import ParticleFlow
from meanfield.dynamics.solution import Solution
from meanfield.fields import check_evaluator
from meanfield.integrate import Status, Trajectory, integrate
from meanfield.integrate.saving import check_times
from meanfield.kernels.options import thread_limit
from meanfield.parallel.rank_checkpoint import RankCheckpoint
from meanfield.parallel.ranks import Communicator, Ranks
from meanfield.parallel.shared import SharedField
from meanfield.problem import Problem
from meanfield.progress import progress_bar
from meanfield.states import ParticleMeasure

Array = NDArray[np.float64]
Averages = Mapping[str, Callable[[float, ParticleMeasure], ArrayLike]]


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
    evaluator: str = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> Solution:
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
        goes on, bit for bit; see `meanfield.solve_mean_field`.
    threads : int, optional
        Threads of this rank's kernels; one a core in all is wanted.
    progress : bool
        Show a progress bar, on rank 0.

    Returns
    -------
    Solution
        On every rank: times, risk, averages and status of the whole, and this rank's neurons at the
        start and end. ``stats`` has ``ranks``, ``reductions`` and ``bytes_reduced``, of this rank.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.
    OSError
        If the checkpoint's folder does not exist or cannot be written in.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> part = mf.parallel.draw(mf.gaussian_measure, problem, 1000)
    >>> solution = mf.parallel.solve_mean_field(problem, part, t_end=1.0, save_at=3)
    >>> solution.risk.shape, solution.stats["ranks"]
    ((3,), 1)
    """
    checks.instance(problem, "problem", Problem)
    checks.instance(part, "part", ParticleMeasure)
    if part.mass is not None:
        raise ValueError("part must have equal masses: how ranks weigh would be unsaid")
    _check_problem(problem, part)
    t_end = checks.real(t_end, "t_end", above=0.0)
    times = check_times(save_at, t_end)
    rtol = checks.real(rtol, "rtol", above=0.0)
    atol = None if atol is None else checks.real(atol, "atol", above=0.0)
    threads = checks.thread_count(threads)
    evaluator = check_evaluator(evaluator)
    ranks = Ranks(comm)
    settings = {"t_end": t_end, "rtol": rtol, "atol": atol}
    call = settings | {"save_at": times, "averages": list(averages or {}), "evaluator": evaluator}
    show = progress and ranks.rank == 0
    with thread_limit(threads), progress_bar(t_end, "mean field", show) as advance:
        flow = _SplitFlow(problem, part, ranks, (float(times[-1]), t_end), averages, evaluator)
        file = None
        if checkpoint is not None:
            identity = describe_call("parallel.solve_mean_field", problem, part, call)
            keeps = flow.field.layout_state, flow.field.restore
            file = RankCheckpoint(checkpoint, identity, ranks, *keeps)
        trajectory = integrate(
            flow.slope, flow.start(), t_end, times, flow.observe, rtol=rtol,
            atol=flow.tolerance(rtol, atol), advance=advance, checkpoint=file, total=ranks.total,
            in_place=flow.in_place, watch=flow.watch,
        )  # fmt: skip
        if file is not None and trajectory.status is not Status.INTERRUPTED:
            file.remove()
        trajectory.stats |= {"ranks": ranks.size, "reductions": ranks.reductions,
                             "bytes_reduced": ranks.bytes}  # fmt: skip
        return flow.solution(trajectory, settings)


def _check_problem(problem: Problem, part: ParticleMeasure) -> None:
    """Refuse what ranks cannot share."""
    k = problem.subspace_dim
    if part.k != k:
        raise ValueError(f"part must have u of shape (n, {k}) for this problem, got {part.u.shape}")
    if problem.temperature > 0.0:
        raise ValueError(f"problem must have temperature 0 here, got {problem.temperature:g}")


class _SplitFlow(ParticleFlow):
    """A run of which this rank holds a part; what it decides, it decides as all others do."""

    def __init__(
        self,
        problem: Problem,
        part: ParticleMeasure,
        ranks: Ranks,
        times: tuple[float, float],
        averages: Averages | None,
        evaluator: str,
    ):
        self.ranks = ranks
        self.total = int(ranks.total(np.array([float(part.n)]))[0])
        share = part.n / self.total
        with np.errstate(over="ignore", invalid="ignore"):
            field = SharedField(problem, ranks, self.total, part, evaluator)
        try:
            functions = Measurements(averages).functions
        except TypeError as error:
            raise TypeError(str(error).replace("observables", "averages", 1)) from error
        whole = {
            name: partial(_average, function, ranks, share) for name, function in functions.items()
        }
        super().__init__(
            problem, part, False, times, Measurements(whole, required=True), field=field
        )

    def total_of(self, sums: Array) -> Array:
        """See `ParticleFlow`."""
        return self.ranks.total(sums)

    def solution(self, trajectory: Trajectory, settings: dict[str, Any]) -> Solution:
        """See `ParticleFlow`."""
        return super().solution(trajectory, {**settings, "neurons": self.total})

    def _checks(self, trajectory: Trajectory) -> list[Check]:
        bad = float(np.count_nonzero(~np.isfinite(trajectory.y)))
        if self.ranks.total(np.array([bad]))[0] > 0.0:
            return [Check(0.0, self.field_error)]
        with np.errstate(over="ignore", invalid="ignore"):
            last = self.field.error_estimate(self.state(trajectory.y))
        return [Check(0.0, self.field_error), Check(trajectory.t_reached, last)]


def _average(
    function: Callable[[float, ParticleMeasure], ArrayLike],
    ranks: Ranks,
    share: float,
    t: float,
    part: ParticleMeasure,
) -> Array:
    return ranks.total(share * np.asarray(function(t, part), dtype=np.float64))
