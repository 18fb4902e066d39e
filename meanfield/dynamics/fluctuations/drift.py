"""The overlap equations as a field F(y) that goes on beyond the cone of overlaps.

The solver of the equations carries factors of Q, which exist on the cone alone. Derivatives need
F's formulas at y ± h v, which may lie outside; closed forms are analytic there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.fluctuations.coordinates import Coordinates
from meanfield.dynamics.overlaps.averages import Network, OverlapAverages
from meanfield.dynamics.overlaps.noise import ErfNoise, Noise
from meanfield.dynamics.rates import Rates, RateSeries
from meanfield.problem import Problem

Array = NDArray[np.float64]


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
        Q, M, a = self.coordinates.split(y)
        u = np.ascontiguousarray(M @ self.into)
        return Network(a, u, Q, np.diag(Q) - (u * u).sum(axis=1), Q - u @ u.T)

    def drift(self, y: Array) -> Array:
        """F without its γ/p term, before spheres take their part."""
        network, rates = self.network(y), self.present
        D, E = self.drift_matrices(y)
        half = D @ network.Q + E @ network.u.T
        da = network.a
        if self.coordinates.moving:
            da = self.averages.fields(network) - rates.second_layer_decay * network.a
            da *= rates.second_layer_rate
        return self.coordinates.join(half + half.T, (D @ network.u + E) @ self.basis.T, da)

    def drift_matrices(self, y: Array) -> tuple[Array, Array]:
        """D (p, p) and E (p, rank): a weight w_i moves by Σ_j D_ij w_j + E_i, decay included."""
        D, E = self.averages.drift(self.network(y))
        D.flat[:: len(D) + 1] -= self.present.weight_decay
        return D, E

    def noise_term(self, y: Array) -> Array:
        """The γ/p term in closed form, 0 if it has none."""
        out = np.zeros(self.coordinates.size)
        if self.noise is not None:
            network, c = self.network(y), self.coordinates
            term = self.rate * np.outer(network.a, network.a) * self.noise.term(network)
            out[: c.pairs] = term[c.rows, c.columns]
        return out

    def project(self, y: Array, velocity: Array) -> Array:
        """What spheres leave of a velocity, where the problem has them."""
        return self.coordinates.tangent(y, velocity) if self.spherical else velocity

    def __call__(self, y: Array) -> Array:
        """F(y)."""
        return self.project(y, self.drift(y) + self.noise_term(y))

    def risk(self, y: Array) -> float:
        """R(y), which rounds to below zero where it vanishes."""
        return 0.5 * self.averages.energy(self.network(y), with_error=False).value


def smooth_noise(noise: Noise | None, p: int, widest: int) -> bool:
    """Whether differences of the γ/p term are exact, and cheap enough."""
    if noise is None:
        return True
    return noise.analytic and not (isinstance(noise, ErfNoise) and p > widest)
