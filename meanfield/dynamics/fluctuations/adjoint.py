"""The flow about a state, linear, and its transpose Jᵀg, without the p² × p² matrix J.

Without the γ/p term the flow descends the risk: D = −2p ∂R/∂Q, E = −p ∂R/∂u and ⟨σ ε⟩ = −p ∂R/∂a,
where F_Q = DQ + QD + Euᵀ + uEᵀ, F_u = Du + E and F_a = κ⟨σ ε⟩. The Hessian of R is symmetric, so
that the part of Jᵀg from the change of (D, E, ⟨σ ε⟩) is a derivative of these along the one
direction (2X_Q, X_u, X_a), with X_Q = GQ + QG + ½(g_u uᵀ + u g_uᵀ), X_u = 2Gu + g_u, X_a = κ g_a.
Here G, g_u and g_a are the parts of g, with g·F = tr GF_Q + tr g_uᵀF_u + g_a·F_a.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.fluctuations.differences import STEP, along
from meanfield.dynamics.fluctuations.drift import OverlapField
from meanfield.dynamics.fluctuations.sample import Draw, StepSample
from meanfield.dynamics.overlaps.averages import Network

Array = NDArray[np.float64]


class Covector(NamedTuple):
    """A gradient in overlaps: what changes by Σ_ij Q_ij δQ_ij + Σ u δu + Σ a δa.

    Q (p, p) symmetric, u (p, rank), a (p,), 0 where the second layer stays.
    """

    Q: Array
    u: Array
    a: Array

    def plus(self, share: float, other: Covector) -> Covector:
        """self + share·other."""
        return Covector(*(x + share * y for x, y in zip(self, other, strict=True)))

    def dot(self, other: Covector) -> float:
        """The sum of products."""
        return float(sum(np.vdot(x, y) for x, y in zip(self, other, strict=True)))


class LinearFlow:
    """The flow about one state (Q, u, a), inside the cone of overlaps.

    Parameters
    ----------
    field : OverlapField
    y : Covector
        The state.
    """

    def __init__(self, field: OverlapField, y: Covector):
        self.field, self.y = field, y
        lengths = np.diag(y.Q)
        self.scale = float(min(1.0, max(float(lengths.min()), 1e-6)))
        # decays are linear and enter the transpose by themselves
        self.D, self.E = field.averages.drift(_network(y))

    def gradient(self) -> Covector:
        """∂R/∂(Q, u, a)."""
        p, moving = self.field.coordinates.p, self.field.coordinates.moving
        by_a = self.field.averages.fields(_network(self.y)) if moving else np.zeros(p)
        return Covector(-0.5 * self.D / p, -self.E / p, -by_a / p)

    def drift(self) -> Covector:
        """F without its γ/p term, before spheres take their part."""
        rates, y = self.field.present, self.y
        half = self.D @ y.Q + self.E @ y.u.T - rates.weight_decay * y.Q
        du = self.D @ y.u + self.E - rates.weight_decay * y.u
        da = np.zeros_like(y.a)
        if self.field.coordinates.moving:
            da = self.field.averages.fields(_network(y)) - rates.second_layer_decay * y.a
            da *= rates.second_layer_rate
        return Covector(half + half.T, du, da)

    def transposed(self, g: Covector) -> Covector:
        """Jᵀg of the drift, spheres left aside."""
        Q, u, _ = self.y
        rates, D, E = self.field.present, self.D, self.E
        kappa = rates.second_layer_rate if self.field.coordinates.moving else 0.0
        both, mixed = g.Q @ Q, 0.5 * g.u @ u.T
        along = Covector(
            2.0 * (both + both.T + mixed + mixed.T), 2.0 * g.Q @ u + g.u, kappa * g.a
        )  # fmt: skip
        by_averages = self._change_of_averages(along)
        # Q and u where they stand in F beside D and E
        explicit = Covector(D @ g.Q + g.Q @ D, 2.0 * g.Q @ E + D @ g.u, np.zeros_like(g.a))
        decays = Covector(
            -2.0 * rates.weight_decay * g.Q, -rates.weight_decay * g.u,
            -kappa * rates.second_layer_decay * g.a,
        )  # fmt: skip
        return by_averages.plus(1.0, explicit).plus(1.0, decays)

    def _change_of_averages(self, v: Covector) -> Covector:
        """The derivative of (D/2, E, ⟨σ ε⟩) along v, by central differences."""
        length = float(np.sqrt(v.dot(v)))
        p, moving = self.field.coordinates.p, self.field.coordinates.moving
        if length == 0.0:
            return Covector(np.zeros((p, p)), np.zeros_like(v.u), np.zeros(p))
        h, averages = STEP * self.scale / length, self.field.averages
        ends = []
        for step in (h, -h):
            network = _network(self.y.plus(step, v))
            D, E = averages.drift(network)
            ends.append(Covector(0.5 * D, E, averages.fields(network) if moving else np.zeros(p)))
        change = ends[0].plus(-1.0, ends[1])
        return Covector(*(part / (2.0 * h) for part in change))


def _network(y: Covector) -> Network:
    """What averages are taken over; formulas go on where Q is no longer positive semi-definite."""
    Q = 0.5 * (y.Q + y.Q.T)
    return Network(y.a, y.u, Q, np.diag(Q) - (y.u * y.u).sum(axis=1), None)


def onto_spheres(y: Covector, g: Covector) -> Covector:
    """The transpose of what spheres leave of a velocity at y: see `Coordinates.tangent`."""
    Q = g.Q.copy()
    np.fill_diagonal(Q, 0.0)
    np.fill_diagonal(Q, -(Q * y.Q).sum(axis=1) - 0.5 * (g.u * y.u).sum(axis=1))
    return Covector(Q, g.u, g.a)


def bent_by_spheres(g: Covector, growth: Array) -> Covector:
    """The transpose of how what spheres take changes with y, at fixed growth (p,) of |w_i|²/d.

    They take ½ Q_ij (growth_i + growth_j) and ½ u_i growth_i, linear in Q and u: see
    `Coordinates.bend`.
    """
    Q = -0.5 * g.Q * (growth[:, None] + growth)
    np.fill_diagonal(Q, 0.0)
    return Covector(Q, -0.5 * growth[:, None] * g.u, np.zeros_like(g.a))


def steps_along(field: OverlapField, draw: Draw, g: Covector) -> Array:
    """Σ g·(one step of SGD) at every point of a sample, (S,), before spheres take their part."""
    by_Q = draw.b @ g.Q  # Σ_i b_i G_ij
    z = draw.points[:, : g.u.shape[1]]
    out = (by_Q * (2.0 * draw.lam + field.rate * draw.b)).sum(axis=1)
    out += ((draw.b @ g.u) * z).sum(axis=1)
    if field.coordinates.moving:
        out += field.present.second_layer_rate * (draw.value @ g.a) * draw.error
    return np.asarray(out)


def term_by_scores(field: OverlapField, draw: Draw, y: Covector, g: Covector) -> Covector:
    """The transpose of the derivative of the γ/p term by scores of the sample's law.

    With s = Ω⁻¹ (z, λ) (see `NoiseScores`), ∂/∂Ω of ⟨ψ⟩ is ½ ⟨ψ s sᵀ⟩ up to its trace part, and
    a score averages to 0: ψ less its mean has less variance, and no trace part.
    """
    rank, p = g.u.shape[1], field.coordinates.p
    by_Q = draw.b @ g.Q
    psi = field.rate * (by_Q * draw.b).sum(axis=1)  # (γ/p) Σ_ij G_ij b_i b_j at each point
    centred = draw.weight * (psi - draw.weight @ psi)
    s = draw.points @ np.linalg.inv(draw.factor)
    by_law = (s[:, rank:] * centred[:, None]).T @ s
    by_a = np.zeros(p)
    if field.coordinates.moving:
        weight = 2.0 * field.rate * draw.weight
        by_slope = by_Q * draw.slope
        by_a = by_slope.T @ (weight * draw.error)
        by_a -= draw.value.T @ (weight * (by_slope @ y.a)) / p
    return Covector(0.5 * by_law[:, rank:], by_law[:, :rank], by_a)


def term_by_differences(field: OverlapField, y: Covector) -> Array:
    """The derivatives of the γ/p term along every coordinate, (m, p, p), for narrow networks."""
    c, at = field.coordinates, field.coordinates.join(y.Q, y.u @ field.basis.T, y.a)
    lengths = np.diag(y.Q)
    scale = float(min(1.0, max(float(lengths.min()), 1e-6)))
    out = along(field.noise_term, at, np.eye(c.size), np.zeros(c.size), scale).first
    return np.stack([c.split(np.where(np.arange(c.size) < c.pairs, row, 0.0)).Q for row in out])


def term_transposed(field: OverlapField, slopes: Array, g: Covector) -> Covector:
    """The transpose of these derivatives."""
    c = field.coordinates
    found = np.einsum("mij,ij->m", slopes, g.Q)
    Q, M, a = c.split(found)
    # a coordinate off the diagonal stands for two entries of Q, and a covector holds both
    Q = 0.5 * (Q + np.diag(np.diag(Q)))
    return Covector(Q, M @ field.basis, a if c.moving else np.zeros(c.p))


class LocalFlow:
    """The flow and one sample of steps about a state, at the rates of one moment.

    `slopes` are the derivatives of the γ/p term where differences take them, else None, and `share`
    is γ over the first γ, by which steps count.
    """

    def __init__(
        self, field: OverlapField, sample: StepSample, y: Covector, slopes: Array | None,
        share: float,
    ):  # fmt: skip
        self.field, self.sample, self.y, self.slopes = field, sample, y, slopes
        self.rates, self.share = field.present, share
        self.flow = LinearFlow(field, y)
        at = field.coordinates.join(y.Q, y.u @ field.basis.T, y.a)
        self.draw = sample.at(at)
        self.coarse = None if sample.coarse is None else sample.coarse.at(at)
        self.growth = np.zeros(len(y.a))
        if field.spherical:
            term = field.rate * self.draw.weight @ self.draw.b**2
            self.growth = np.diag(self.flow.drift().Q) + term

    def transposed(self, g: Covector) -> Covector:
        """Jᵀg, but for what scores say of the γ/p term."""
        self.field.set_rates(self.rates)
        free = onto_spheres(self.y, g) if self.field.spherical else g
        out = self.flow.transposed(free)
        if self.slopes is not None:
            out = out.plus(1.0, term_transposed(self.field, self.slopes, free))
        if self.field.spherical:
            out = out.plus(1.0, bent_by_spheres(g, self.growth))
        return out

    def scored(self, g: Covector) -> Covector:
        """The rest."""
        self.field.set_rates(self.rates)
        free = onto_spheres(self.y, g) if self.field.spherical else g
        return term_by_scores(self.field, self.draw, self.y, free)

    def variances(self, g: Covector) -> Array:
        """Var(g·step): of each scrambling, or of two rules, the better one first."""
        self.field.set_rates(self.rates)
        free = onto_spheres(self.y, g) if self.field.spherical else g
        h, w = steps_along(self.field, self.draw, free), self.draw.weight
        if self.coarse is not None:
            less = steps_along(self.field, self.coarse, free)
            pairs = ((h, w), (less, self.coarse.weight))
            found = np.array([weights @ (x - weights @ x) ** 2 for x, weights in pairs])
            return self.share * found / self.sample.batch
        count = np.bincount(self.sample.replicate, w)
        mean = np.bincount(self.sample.replicate, w * h) / count
        off = h - mean[self.sample.replicate]
        found = np.bincount(self.sample.replicate, w * off * off) / count
        return self.share * found / self.sample.batch
