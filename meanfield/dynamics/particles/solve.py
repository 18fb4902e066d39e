"""The mean-field limit p → ∞: neurons as particles of a transport equation, at any d."""

from __future__ import annotations

import math
import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.blas import one_blas_thread
from meanfield.dynamics.observables import Measurements, Observables
from meanfield.dynamics.particles.flow import ParticleFlow
from meanfield.dynamics.particles.free_energy import FreeEnergy
from meanfield.dynamics.particles.langevin import LangevinRun
from meanfield.dynamics.particles.training import add_decay
from meanfield.dynamics.rates import RateSeries
from meanfield.dynamics.registry import OF_EQUATIONS, goes_on
from meanfield.dynamics.run import Description, Request, Tolerances, carry_out
from meanfield.dynamics.solution import Solution
from meanfield.fields import check_evaluator, choose_field
from meanfield.integrate.interrupts import raising_on_sigterm
from meanfield.kernels.threads import thread_limit
from meanfield.problem import Problem, refuse_schedules
from meanfield.schedules.base import largest
from meanfield.states import ParticleMeasure, check_state

Array = NDArray[np.float64]


@goes_on("mean-field particles", settings=(*OF_EQUATIONS, "evaluator", "field_tolerance", "step"))
@raising_on_sigterm()
@one_blas_thread()
def solve_mean_field(
    problem: Problem,
    measure: ParticleMeasure,
    t_end: float,
    save_at: ArrayLike | int | None = None,
    rtol: float = 1e-6,
    atol: float | None = None,
    *,
    spherical: bool = False,
    seed: int = 0,
    step: float | None = None,
    evaluator: str | None = "auto",
    field_tolerance: float | None = None,
    method: str = "auto",
    keep: str = "all",
    observables: Observables | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    progress: bool = False,
    until: Any = None,
) -> Solution[ParticleMeasure, ParticleMeasure]:
    """Evolve a measure of neurons by the mean-field equation.

    da/dt = κ E[ε g0], du/dt = a E[ε g1 z], dr/dt = a E[ε ρ g2], where ε = f* − f and g0, g1, g2
    average σ, σ', U σ' over the direction outside the principal subspace (Arnaboldi et al. 2023;
    Mei, Montanari & Nguyen 2018; the reduction by symmetry as in Hajjar & Chizat 2022). Exact for
    a start that is invariant under rotations of the other D directions. The field is evaluated in
    time linear in n, on meshes and nodes refined until velocities at sample neurons agree with
    exact sums over pairs to 1e-8 (1e-5 for ReLU), checked again at the end; pair by pair where that
    is cheaper, or where k > 3; by sums over nodes where nothing else serves. The problem's weight
    decays act on both layers; label noise and mini-batches leave no trace at infinite width. With a
    temperature neurons also diffuse (mean-field Langevin dynamics), and ``observables`` hold the
    free energy R + (λ/2) E|w|²/d − τ H, the entropy H of w/√d and the error of its estimate.

    Parameters
    ----------
    problem : Problem
        Finite or infinite ``dim``; the learning rate plays no part in this limit.
    measure : ParticleMeasure
        Start, n neurons.
    t_end : float
        Final time, > 0, in units where one SGD step takes γ/(p d).
    save_at : array_like of shape (T,), int, or None
        Increasing times in [0, t_end] to save at; an int: that many linear ones; None: 51.
        `linear_times` and `logarithmic_times` make arrays.
    rtol, atol : float
        Tolerances of the adaptive method. The error of a step is a root mean square over the
        coordinates that move, with masses for weights and without: rtol of a coordinate's size, and
        for those that do not grow atol times the root mean square of all coordinates besides;
        rtol/1000 by default. What grows is held relative to itself, however small: a saddle is left
        in time. For ReLU students atol is at least rtol: a ReLU neuron can shrink to nothing in
        finite time, where its velocity jumps, and steps that resolve it relative to itself would
        never end.
    spherical : bool
        Hold every neuron to its length |w|/√d = √(|u|² + r²) at the start: only the tangent part of
        its velocity moves it. Lengths hold to rounding.
    seed : int
        Of the noise, where the problem has a temperature.
    step : float, optional
        Largest time step, where the problem has a temperature; by default a tenth of the time in
        which the drift changes by its own size. The error in averages goes as its square; a
        companion with steps twice as long under the same noise tells it, see ``stats``.
    evaluator : str
        How the field is evaluated, see ``stats["field"]``: "pairs" and "series" (neuron by neuron),
        "slices", "half-sphere" and "polynomial" (in time linear in n), "quadrature" (over inputs);
        or "auto", the cheapest that is accurate.
    field_tolerance : float, optional
        Relative error of the velocities to aim at, by which evaluators and their nodes are chosen
        and the run is judged; by default what the evaluator in use comes to, see ``stats``.
    method : str
        ``"auto"``: Dormand-Prince 5(4), and linearly implicit steps where the flow is stiff. Or an
        explicit pair for all steps: ``"dormand_prince"``, or ``"bogacki_shampine"`` 3(2), for
        loose tolerances and flows that are not smooth. Plays no part at a temperature.
    keep : str
        ``"all"``: a state for each saved time. ``"ends"``: the states at the first and last of them
        only; t, risk and observables stay whole.
    observables : mapping of str to callable, optional
        Functions of (t, `ParticleMeasure`) that return a number or an array of a fixed shape. Their
        values at the saved times are ``solution.observables[name]``, (T, ...), without the states
        being kept. What one raises at t = 0 ends the call; later its value is missing, NaN, and
        the message says so.
    checkpoint : path, optional
        A file that the run leaves behind every quarter of a minute or so, and on Ctrl-C. The same
        call then goes on from it, bit for bit as if it had not stopped; another call is refused.
        The file is removed at the end. Observables are known by their names alone.
    threads : int, optional
        Threads for the kernels. Results do not depend on it.
    progress : bool
        Show a progress bar, in terminals and notebooks.
    until : Condition or callable, optional
        What ends the run before `t_end`: `meanfield.until.risk_below`, `steady`, `any`, or a
        function of (t, `ParticleMeasure`), continuous in time, where its sign changes. The end is
        located to about 1e-9 of the time, by steps of the method, and is the last saved time;
        ``solution.stopped_at`` and ``stopped_by`` say when and by what. At a temperature a run
        stops at the first two steps' end where the condition holds.

    Returns
    -------
    Solution
        ``stats`` holds ``rhs_evaluations``, ``steps``, of which ``implicit_steps``, ``field`` (how
        it was evaluated), ``field_error`` (the largest relative error of velocities and of the risk
        at the start, at the end, and at the saved state where neurons nearly stood, if one is far
        slower than both; the page on numerics says what it is relative to) and ``average_error``
        (relative, of E f*², half of which is in the risk); at a temperature also ``step_error``,
        the largest relative error of the risk and of E|w|² at a saved time, which makes the status
        inaccurate above 1e-2. A run that diverges, is interrupted or cannot be accurate says so in
        ``status`` and ``message``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, the evaluator does not serve the problem (the message names
        those that do), or the checkpoint is damaged or another call's; the message
        names it.
    OSError
        If the checkpoint's folder does not exist or cannot be written in.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> start = mf.gaussian_measure(problem, n=100, seed=1)
    >>> solution = mf.solve_mean_field(problem, start, t_end=1.0, save_at=[0.0, 1.0])
    >>> bool(solution.risk[1] < solution.risk[0])
    True
    """
    checks.instance(problem, "problem", Problem)
    check_state(measure, "measure", ParticleMeasure)
    measurements = Measurements(observables)
    request = Request.checked(
        t_end, save_at, keep, measurements, checkpoint, threads, progress, until=until
    )
    tolerances = Tolerances.checked(rtol, atol, method)
    spherical = checks.switch(spherical, "spherical")
    evaluator = check_evaluator(evaluator)
    if field_tolerance is not None:
        field_tolerance = checks.real(field_tolerance, "field_tolerance", above=0.0)
    seed = checks.integer(seed, "seed", minimum=0)
    if step is not None:
        step = checks.real(step, "step", above=0.0)
    free_energy = None
    if largest(problem.temperature) > 0.0:
        free_energy = FreeEnergy(problem, RateSeries(problem, None, request.t_end))
    if free_energy is not None:
        refuse_noise(problem, spherical)
        if request.stops is not None:
            request.stops.refuse_noise("Langevin dynamics")
        measurements.functions = {**free_energy.observables(), **measurements.functions}
    settings = tolerances._asdict() | {
        "spherical": spherical, "evaluator": evaluator, "field_tolerance": field_tolerance,
        "noise_seed": seed, "step": step,
    }  # fmt: skip

    def prepare() -> Description:
        flow = ParticleFlow(
            problem, measure, request, tolerances,
            spherical=spherical, evaluator=evaluator, field_tolerance=field_tolerance,
        )  # fmt: skip
        if free_energy is None:
            return flow
        free_energy.field = flow.field
        return LangevinRun(flow, step, seed)

    return carry_out("solve_mean_field", problem, measure, request, settings, prepare)


