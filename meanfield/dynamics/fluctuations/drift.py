"""The overlap equations as a field F(y) that goes on beyond the cone of overlaps.

The solver of the equations carries factors of Q, which exist on the cone alone. Derivatives need
F's formulas at y ± h v, which may lie outside; closed forms are analytic there.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.fluctuations.coordinates import Coordinates
from meanfield.dynamics.overlaps.averages import Network, OverlapAverages
from meanfield.dynamics.overlaps.noise import ErfNoise, Noise
from meanfield.dynamics.rates import Rates, RateSeries
from meanfield.integrate import BadRate
from meanfield.problem import Problem

Array = NDArray[np.float64]

INSTANT = 1e-6  # of the whole time: over which a difference tells how fast rates change


class OverlapField:
    """F(y), with its γ/p term where that has a closed form.

    Parameters
    ----------
    problem : Problem
    coordinates : Coordinates
    averages : OverlapAverages
        Of the problem.
    noise : Noise or None
        The γ/p term; a sampled one is left to others.
    batch_size : int
    spherical : bool
        Keep every |w_i|² at d.
    """

    def __init__(
        self, problem: Problem, coordinates: Coordinates, averages: OverlapAverages,
        noise: Noise | None, batch_size: int = 1, spherical: bool = False,
    ):  # fmt: skip
        self.problem, self.coordinates, self.averages = problem, coordinates, averages
        self.noise = None if noise is None or noise.name == "sampled" else noise
        self.spherical, self.batch = spherical, batch_size
        self.set_rates(RateSeries(problem, coordinates.p, 1.0)(0.0))
        self.basis = np.ascontiguousarray(problem.target.basis)
        self.into = np.linalg.pinv(self.basis).T  # M into principal coordinates

    def set_rates(self, now: Rates) -> None:
        """Use these rates from now on; at first they are those at t = 0."""
        self.present = now
        self.rate = now.learning_rate / (self.coordinates.p * self.batch)
        if self.noise is not None:
            self.noise.label_noise = now.noise

    def network(self, y: Array) -> Network:
        """What averages are taken over, at a vector that may lie off the cone."""
        return self.networks(y[None])[0]

    def networks(self, rows: Array) -> list[Network]:
        """The same at each of several vectors, (n, m)."""
        Q, M, a = self.coordinates.split(rows)
        u = np.ascontiguousarray(M @ self.into)
        N = Q - u @ u.transpose(0, 2, 1)
        r_squared = np.diagonal(Q, axis1=1, axis2=2) - (u * u).sum(axis=2)
        layers = np.broadcast_to(a, (len(rows), self.coordinates.p))
        return [Network(*parts) for parts in zip(layers, u, Q, r_squared, N, strict=True)]

    def drift(self, y: Array) -> Array:
        """F without its γ/p term, before spheres take their part; y (m,) or (n, m)."""
        rows, rates = y.reshape(-1, self.coordinates.size), self.present
        networks = self.networks(rows)
        pairs = [self.drift_matrices(network) for network in networks]
        D, E = (np.array(parts) for parts in zip(*pairs, strict=True))
        Q, u = (np.array([getattr(each, name) for each in networks]) for name in ("Q", "u"))
        half = D @ Q + E @ u.transpose(0, 2, 1)
        da = np.zeros((len(rows), self.coordinates.p))
        if self.coordinates.moving:
            for out, network in zip(da, networks, strict=True):
                out[:] = self.averages.fields(network) - rates.second_layer_decay * network.a
            da *= rates.second_layer_rate
        dM = (D @ u + E) @ self.basis.T
        return self.coordinates.join(half + half.transpose(0, 2, 1), dM, da).reshape(y.shape)

    def drift_matrices(self, network: Network) -> tuple[Array, Array]:
        """D (p, p) and E (p, rank): a weight w_i moves by Σ_j D_ij w_j + E_i, decay included."""
        D, E = self.averages.drift(network)
        D.flat[:: len(D) + 1] -= self.present.weight_decay
        return D, E

    def noise_term(self, y: Array) -> Array:
        """The γ/p term in closed form, 0 if it has none; y (m,) or (n, m)."""
        c = self.coordinates
        out = np.zeros((y.size // c.size, c.size))
        if self.noise is not None:
            for row, network in zip(out, self.networks(y.reshape(out.shape)), strict=True):
                term = self.rate * np.outer(network.a, network.a) * self.noise.term(network)
                row[: c.pairs] = term[c.rows, c.columns]
        return out.reshape(y.shape)

    def project(self, y: Array, velocity: Array) -> Array:
        """What spheres leave of a velocity, where the problem has them."""
        return self.coordinates.tangent(y, velocity) if self.spherical else velocity

    def __call__(self, y: Array) -> Array:
        """F at y (m,), or at each of several, (n, m)."""
        return self.project(y, self.drift(y) + self.noise_term(y))

    def risk(self, y: Array) -> float:
        """R(y), which rounds to below zero where it vanishes."""
        return float(self.risks(y[None])[0])

    def risks(self, rows: Array) -> Array:
        """R at each of several vectors, (n,)."""
        energy = self.averages.energy
        return np.array(
            [0.5 * energy(each, with_error=False).value for each in self.networks(rows)]
        )


def going(now: Rates, t: float) -> float:
    """γ at a time, for as long as the clock of SGD goes on."""
    if not now.learning_rate > 0.0:
        raise BadRate(
            "problem's learning_rate must stay above 0 for fluctuations, got "
            f"{now.learning_rate:g} at t = {t:g}: the clock of SGD stands still"
        )
    return now.learning_rate


def around(rates: RateSeries, t: float) -> tuple[float, float]:
    """Two times about t, between two jumps of the rates, that tell how fast these change."""
    step = INSTANT * rates.t_end
    low = max((x for x in rates.breaks if x <= t), default=0.0)
    high = min((x for x in rates.breaks if x > t), default=math.inf)
    before = max(min(t, rates.t_end) - step, low)
    return before, min(t + step, math.nextafter(high, 0.0), rates.t_end)


def smooth_noise(noise: Noise | None, p: int, widest: int) -> bool:
    """Whether differences of the γ/p term are exact, and cheap enough."""
    if noise is None:
        return True
    return noise.analytic and not (isinstance(noise, ErfNoise) and p > widest)
