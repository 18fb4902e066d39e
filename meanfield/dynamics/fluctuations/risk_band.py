"""The scatter of SGD's risk about its overlap ODE, for networks of any width."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.dynamics.accuracy import Estimate
from meanfield.dynamics.fluctuations.adjoint import Covector
from meanfield.dynamics.fluctuations.band import Backward, Node, Spread
from meanfield.dynamics.fluctuations.coordinates import Coordinates
from meanfield.dynamics.fluctuations.drift import OverlapField, smooth_noise
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.flow import OverlapFlow
from meanfield.dynamics.overlaps.noise import choose_noise
from meanfield.dynamics.overlaps.record import OverlapRun
from meanfield.dynamics.run import Advance, Request, Result, Tolerances, carry_out, check_gram
from meanfield.dynamics.solution import Solution
from meanfield.integrate import Status, Trajectory, integrate
from meanfield.integrate.interrupts import raising_on_sigterm
from meanfield.integrate.records import Checkpoint
from meanfield.problem import Problem, refuse_schedules
from meanfield.states import Overlaps, check_state

Array = NDArray[np.float64]

DIFFERENCES_WIDTH = 10  # up to which differences of a closed γ/p term are cheaper than scores
POINTS = 2**12  # of a sample, at most, by default: each place has its own
ROOM = 1e-9  # of N: what scores need between the overlaps and the edge of the cone
STD_ERROR, ADJOINT_ERROR = 0.05, 1e-2  # allowed under success


@raising_on_sigterm()
def solve_risk_band(
    problem: Problem,
    overlaps: Overlaps,
    t_end: float,
    *,
    save_at: ArrayLike | int | None = None,
    rtol: float = 1e-6,
    spherical: bool = False,
    batch_size: int = 1,
    samples: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool = False,
) -> Solution[Overlaps, Overlaps]:
    """The overlap ODE and the standard deviation of SGD's risk about it, for wide networks too.

    What `solve_fluctuations` says of the risk's scatter, without the covariance Σ of all overlaps,
    which has some p⁴/4 entries. With η = γ/(p d), J = ∂F/∂y the ODE's Jacobian and g one step,

        Var R(T) = η ∫₀ᵀ Var(ψ·g) ds,    dψ/ds = −Jᵀψ,    ψ(T) = ∂R/∂y.

    Parameters
    ----------
    problem : Problem
        With γ > 0, constant, a finite ``dim`` and no temperature.
    overlaps : Overlaps
        The start of all runs, with Q (p, p), M (p, k), P (k, k) equal to the target's Gram matrix,
        a (p,). It must lie inside the cone of overlaps where the γ/p term is sampled.
    t_end : float
        Final time, > 0, in units where one step of SGD takes γ/(p d).
    save_at : array_like, int or None
        Times to record, or how many equally spaced ones; 51 by default. Each costs an adjoint of
        its own, back to the start.
    rtol : float
        Tolerance on the ODE's local error, > 0; its steps are the adjoint's.
    spherical : bool
        Keep |w_i|² = d, as projected SGD w ← √d w/|w| does. The start is projected first.
    batch_size : int
        Samples that a step of SGD averages over.
    samples : int or None
        Points of each sample of one step, at least 16, rounded up to a power of two; by default
        2,048 or 4,096, a fresh sample at every place. Smooth functions of few pre-activations have
        a Gauss rule.
    seed : int
        Seed of the samples, ≥ 0.
    threads : int or None
        Threads for the compiled kernels; results do not depend on it, to the last bit.
    progress : bool
        Show a progress bar of the ODE.

    Returns
    -------
    Solution
        ``risk`` and states are the ODE's, ``observables["risk_std"]`` (T,) the risk's standard
        deviation at ``problem.dim``; `Solution.at_dim` says it for another. In ``stats``, beside
        those of `solve_overlaps`: ``risk_std_error``, of the samples (twice the standard error), or
        of a Gauss rule, relative to the largest ``risk_std``; ``adjoint_error``, by how much ψ·F
        changes along the way, which is constant, relative to |ψ| |F|; ``nodes``, the steps.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the overlaps do not belong to the problem.

    Notes
    -----
    Without the γ/p term the flow descends the risk, whose Hessian is symmetric: Jᵀψ costs as much
    as two right-hand sides. The γ/p term is differentiated by differences where it has a closed
    form and p ≤ 10, else by the score of the Gaussian law. The bias, and the scatter of Q, M and
    a, are left to `solve_fluctuations`.

    Source of the expansion: van Kampen; see `solve_fluctuations`.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=1.0)
    >>> start = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.3], [-0.2]], [[1.0]], [1.0, 1.0])
    >>> narrow = mf.solve_risk_band(problem, start, 1.0, save_at=3)
    >>> whole = mf.solve_fluctuations(problem, start, 1.0, save_at=3)
    >>> off = narrow.observables["risk_std"] / whole.observables["risk_std"].clip(1e-9) - 1
    >>> bool(abs(off[1:]).max() < 1e-4)
    True
    """
    request = Request.checked(t_end, save_at, threads=threads, progress=progress)
    tolerances = Tolerances.checked(rtol, None)
    settings: dict[str, Any] = {
        "spherical": checks.switch(spherical, "spherical"),
        "batch_size": checks.integer(batch_size, "batch_size"),
        "samples": samples, "seed": checks.integer(seed, "seed", minimum=0),
    }  # fmt: skip
    flow, backward = _make(problem, overlaps, **settings)
    return carry_out(
        "solve_risk_band", problem, overlaps, request, tolerances._asdict() | settings,
        lambda: BandRun(flow, backward, overlaps, request, tolerances),
    )  # fmt: skip


def _make(
    problem: Problem, overlaps: Overlaps, spherical: bool, batch_size: int, samples: Any, seed: int
) -> tuple[OverlapFlow, Backward]:
    """The ODE and its adjoint; refuses what they do not cover."""
    refuse_schedules(checks.instance(problem, "problem", Problem), "its fluctuations")
    check_state(overlaps, "overlaps", Overlaps)
    check_gram(problem, overlaps.P, "overlaps")
    if problem.learning_rate == 0.0 or math.isinf(problem.dim) or problem.temperature > 0.0:
        raise ValueError(
            "problem must have a learning_rate above 0, a finite dim and temperature 0 for a band "
            f"of width √(γ/(p d)), got γ = {problem.learning_rate:g}, dim = {problem.dim:g}, "
            f"temperature {problem.temperature:g}"
        )
    p = overlaps.p
    averages = OverlapAverages(problem)
    noise = choose_noise(averages, problem, p, True, "auto", samples, seed)
    c = Coordinates(p, overlaps.k, overlaps.a, problem.second_layer_rate > 0.0)
    field = OverlapField(problem, c, averages, noise, batch_size, spherical)
    differences = smooth_noise(noise, p, DIFFERENCES_WIDTH) and p <= DIFFERENCES_WIDTH
    flow = OverlapFlow(problem, overlaps, averages, noise, spherical, batch_size)
    N = flow.read(flow.y0).N
    assert N is not None
    if not differences and np.linalg.eigvalsh(N)[0] < ROOM * np.abs(N).max():
        raise ValueError(
            "overlaps must lie inside the cone, that is Q − M P⁻¹ Mᵀ positive definite, where the "
            "γ/p term is differentiated by scores"
        )
    return flow, Backward(field, batch_size, samples, POINTS, seed, differences)


class BandRun(OverlapRun):
    """The overlap equations forwards, then the adjoints backwards."""

    name, title = "risk band", "overlap ODEs, for a band"

    def __init__(
        self, flow: OverlapFlow, backward: Backward, start: Overlaps, request: Request,
        tolerances: Tolerances,
    ):  # fmt: skip
        super().__init__(flow, start, request, tolerances)
        self.backward, self.times, self.nodes = backward, [0.0], list[Node]()

    def run(self, advance: Advance, checkpoint: Checkpoint | None) -> Trajectory:
        """See `Description`."""

        def reach(t: float) -> None:
            self.times.append(t)
            advance(t)

        saved = self.request.times
        inside = saved[(saved > 0.0) & (saved < self.duration)]
        return integrate(
            self.flow.velocity, self.flow.y0, self.request.t_end, self.request.times, self.observe,
            **self.tolerances._asdict(), advance=reach, watch=self.watch, stops=tuple(inside),
        )  # fmt: skip

    def watch(self, y: Array, slope: Array) -> float:
        """Keep every accepted step."""
        flow, now = self.flow, self.flow.read(y)
        moving, speed = flow.parts(slope)
        rank, p = flow.rank, flow.p
        u, du = now.block[:, :rank].copy(), speed[:, :rank].copy()
        half = du @ u.T
        dN = speed[:, rank:]
        da = moving[:, 0].copy() if flow.moves_a else np.zeros(p)
        state = Covector(now.Q, u, now.a.copy())
        # times come with `advance`, one after the other
        self.nodes.append(Node(0.0, state, Covector(half + half.T + 0.5 * (dN + dN.T), du, da)))
        return super().watch(y, slope)

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`."""
        found = super().result(trajectory)
        spread, remark = self._spread(trajectory)
        eta = self.flow.problem.learning_rate / (self.flow.p * self.flow.problem.dim)
        std = np.sqrt(np.maximum(spread.variance, 0.0))
        off = float((0.5 * spread.error / np.where(std > 0.0, std, 1.0)).max(initial=0.0))
        largest = float(std.max(initial=0.0))
        errors = {
            "risk_std_error": off / largest if largest != 0.0 else 0.0,
            "adjoint_error": spread.adjoint_error,
        }  # fmt: skip
        estimates = (
            Estimate("the risk's scatter", errors["risk_std_error"], STD_ERROR, 0.01),
            Estimate("adjoints", spread.adjoint_error, ADJOINT_ERROR, 1e-3),
        )
        return found._replace(
            stats=found.stats | errors | {"nodes": len(self.nodes)}, estimates=estimates,
            remarks=found.remarks + remark, observables={"risk_std": math.sqrt(eta) * std},
        )  # fmt: skip

    def _spread(self, trajectory: Trajectory) -> tuple[Spread, str]:
        """The variance of the risk at the times reached, or NaN and why there is none."""
        nothing = np.full(len(trajectory.t), np.nan)
        if trajectory.status is Status.INTERRUPTED:
            return Spread(nothing, nothing, 0.0), "; no band, for its adjoints start at the end"
        nodes = [node._replace(t=t) for t, node in zip(self.times, self.nodes, strict=False)]
        try:
            return self.backward.spread(nodes, trajectory.t), ""
        except np.linalg.LinAlgError:
            remark = "; no band: the overlaps met the edge of their cone, where there are no scores"
            return Spread(nothing, nothing, math.nan), remark
