"""The overlap equations for many runs at once, with all that a random step of SGD needs.

Random impulses stand for the noise of a step. A time h of SGD adds η h C to the covariance of the
overlaps, with C that of one step g. An impulse
√(ηh) ξ (g(x) − ⟨g⟩), with a fresh input x and a sign ξ = ±1, has this covariance, no mean and no
third moment: all that a weak method of second order in the small noise asks for. It is taken in the
weights: with ĝ the standard Gaussians behind (z, λ), rows (u, S) of weights move by b ĝᵀ, and the
rest of x adds (γ/p) b bᵀ to the perpendicular overlaps. So overlaps stay those of weights.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.overlaps.averages import Network, OverlapAverages
from meanfield.dynamics.overlaps.noise import ErfNoise, Noise
from meanfield.dynamics.overlaps.square_noise import SquareNoise
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

SAMPLES = 8  # behind an impulse: one would do for two moments, more are nearer to a Gaussian


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


class StepAverages:
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


class Moves(NamedTuple):
    """Σ_s ξ_s (g_s − ⟨g⟩)/√SAMPLES of samples s, by parts: of (u, S), of N, and of a."""

    u: Array
    S: Array
    N: Array
    a: Array


def give_impulse(
    field: StepAverages, runs: Runs, now: Averages, size: float, rng: np.random.Generator
) -> tuple[Runs, float]:
    """The runs after an impulse in each, and what it took to keep overlaps positive semi-definite.

    `size` = √(η h/batch); of the second a mean over runs.
    """
    S = factors(runs.N)
    moves = _draw(field, runs, S, now, rng)
    rows = S + size * moves.S
    N = rows @ rows.swapaxes(1, 2) + size * field.rate * moves.N
    a = runs.a
    if field.moves_a:
        a = a + size * field.present.second_layer_rate * moves.a
    N, clipped = nearest(N)
    return field.projected(Runs(runs.u + size * moves.u, N, a)), clipped


def _draw(
    field: StepAverages, runs: Runs, S: Array, now: Averages, rng: np.random.Generator
) -> Moves:
    """Fresh samples, with signs."""
    u, _, a = runs
    (count, p), rank = a.shape, u.shape[2]
    draws = rng.standard_normal((count, SAMPLES, rank + p + 1))
    signs = (2.0 * rng.integers(2, size=(count, SAMPLES)) - 1.0) / math.sqrt(SAMPLES)
    z, g, xi = draws[:, :, :rank], draws[:, :, rank:-1], draws[:, :, -1]
    lam = z @ u.swapaxes(1, 2) + g @ S.swapaxes(1, 2)
    sigma, noise = field.averages.sigma, field.present.noise
    value = sigma.function(lam)
    labels = field.target(z.reshape(-1, rank)).reshape(signs.shape) + math.sqrt(noise) * xi
    error = labels - (value @ a[:, :, None])[:, :, 0] / p
    b = a[:, None] * sigma.derivative(lam) * error[:, :, None]
    weighted = (signs[:, :, None] * b).swapaxes(1, 2)
    total = signs.sum(axis=1)[:, None, None]
    mean = a[:, :, None] * a[:, None, :] * now.slopes
    second = ((signs * error)[:, None] @ value)[:, 0] - total[:, :, 0] * now.fields
    return Moves(
        weighted @ z - total * (now.D @ u + now.E), weighted @ g - total * (now.D @ S),
        weighted @ b - total * mean, second,
    )  # fmt: skip


def factors(N: Array) -> Array:
    """Roots S of positive semi-definite matrices (runs, p, p), to rounding."""
    try:
        return np.asarray(np.linalg.cholesky(N), dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(N)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])


def nearest(N: Array) -> tuple[Array, float]:
    """The nearest positive semi-definite matrices, and the change, a mean over runs."""
    N = 0.5 * (N + N.swapaxes(1, 2))
    if not np.isfinite(N).all():
        return N, 0.0
    try:
        np.linalg.cholesky(N)
        return N, 0.0
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(N)
    least = values[:, 0]
    bad = np.flatnonzero(least < 0.0)
    if not len(bad):
        return N, 0.0
    root = vectors[bad] * np.sqrt(np.maximum(values[bad], 0.0))[:, None, :]
    out = N.copy()
    out[bad] = root @ root.swapaxes(1, 2)
    # negative only by rounding: as good as none
    scale = 4.0 * N.shape[1] * float(np.finfo(np.float64).eps) * np.maximum(values[:, -1], 0.0)
    return out, float(np.mean(np.where(-least > scale, -least, 0.0)))
