"""The band of the risk alone, by an adjoint: no p² × p² covariance, so that wide networks have one.

With g' = −Jᵀg backwards from g(T) = ∂R/∂y, the risk at T has the variance

    η ∫₀ᵀ Var(g·step) ds.

The way back is here: it goes from one accepted step of the equations to the one before, which
`adjoint_run` has kept, and asks `adjoint` for Jᵀg and for Var(g·step) about the states on its way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.fluctuations.adjoint import (
    Covector,
    LinearFlow,
    LocalFlow,
    term_by_differences,
)
from meanfield.dynamics.fluctuations.drift import OverlapField
from meanfield.dynamics.fluctuations.sample import StepSample
from meanfield.dynamics.rates import RateSeries
from meanfield.gaussian.sobol import REPLICATES, error_of_mean
from meanfield.integrate.records import Checkpoint, Snapshot

Array = NDArray[np.float64]

# of the slopes of a Runge–Kutta step: its own interpolant in the middle
HALFWAY = (5.0 / 24.0, 1.0 / 6.0, 1.0 / 6.0, -1.0 / 24.0)


class Change(NamedTuple):
    """∂F/∂t halfway from the node before, and just before and after a node."""

    halfway: Covector
    before: Covector
    after: Covector


class Node(NamedTuple):
    """The ODE at an accepted step: its time, state (Q, u, a) and velocity.

    `arrival` is the velocity just before, another one where a rate jumps; `change` what rates that
    change make of it.
    """

    t: float
    y: Covector
    speed: Covector
    arrival: Covector
    change: Change | None


class Spread(NamedTuple):
    """Of the risk at the saved times: variance over η (T,), its error, and that of the adjoint."""

    variance: Array
    error: Array
    adjoint_error: float


class Backward:
    """Adjoints of the risk at several times, moved backwards together.

    Parameters
    ----------
    field : OverlapField
    rates : RateSeries
        Of the problem.
    batch_size : int
    samples, most, seed
        Of the samples, a fresh one at every place: what each of them misses averages out.
    differences : bool
        Whether the γ/p term is differentiated by differences, or by scores of the sample.
    start : ndarray, shape (m, m), or None
        The covariance of the start over η, if it has one.
    """

    def __init__(
        self, field: OverlapField, rates: RateSeries, batch_size: int, samples: int | None,
        most: int, seed: int, differences: bool, start: Array | None,
    ):  # fmt: skip
        self.field, self.rates, self.start = field, rates, start
        self.differences, self.seed = differences, seed
        self.first = rates(0.0).learning_rate

        def draw(seed: int) -> StepSample:
            return StepSample(field, batch_size, samples, most, seed)

        self.draw, self.sample = draw, draw(seed)
        self.ruled = self.sample.coarse is not None
        self.kept: LocalFlow | None = None

    def spread(
        self, nodes: Sequence[Node], saved: Array, checkpoint: Checkpoint | None = None
    ) -> Spread:
        """The variance of the risk at the saved times, all of them times of nodes.

        What is interrupted goes on from its checkpoint at the last node that it has passed.
        """
        way = self._resumed(checkpoint, nodes, saved)
        try:
            while way.n > 0:
                way = self._back(nodes, saved, way)
                if checkpoint is not None and checkpoint.due():
                    checkpoint.save(way.snapshot())
        except KeyboardInterrupt:
            if checkpoint is not None:
                checkpoint.save(way.snapshot())
            raise
        for index, aim in way.aims.items():
            if self.start is not None:
                way.parts[index] += self._by(self.start, aim.g)
        return self._gathered(way.parts, way.worst)

    def _resumed(self, checkpoint: Checkpoint | None, nodes: Sequence[Node], saved: Array) -> _Way:
        """Where to go on: from a snapshot, or the end."""
        snapshot = None if checkpoint is None else checkpoint.load()
        if snapshot is not None:
            return _Way.of(snapshot)
        parts = np.zeros((len(saved), 2 if self.ruled else REPLICATES))
        return self._joined(nodes, saved, _Way(len(nodes) - 1, {}, parts, 0.0))

    def _joined(self, nodes: Sequence[Node], saved: Array, way: _Way) -> _Way:
        """With the adjoints that begin at the present node."""
        node, aims = nodes[way.n], dict(way.aims)
        for index in np.flatnonzero(saved == node.t).tolist():
            g = LinearFlow(self.field, node.y).gradient()
            aims[index] = Aim(g, g.dot(node.arrival), None)
        return way._replace(aims=aims)

    def _back(self, nodes: Sequence[Node], saved: Array, way: _Way) -> _Way:
        """One step of all adjoints, to the node before."""
        node, before = nodes[way.n], nodes[way.n - 1]
        h, parts, worst, aims = node.t - before.t, way.parts.copy(), way.worst, dict(way.aims)
        middle = self.place(before.t + 0.5 * h, halfway(before, node), 2 * way.n - 1)
        left = self.place(before.t, before.y, 2 * way.n - 2)
        places = (self._before(node, 2 * way.n), middle, left)
        jumps = before.t in self.rates.breaks
        for index, aim in aims.items():
            moved = self._move(places, h, aim)
            g, parts[index] = moved.end, parts[index] + moved.gained
            rate = aim.rate - explained(before, node, (g, moved.inside, aim.g))
            worst = max(worst, off(rate, g, before.speed))
            rate += g.dot(before.arrival) - g.dot(before.speed)
            aims[index] = Aim(g, rate, None if jumps else moved.last)
        self.kept = None if jumps else left
        return self._joined(nodes, saved, _Way(way.n - 1, aims, parts, worst))

    def _before(self, node: Node, number: int) -> LocalFlow:
        """The place just before a node: that just after it, unless a rate jumps there."""
        if self.kept is not None:
            return self.kept
        jumps = node.t in self.rates.breaks
        return self.place(math.nextafter(node.t, 0.0) if jumps else node.t, node.y, number)

    def place(self, t: float, y: Covector, number: int = 0) -> LocalFlow:
        """The flow about a state at a time, with the sample of this number."""
        now = self.rates(t)
        self.field.set_rates(now)
        if not self.ruled:
            own = np.random.SeedSequence((self.seed, number)).generate_state(1)[0]
            self.sample = self.draw(int(own))
        slopes = term_by_differences(self.field, y) if self.differences else None
        return LocalFlow(self.field, self.sample, y, slopes, now.learning_rate / self.first)

    def _by(self, start: Array, g: Covector) -> float:
        """The variance of g at the start."""
        c = self.field.coordinates
        Q = 2.0 * g.Q - np.diag(np.diag(g.Q))  # an entry off the diagonal stands for two
        along = c.join(Q, g.u @ self.field.into.T, g.a)
        return float(along @ start @ along)

    def _move(self, places: tuple[LocalFlow, LocalFlow, LocalFlow], h: float, aim: Aim) -> _Moved:
        """One step backwards of length h (Runge and Kutta, fourth order).

        Where the γ/p term is differentiated by scores, that part of Jᵀ is an average over the
        sample of a place, and errs by something else at each. Among the stages of the step it would
        err in every one. Split from the rest, after Strang, it is asked for at the ends alone: a
        step of Euler's over h/2 before, by the sample there, and one after, by the sample at the
        other end. So each sample has a part in the two steps that meet at its node, what the
        samples miss averages out along the way, and what Euler's steps miss, the square of this
        part times h²/4, is seen in the adjoint's error.
        """
        right, middle, left = places
        g = aim.g
        first = right.variances(g) if aim.variances is None else aim.variances
        if not self.differences:
            g = g.plus(0.5 * h, right.scored(g))
        k1 = right.transposed(g)
        k2 = middle.transposed(g.plus(0.5 * h, k1))
        k3 = middle.transposed(g.plus(0.5 * h, k2))
        k4 = left.transposed(g.plus(h, k3))
        inside, end = g, g
        for k, share, whole in zip((k1, k2, k3, k4), HALFWAY, (1, 2, 2, 1), strict=True):
            inside, end = inside.plus(share * h, k), end.plus(whole * h / 6.0, k)
        if not self.differences:
            end = end.plus(0.5 * h, left.scored(end))
        last = left.variances(end)
        return _Moved(inside, end, h / 6.0 * (first + 4.0 * middle.variances(inside) + last), last)

    def _gathered(self, parts: Array, worst: float) -> Spread:
        if self.ruled:
            return Spread(parts[:, 0], np.abs(parts[:, 0] - parts[:, 1]), worst)
        errors = np.array([error_of_mean(each) for each in parts])
        return Spread(parts.mean(axis=1), errors, worst)


def halfway(before: Node, after: Node) -> Covector:
    """The state between two nodes, by the cubic through both and their velocities."""
    h = after.t - before.t
    mean = before.y.plus(1.0, after.y)
    bend = before.speed.plus(-1.0, after.arrival)
    return Covector(*(0.5 * x + 0.125 * h * v for x, v in zip(mean, bend, strict=True)))


class Aim(NamedTuple):
    """An adjoint g on its way; g·F, as it changes by the rates alone; and Var(g·step), if known."""

    g: Covector
    rate: float
    variances: Array | None


class _Moved(NamedTuple):
    """An adjoint in the middle and at the end of its step, ∫ Var(g·step), and that at the end."""

    inside: Covector
    end: Covector
    gained: Array
    last: Array


class _Way(NamedTuple):
    """How far the adjoints are: at which node, each of them, the variances so far, the error."""

    n: int
    aims: dict[int, Aim]
    parts: Array
    worst: float

    def snapshot(self) -> Snapshot:
        """For a checkpoint."""
        arrays: dict[str, Array] = {"parts": self.parts}
        for index, aim in self.aims.items():
            arrays |= {f"{name}.{index}": part for name, part in aim.g._asdict().items()}
            if aim.variances is not None:
                arrays[f"variances.{index}"] = aim.variances
        rates = {str(index): aim.rate for index, aim in self.aims.items()}
        return Snapshot({"n": self.n, "worst": self.worst, "rates": rates}, arrays)

    @classmethod
    def of(cls, snapshot: Snapshot) -> _Way:
        """From a checkpoint."""
        header, arrays = snapshot
        aims = {}
        for index, rate in header["rates"].items():
            g = Covector(*(arrays[f"{name}.{index}"] for name in Covector._fields))
            aims[int(index)] = Aim(g, rate, arrays.get(f"variances.{index}"))
        return cls(header["n"], aims, arrays["parts"], header["worst"])


def off(rate: float, g: Covector, speed: Covector) -> float:
    """By how much g·F is not what it should be, relative to its factors."""
    size = math.sqrt(g.dot(g) * speed.dot(speed))
    return abs(g.dot(speed) - rate) / size if size > 0.0 else 0.0


def explained(before: Node, after: Node, g: tuple[Covector, Covector, Covector]) -> float:
    """∫ g·∂F/∂t between two nodes, of g at the first, halfway and at the second."""
    if before.change is None or after.change is None:
        return 0.0
    left, inside, right = g
    total = left.dot(before.change.after) + right.dot(after.change.before)
    return (after.t - before.t) / 6.0 * (total + 4.0 * inside.dot(after.change.halfway))
