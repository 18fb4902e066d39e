"""The overlap equations for many runs at once, with all that a random step of SGD needs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.overlaps.averages import Network, OverlapAverages
from meanfield.dynamics.overlaps.noise import ErfNoise, Noise, SquareNoise
from meanfield.dynamics.rates import Rates
from meanfield.kernels.dynamics.diffusion import (
    many_drifts,
    many_erf_terms,
    many_fields,
    many_risks,
)
from meanfield.problem import Problem
from meanfield.schedules.base import largest

Array = NDArray[np.float64]


class Runs(NamedTuple):
    """Principal coordinates u (runs, p, rank), perpendicular overlaps N (runs, p, p), a (runs, p).

    A state, a velocity, or a difference of states.
    """

    u: Array
    N: Array
    a: Array

    def plus(self, h: float, other: Runs) -> Runs:
        """self + h other."""
        return Runs(*(x + h * y for x, y in zip(self, other, strict=True)))

    def finite(self) -> bool:
        """Whether every number is."""
        return all(np.isfinite(part).all() for part in self)

    def some(self, which: NDArray[Any]) -> Runs:
        """Those of some runs."""
        return Runs(*(part[which] for part in self))


class Averages(NamedTuple):
    """At a state: w_i moves by Σ_j D_ij w_j + E_i in the mean, without decay and spheres.

    D (runs, p, p), E (runs, p, rank); `slopes` ⟨σ'σ'(ε² + Δ)⟩ (runs, p, p); `fields` ⟨σε⟩.
    """

    D: Array
    E: Array
    slopes: Array
    fields: Array

    def some(self, which: NDArray[Any]) -> Averages:
        """Those of some runs."""
        return Averages(*(part[which] for part in self))


class DiffusionField:
    """Averages and mean motion of runs.

    Parameters
    ----------
    problem : Problem
    averages : OverlapAverages
        Of the problem.
    noise : Noise
        The form of the γ/p term.
    batch_size : int
    spherical : bool
        Keep every |w_i|² at d.
    """

    def __init__(
        self, problem: Problem, averages: OverlapAverages, noise: Noise, p: int, batch_size: int,
        spherical: bool,
    ):  # fmt: skip
        self.target, self.averages, self.noise = problem.target, averages, noise
        self.basis = np.ascontiguousarray(problem.target.basis)
        self.width, self.batch = p, batch_size
        # a step keeps this share of its squared length outside the directions that are known
        self.outside = 1.0 - (p + self.basis.shape[1]) / problem.dim
        self.spherical = spherical
        self.moves_a = largest(problem.second_layer_rate) > 0.0

    def set_rates(self, now: Rates) -> None:
        """Use these rates in the averages and velocities that follow."""
        self.present, self.noise.label_noise = now, now.noise
        self.rate = now.learning_rate / (self.width * self.batch)

    def average(self, runs: Runs) -> Averages:
        """All averages at a state."""
        u, N, a = runs
        count, p = a.shape
        Q, fields = u @ u.swapaxes(1, 2) + N, np.zeros((count, p))
        averages = self.averages
        if averages.compiled:
            M, k = u @ self.basis.T, len(self.basis)
            D, E = np.empty((count, p, p)), np.empty((count, p, k))
            fixed = (Q, M, averages.P, a, averages.e_target)
            many_drifts(*averages.codes, *fixed, D, E)
            if self.moves_a:
                many_fields(*averages.codes, *fixed, fields)
            E = E @ self.basis
        else:
            networks = [_network(*one) for one in zip(u, N, a, Q, strict=True)]
            found = [averages.drift(network) for network in networks]
            D, E = (np.array(part) for part in zip(*found, strict=True))
            if self.moves_a:
                fields = np.array([averages.fields(network) for network in networks])
        return Averages(D, E, self._slopes(runs, Q), fields)

    def _slopes(self, runs: Runs, Q: Array) -> Array:
        """The γ/p term without γ/p."""
        u, N, a = runs
        noise, averages, M = self.noise, self.averages, u @ self.basis.T
        if isinstance(noise, ErfNoise):
            out = np.empty_like(Q)
            many_erf_terms(
                noise.tau, Q, M, averages.P, a, averages.e_target, noise.label_noise, out
            )
            return out
        if isinstance(noise, SquareNoise):
            P = np.broadcast_to(averages.P, (len(a), *averages.P.shape))
            C = np.block([[Q, M], [M.swapaxes(1, 2), P]])
            shares = np.broadcast_to(averages.e_target, (len(a), len(averages.e_target)))
            return noise.terms(C, np.hstack((-a / a.shape[1], shares)), a.shape[1])
        return np.array([noise.term(_network(*one)) for one in zip(u, N, a, Q, strict=True)])

    def velocity(self, runs: Runs, now: Averages) -> Runs:
        """The mean motion F, but for what impulses add by themselves, (k + p)/d of the γ/p term."""
        u, N, a = runs
        rates = self.present
        D = now.D - rates.weight_decay * np.eye(a.shape[1])
        du, half = D @ u + now.E, D @ N
        dN = half + half.swapaxes(1, 2)
        dN = dN + self.rate * self.outside * a[:, :, None] * a[:, None, :] * now.slopes
        if self.spherical:
            # w ← √d w/|w| takes back half the growth of |w_i|², which is 1; an impulse's part of
            # it is taken by the impulse
            growth = 2.0 * (u * du).sum(axis=2) + np.diagonal(dN, axis1=1, axis2=2)
            du = du - 0.5 * growth[:, :, None] * u
            dN = dN - 0.5 * N * (growth[:, :, None] + growth[:, None, :])
        da = rates.second_layer_rate * (now.fields - rates.second_layer_decay * a)
        return Runs(du, dN, da)

    def overlaps(self, runs: Runs) -> tuple[Array, Array]:
        """Q (runs, p, p) and M (runs, p, k)."""
        return runs.u @ runs.u.swapaxes(1, 2) + runs.N, runs.u @ self.basis.T

    def risks(self, runs: Runs) -> tuple[Array, float]:
        """The population risk of every run, and the relative error of the first one's averages."""
        Q, M = self.overlaps(runs)
        averages, risk = self.averages, np.empty(len(Q))
        if averages.compiled:
            many_risks(*averages.codes, Q, M, averages.P, runs.a, averages.e_target, risk)
            return np.maximum(risk, 0.0), 0.0
        error = 0.0
        for run, (own_Q, own_M, a) in enumerate(zip(Q, M, runs.a, strict=True)):
            risk[run], found = averages.risk(own_Q, own_M, a, with_error=run == 0)
            error = max(error, found)
        return risk, error

    def projected(self, runs: Runs) -> Runs:
        """On spheres, if the problem has them."""
        if not self.spherical:
            return runs
        u, N, a = runs
        length = np.sqrt((u * u).sum(axis=2) + np.diagonal(N, axis1=1, axis2=2))
        return Runs(u / length[:, :, None], N / (length[:, :, None] * length[:, None, :]), a)


def _network(u: Array, N: Array, a: Array, Q: Array) -> Network:
    return Network(a, np.ascontiguousarray(u), Q, np.diag(N).copy(), N)
