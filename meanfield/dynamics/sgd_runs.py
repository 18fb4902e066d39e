"""Many runs of SGD side by side, each with its own stream: in R^d, or exact in law."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from meanfield.factors import split
from meanfield.kernels.sgd_law import advance_law, record_law
from meanfield.kernels.sgd_step import Step
from meanfield.kernels.sgd_weights import advance_weights, record_weights
from meanfield.problem import Problem
from meanfield.states import Overlaps, Weights

Array = NDArray[np.float64]


class Runs(Protocol):
    """What the loop over time needs of a simulator."""

    kind: str
    description: str
    fixed: dict[str, Array]
    work: float  # rough cost of a step of all runs, in nanoseconds
    moving: tuple[str, ...]  # the arrays that say where the runs are
    done: NDArray[np.int64]  # of the last call, how many steps each run made

    def advance(self, steps: int) -> NDArray[np.int64]:
        """Move every run by `steps` updates; how many each made before its error overflowed."""

    def record(self) -> tuple[dict[str, Array], Array]:
        """Fields of the present states, runs first, and their risk (runs,)."""


def make_step(problem: Problem, p: int, batch_size: int, spherical: bool) -> Step:
    """One update of the problem at width p, in numbers."""
    d, gamma = float(problem.dim), problem.learning_rate
    return Step(
        sigma=problem.student.code,
        tau=problem.committee.link.code,
        gain=gamma / p,
        second=problem.second_layer_rate * gamma / (p * d),
        noise=math.sqrt(problem.target.noise),
        d=d,
        batch=batch_size,
        spherical=spherical,
    )


def make_streams(seed: int, runs: int) -> NDArray[np.uint64]:
    """One stream a run, (runs, 4): run i has the same one however many runs there are."""
    children = np.random.SeedSequence(seed).spawn(runs)
    return np.array([child.generate_state(4, np.uint64) for child in children])


class WeightsRuns:
    """SGD in R^d (description 1)."""

    description = "SGD in R^d"
    moving: tuple[str, ...] = ("W", "a", "X", "C", "scale", "words")

    def __init__(
        self, problem: Problem, start: Weights, step: Step, words: NDArray[np.uint64], kind: str
    ):
        runs, (p, d), b = len(words), start.W.shape, step.batch
        self.step, self.words, self.kind = step, words, kind
        self.W_star, self.P = start.W_star, np.asarray(problem.target.gram)
        self.a_star = np.asarray(problem.committee.weights)
        W = start.W
        if step.spherical:
            W = W * (math.sqrt(d) / _lengths((W * W).sum(axis=1), "W")[:, None])
        self.W, self.a = np.tile(W, (runs, 1, 1)), np.tile(start.a, (runs, 1))
        self.X, self.C = np.zeros((runs, b, d)), np.zeros((runs, b, p))
        self.scale = np.ones((runs, p if step.spherical else 0))
        self.fixed = {"W_star": self.W_star} if kind == "Weights" else {"P": self.P}
        self.done = np.zeros(runs, dtype=np.int64)
        self.work = runs * b * p * d * 0.2

    def advance(self, steps: int) -> NDArray[np.int64]:
        """See `Runs`."""
        self.done[:] = 0
        advance_weights(
            self.step, self.W_star, self.a_star, self.W, self.X, self.C, self.scale, self.a,
            self.words, steps, self.done,
        )  # fmt: skip
        return self.done

    def record(self) -> tuple[dict[str, Array], Array]:
        """See `Runs`."""
        (runs, p), k = self.a.shape, len(self.P)
        W, risk = np.empty_like(self.W), np.empty(runs)
        Q, M = np.empty((runs, p, p)), np.empty((runs, p, k))
        record_weights(
            self.step, self.W_star, self.P, self.a_star, self.W, self.X, self.C, self.scale,
            self.a, W, Q, M, risk,
        )  # fmt: skip
        if self.kind == "Weights":
            return {"W": W, "a": self.a}, risk
        return {"Q": Q, "M": M, "a": self.a}, risk


class LawRuns:
    """The chain of the overlaps (description 2): the same law, at a cost that d does not enter."""

    description = "SGD exact in law"
    kind = "Overlaps"
    moving: tuple[str, ...] = ("u", "T", "a", "words")

    def __init__(self, problem: Problem, start: Overlaps, step: Step, words: NDArray[np.uint64]):
        runs, p = len(words), start.p
        self.step, self.words = step, words
        self.B, self.P = problem.target.basis, np.asarray(problem.target.gram)
        self.a_star = np.asarray(problem.committee.weights)
        u, S = split_overlaps(problem, start, step.spherical)
        T = np.zeros((p + 1, p))
        T[:p] = S.T
        self.u, self.T = np.tile(u, (runs, 1, 1)), np.tile(T, (runs, 1, 1))
        self.a = np.tile(start.a, (runs, 1))
        self.fixed = {"P": self.P}
        self.done = np.zeros(runs, dtype=np.int64)
        self.work = runs * step.batch * (100.0 + 30.0 * p + 6.0 * p * p)

    def advance(self, steps: int) -> NDArray[np.int64]:
        """See `Runs`."""
        self.done[:] = 0
        advance_law(
            self.step, self.B, self.a_star, self.u, self.T, self.a, self.words, steps, self.done
        )
        return self.done

    def record(self) -> tuple[dict[str, Array], Array]:
        """See `Runs`."""
        (runs, p), k = self.a.shape, len(self.P)
        Q, M, risk = np.empty((runs, p, p)), np.empty((runs, p, k)), np.empty(runs)
        record_law(self.step, self.B, self.P, self.a_star, self.u, self.T, self.a, Q, M, risk)
        return {"Q": Q, "M": M, "a": self.a}, risk


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