def refuse_noise(problem: Problem, spherical: bool) -> None:
    """Where noise at a temperature has no mean-field description."""
    if math.isinf(problem.dim):
        raise ValueError(
            "problem must have a finite dim with a temperature: noise on each of d coordinates "
            "adds 2τd to |w|²/d in a unit of time, which has no limit"
        )
    if spherical:
        raise ValueError("spherical must be False where the problem has a temperature")


class MeanFieldVelocity(NamedTuple):
    """da/dt (n,), du/dt (n, k), dr/dt (n,)."""

    a: Array
    u: Array
    r: Array


def mean_field_velocity(
    problem: Problem,
    measure: ParticleMeasure,
    *,
    evaluator: str | None = "auto",
    threads: int | None = None,
) -> MeanFieldVelocity:
    """The right-hand side of the mean-field equation; see `solve_mean_field`.

    Parameters
    ----------
    problem : Problem
    measure : ParticleMeasure
        n neurons.
    evaluator : str
        How the field is evaluated; see `solve_mean_field`.
    threads : int, optional
        Threads for the kernels. The numbers do not depend on it.

    Returns
    -------
    MeanFieldVelocity
        Per unit of time; da/dt is zero where the second layer is fixed.

    Raises
    ------
    TypeError, ValueError
        If the measure does not belong to the problem, or the evaluator does not serve it.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> velocity = mf.mean_field_velocity(problem, mf.gaussian_measure(problem, n=100))
    >>> bool((velocity.u > 0).all())  # every neuron turns towards the target
    True
    """
    checks.instance(problem, "problem", Problem)
    check_state(measure, "measure", ParticleMeasure)
    refuse_schedules(problem, "a velocity outside of a run")
    a, u, r = measure.arrays()
    out = MeanFieldVelocity(np.zeros_like(a), np.empty_like(u), np.empty_like(r))
    with thread_limit(checks.thread_count(threads)):
        choose_field(problem, measure, evaluator).velocity(a, u, r, *out)
    add_decay(problem, (a, u, r), out)
    return out
