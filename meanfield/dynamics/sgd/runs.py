"""Many runs of SGD side by side, each with its own stream: in R^d, or exact in law."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from meanfield.activations.own import compiled_unit
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.rates import Rates
from meanfield.dynamics.sgd.clock import rate_rows
from meanfield.kernels.activations.units import SQUARE, Unit
from meanfield.kernels.dynamics.sgd.law import advance_law, record_law
from meanfield.kernels.dynamics.sgd.pace import Pace
from meanfield.kernels.dynamics.sgd.step import Step
from meanfield.kernels.dynamics.sgd.weights import advance_weights, current_weights, record_weights
from meanfield.kernels.dynamics.sgd.wide import advance_wide, current_weights_wide
from meanfield.problem import Problem
from meanfield.schedules.base import Schedule
from meanfield.schedules.laws import AdagradNorm
from meanfield.states import Overlaps, Weights
from meanfield.states.factors import split
from meanfield.targets import label_address, units_of

Array = NDArray[np.float64]

COMMON = Pace(0.0, 0.0, 0.0, 0.0)  # of runs that share one clock
WIDE = 16  # up to this dimension loops along the neurons are the faster ones


class Runs(Protocol):
    """What the loop over time needs of a simulator."""

    kind: str
    description: str
    fixed: dict[str, Array]
    risk_correction: RiskCorrection
    work: float  # rough cost of a step of all runs, in nanoseconds
    moving: tuple[str, ...]  # the arrays that say where the runs are
    done: NDArray[np.int64]  # of the last call, how many steps each run made
    own: (
        Array  # (runs, 4), a clock for each run if it sets its own pace, see `Pace`; else (runs, 0)
    )

    def advance(
        self, steps: int, rates: Array | None = None, pace: Pace = COMMON
    ) -> NDArray[np.int64]:
        """Move every run by `steps` updates; how many each made before its error overflowed.

        `rates` (steps, 6) are read as `at_step` says; None: those of the `Step`. By a pace of its
        own a run makes fewer if it arrives before.
        """

    def record(self) -> tuple[dict[str, Array], Array]:
        """Fields of the present states, runs first, and their risk (runs,)."""


def make_step(problem: Problem, p: int, batch_size: int, spherical: bool) -> Step:
    """One update of the problem at width p, in numbers; 0 for rates that change along the run.

    Whether weights decay and whether noise is added must be known of the run as a whole: where
    those rates change, `keep` and `langevin` are infinite, which is neither 1 nor 0.
    """
    rates = {name: getattr(problem, name) for name in Rates._fields[:-1]}
    rates["noise"] = problem.target.noise
    constant = {n: 0.0 if isinstance(v, Schedule) else v for n, v in rates.items()}
    if isinstance(problem.learning_rate, AdagradNorm):
        constant["learning_rate"] = problem.learning_rate.first
    row = rate_rows(constant, p, float(problem.dim))[0].tolist()
    row[3] = math.inf if isinstance(problem.weight_decay, Schedule) else row[3]
    row[5] = math.inf if isinstance(problem.temperature, Schedule) else row[5]
    target, sigma = problem.target, compiled_unit(problem.student)
    units = units_of(target)
    tau = Unit(-1, 0.0, 0, 0) if units is None else compiled_unit(units.link)
    return Step(
        *sigma,
        *tau,
        label=label_address(target) if units is None else 0,
        gain=row[0],
        second=row[1],
        noise=row[2],
        d=float(problem.dim),
        batch=batch_size,
        spherical=spherical,
        keep=row[3],
        second_keep=row[4],
        langevin=row[5],
        clip_norm=problem.clip_norm,
    )


def rates_of(step: Step, rates: Array | None) -> Array:
    """The rates of steps; where None are given, the one row that a `Step` has."""
    if rates is not None:
        return rates
    return np.array(
        [[step.gain, step.second, step.noise, step.keep, step.second_keep, step.langevin]]
    )  # fmt: skip


class RiskCorrection:
    """The risk where the kernels have no closed form for it, and its error in the first run."""

    def __init__(self, problem: Problem):
        self.averages = OverlapAverages(problem)
        self.error = 0.0  # at the last record

    def correct(self, Q: Array, M: Array, a: Array, risk: Array) -> None:
        """Overwrite risk (runs,) for overlaps Q (runs, p, p), M (runs, p, k), a (runs, p)."""
        if self.averages.compiled:
            return
        self.error = 0.0
        for run in range(len(risk)):
            found = self.averages.risk(Q[run], M[run], a[run], with_error=run == 0)
            risk[run], self.error = found[0], max(self.error, found[1])


def second_layer(problem: Problem) -> Array:
    """a* of a target that is a sum of units, (k,); nothing for another."""
    units = units_of(problem.target)
    weights = np.array([] if units is None else units.weights, dtype=np.float64)
    weights.flags.writeable = False  # always: kernels are compiled once more for writable ones
    return weights


def own_clocks(problem: Problem, runs: int) -> Array:
    """A clock for each run, at its start, if γ depends on what a run meets; see `Runs`."""
    return np.zeros((runs, 4 if isinstance(problem.learning_rate, AdagradNorm) else 0))


def make_streams(seed: int, runs: int) -> NDArray[np.uint64]:
    """One stream a run, (runs, 4): run i has the same one however many runs there are."""
    children = np.random.SeedSequence(seed).spawn(runs)
    return np.array([child.generate_state(4, np.uint64) for child in children])


class WeightsRuns:
    """SGD in R^d (description 1)."""

    description = "SGD in R^d"
    moving: tuple[str, ...] = ("W", "a", "X", "C", "scale", "words", "own")

    def __init__(
        self, problem: Problem, start: Weights, step: Step, words: NDArray[np.uint64], kind: str
    ):
        runs, (p, d), b = len(words), start.W.shape, step.batch
        self.step, self.words, self.kind = step, words, kind
        self.W_star, self.P = start.W_star, np.asarray(problem.target.gram)
        self.a_star = second_layer(problem)
        self.risk_correction = RiskCorrection(problem)
        W = start.W
        if step.spherical:
            W = W * (math.sqrt(d) / _lengths((W * W).sum(axis=1), "W")[:, None])
        self.W, self.a = np.tile(W, (runs, 1, 1)), np.tile(start.a, (runs, 1))
        self.X, self.C = np.zeros((runs, b, d)), np.zeros((runs, b, p))
        self.scale = np.ones((runs, p if step.spherical or step.keep != 1.0 else 0))
        self.fixed = {"W_star": self.W_star} if kind == "Weights" else {"P": self.P}
        self.done, self.own = np.zeros(runs, dtype=np.int64), own_clocks(problem, runs)
        self.work = runs * b * p * d * 0.2

    def advance(
        self, steps: int, rates: Array | None = None, pace: Pace = COMMON
    ) -> NDArray[np.int64]:
        """See `Runs`."""
        rows = rates_of(self.step, rates)
        self.done[:] = 0
        advance_weights(
            self.step, rows, pace, self.W_star, self.a_star, self.W, self.X, self.C, self.scale,
            self.a, self.own, self.words, steps, self.done,
        )  # fmt: skip
        return self.done

    def weights(self) -> Array:
        """The present weights of the runs, (runs, p, d)."""
        out = np.empty((*self.a.shape, len(self.X[0, 0])))
        current_weights(self.W, self.X, self.C, self.scale, out)
        return out

    def record(self) -> tuple[dict[str, Array], Array]:
        """See `Runs`."""
        (runs, p), k = self.a.shape, len(self.P)
        W, risk = self.weights(), np.empty(runs)
        squares = self.step.sigma == self.step.tau == SQUARE and W.shape[2] < p
        room = 0 if squares and self.kind == "Weights" else p
        Q, M = np.empty((runs, room, room)), np.empty((runs, room, k))
        record_weights(
            self.step, self.W_star, self.P, self.a_star, W, self.a, squares, Q, M, risk
        )  # fmt: skip
        self.risk_correction.correct(Q, M, self.a, risk)
        if self.kind == "Weights":
            return {"W": W, "a": self.a.copy()}, risk
        return {"Q": Q, "M": M, "a": self.a.copy()}, risk


class WideRuns(WeightsRuns):
    """The same for many neurons in few dimensions: W is held as (runs, d, p)."""

    @staticmethod
    def suits(problem: Problem, step: Step, p: int) -> bool:
        """Whether it is the faster one, and knows what a step has to do."""
        plain = step.batch == 1 and not step.spherical and step.keep == 1.0 and step.langevin == 0.0
        plain = plain and not isinstance(problem.learning_rate, AdagradNorm)
        return plain and step.d <= WIDE and p >= 8 * step.d

    def __init__(
        self, problem: Problem, start: Weights, step: Step, words: NDArray[np.uint64], kind: str
    ):
        super().__init__(problem, start, step, words, kind)
        self.W = np.ascontiguousarray(self.W.swapaxes(1, 2))

    def advance(
        self, steps: int, rates: Array | None = None, pace: Pace = COMMON
    ) -> NDArray[np.int64]:
        """See `Runs`."""
        rows = rates_of(self.step, rates)
        self.done[:] = 0
        advance_wide(
            self.step, rows, self.W_star, self.a_star, self.W, self.X, self.C, self.a, self.words,
            steps, self.done,
        )  # fmt: skip
        return self.done

    def weights(self) -> Array:
        """See `WeightsRuns`."""
        out = np.empty((*self.a.shape, len(self.X[0, 0])))
        current_weights_wide(self.W, self.X, self.C, out)
        return out


class LawRuns:
    """The chain of the overlaps (description 2): the same law, at a cost that d does not enter."""

    description = "SGD exact in law"
    kind = "Overlaps"
    moving: tuple[str, ...] = ("u", "T", "a", "words", "own")

    def __init__(self, problem: Problem, start: Overlaps, step: Step, words: NDArray[np.uint64]):
        runs, p = len(words), start.p
        self.step, self.words = step, words
        self.B, self.P = problem.target.basis, np.asarray(problem.target.gram)
        self.a_star = second_layer(problem)
        self.risk_correction = RiskCorrection(problem)
        u, S = split_overlaps(problem, start, step.spherical)
        T = np.zeros((p + 1, p))
        T[:p] = S.T
        self.u, self.T = np.tile(u, (runs, 1, 1)), np.tile(T, (runs, 1, 1))
        self.a = np.tile(start.a, (runs, 1))
        self.fixed = {"P": self.P}
        self.done, self.own = np.zeros(runs, dtype=np.int64), own_clocks(problem, runs)
        self.work = runs * step.batch * (100.0 + 30.0 * p + 6.0 * p * p)

    def advance(
        self, steps: int, rates: Array | None = None, pace: Pace = COMMON
    ) -> NDArray[np.int64]:
        """See `Runs`."""
        rows = rates_of(self.step, rates)
        self.done[:] = 0
        advance_law(
            self.step, rows, pace, self.B, self.a_star, self.u, self.T, self.a, self.own,
            self.words, steps, self.done,
        )  # fmt: skip
        return self.done

    def record(self) -> tuple[dict[str, Array], Array]:
        """See `Runs`."""
        (runs, p), k = self.a.shape, len(self.P)
        Q, M, risk = np.empty((runs, p, p)), np.empty((runs, p, k)), np.empty(runs)
        record_law(self.step, self.B, self.P, self.a_star, self.u, self.T, self.a, Q, M, risk)
        self.risk_correction.correct(Q, M, self.a, risk)
        return {"Q": Q, "M": M, "a": self.a.copy()}, risk


def side_by_side(each: Sequence[Runs]) -> Runs:
    """The same runs in one simulator."""
    first = each[0]
    for name in first.moving:
        setattr(first, name, np.concatenate([getattr(one, name) for one in each]))
    first.done = np.zeros(len(each), dtype=np.int64)
    first.work = sum(one.work for one in each)
    return first


def split_overlaps(problem: Problem, start: Overlaps, spherical: bool) -> tuple[Array, Array]:
    """u (p, rank P) and lower triangular S (p, p) with M = u Bᵀ and Q = u uᵀ + S Sᵀ."""
    u, S = split(problem.target.basis, start.M, start.Q)
    if spherical:
        lengths = _lengths((u * u).sum(axis=1) + (S * S).sum(axis=1), "Q")[:, None]
        u, S = u / lengths, S / lengths
    return u, S


def _lengths(squares: Array, name: str) -> Array:
    if (squares <= 0.0).any():
        raise ValueError(f"{name} of the start has a zero neuron, which no sphere holds")
    return np.sqrt(squares)
