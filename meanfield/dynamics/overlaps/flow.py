"""The overlap equations as y' = f(y): what the vector y holds, and its velocity.

The state is kept in principal coordinates: M = u Bᵀ and Q = u uᵀ + N, with N the perpendicular
overlaps. Gradient flow moves every weight within the span of the initial ones, so there a factor V
of N = V Vᵀ is carried instead, and Q is positive semi-definite by construction. With the γ/p term,
or at a temperature, N itself is carried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.overlaps.averages import Network, OverlapAverages
from meanfield.dynamics.overlaps.noise import ErfNoise, Noise
from meanfield.dynamics.rates import Rates, RateSeries
from meanfield.kernels.dynamics.overlaps.velocity import shared_velocity, small_velocity
from meanfield.problem import Problem
from meanfield.schedules.base import largest
from meanfield.states import Overlaps
from meanfield.states.factors import nearest_coordinates

Matrix = NDArray[np.float64]

SMALL = 128  # widths up to here take one compiled call; beyond, BLAS on all threads is faster
SERIAL = 20  # widths up to which the γ/p term is computed on one thread: waking others costs more


class OverlapParts(NamedTuple):
    """The overlaps in a state vector: Q (p, p), M (p, k), a (p,), and what they are made of.

    `block` (p, ·) holds u (p, rank) beside the factor V, or beside N, which is None where V is.
    """

    Q: Matrix
    M: Matrix
    a: Matrix
    block: Matrix
    N: Matrix | None


class Gradient(NamedTuple):
    """Averages of b_i = a_i σ'(λ_i) ε over one sample x: what a step of SGD does in the mean.

    `drift` (p, ·) is what moves the `block` of `OverlapParts`: ⟨b_i z⟩, and ⟨b_i g⟩ with λ⊥ = V g,
    or ⟨b_i λ⊥⟩; `fields` ⟨σ(λ_i) ε⟩ (p,) or nothing, `squares` ⟨b_i b_j⟩, label noise included, or
    None without the γ/p term.
    """

    drift: Matrix
    fields: Matrix
    squares: Matrix | None


class OverlapFlow:
    """Velocity of the overlaps for one problem.

    Parameters
    ----------
    problem : Problem
    start : Overlaps
        Checked against the problem.
    averages : OverlapAverages
        Of the problem.
    noise : Noise or None
        The form of the γ/p term; None leaves it out.
    spherical : bool
        Keep every |w_i|² at d.
    batch_size : int
        Samples that a step of SGD averages over; divides the γ/p term.
    rates : RateSeries, optional
        The problem's rates along the run, where they change.
    """

    def __init__(
        self,
        problem: Problem,
        start: Overlaps,
        averages: OverlapAverages,
        noise: Noise | None,
        spherical: bool,
        batch_size: int = 1,
        rates: RateSeries | None = None,
    ):
        target = problem.target
        self.problem, self.averages = problem, averages
        self.noise, self.spherical = noise, spherical
        self.p, self.batch_size = start.p, batch_size
        self.rates = RateSeries(problem, start.p, 1.0) if rates is None else rates
        self.moves_a = largest(problem.second_layer_rate) > 0.0
        self.factored = noise is None and largest(problem.temperature) == 0.0
        self.set_rates(self.rates(0.0))
        self.basis = np.ascontiguousarray(target.basis)
        self.rank = target.rank
        self.a = np.asarray(start.a)
        u = nearest_coordinates(self.basis, start.M)
        N = 0.5 * (start.Q + start.Q.T) - u @ u.T
        if spherical:
            length = np.sqrt(np.diag(start.Q))
            if not (length > 0.0).all():
                raise ValueError("overlaps must have a positive diagonal of Q if spherical")
            u, N = u / length[:, None], N / np.outer(length, length)
        rest = perpendicular_factor(N) if self.factored else without_negative_part(N)
        self.columns = self.rank + rest.shape[1]
        block = np.hstack((u, rest)).ravel()
        self.y0 = np.concatenate((self.a, block)) if self.moves_a else block
        self.end = len(self.y0)  # γ and α may follow, under AdaGrad-norm
        self.P = np.asarray(target.gram)
        # the γ/p term and that of Langevin noise, as the last velocity had them
        self.term = np.zeros((self.p, self.p))
        self.small = self._small()

    def set_rates(self, now: Rates) -> None:
        """Use these rates in the velocities that follow."""
        self.present = now
        self.kappa, self.decay = now.second_layer_rate, now.weight_decay
        self.second_decay, self.label_noise = now.second_layer_decay, now.noise
        # Langevin noise at temperature τ: E |dw_i|²/d = 2τd dt
        self.langevin = 0.0 if now.temperature == 0.0 else 2.0 * now.temperature * self.problem.dim
        self.rate = now.learning_rate / (self.p * self.batch_size)
        if self.noise is not None:
            self.noise.label_noise = now.noise

    def read(self, y: Matrix) -> OverlapParts:
        """Overlaps held by a state vector."""
        moving = self.p if self.moves_a else 0
        a = y[:moving] if moving else self.a
        block = y[moving : self.end].reshape(self.p, self.columns)
        if self.factored:
            if self.spherical:
                block = block / np.sqrt((block * block).sum(axis=1))[:, None]
            u = block[:, : self.rank]
            return OverlapParts(block @ block.T, u @ self.basis.T, a, block, None)
        u, N = np.ascontiguousarray(block[:, : self.rank]), block[:, self.rank :]
        N = 0.5 * (N + N.T)
        if self.spherical:
            length = np.sqrt((u * u).sum(axis=1) + np.diag(N))
            u, N = u / length[:, None], N / np.outer(length, length)
        return OverlapParts(u @ u.T + N, u @ self.basis.T, a, np.hstack((u, N)), N)

    def parts(self, y: Matrix) -> tuple[Matrix, Matrix]:
        """Views of a state vector: the second layer if it moves, and the block of coordinates."""
        moving = self.p if self.moves_a else 0
        block = y[moving : self.end].reshape(self.p, self.columns)
        return y[:moving].reshape(self.p, min(moving, 1)), block

    def velocity(self, t: float, y: Matrix, out: Matrix) -> None:
        """Write dy/dt into `out`."""
        if self.rates:
            self.set_rates(self.rates(t))
        self.autonomous_velocity(y, out)

    def autonomous_velocity(self, y: Matrix, out: Matrix) -> None:
        """The same at the rates set last."""
        if self.small is not None:
            self.small(y, out)
            return
        with np.errstate(all="ignore"):  # a run that blows up ends with a status, not warnings
            self._velocity(y, out)

    def _small(self) -> Callable[[Matrix, Matrix], None] | None:
        """The velocity as one compiled call, where there is one and calls are what costs."""
        closed = isinstance(self.noise, ErfNoise)
        if not self.averages.compiled or not (self.noise is None or closed):
            return None
        if self.p > SMALL:
            return None
        codes, kind = self.averages.codes, (self.moves_a, self.factored, self.spherical)
        fixed = (self.a, self.basis, self.P, self.averages.e_target, self.columns)
        term = self.term
        if closed and self.p > SERIAL:
            return lambda y, out: shared_velocity(
                *codes, self.numbers, *kind, self.label_noise, *fixed, y, term, out
            )
        return lambda y, out: small_velocity(
            *codes, self.numbers, *kind, closed, self.label_noise, *fixed, y, term, out
        )

    @property
    def numbers(self) -> tuple[float, ...]:
        """The present rates as the kernels take them."""
        decays = float(self.decay), float(self.second_decay)
        return *decays, float(self.kappa), float(self.langevin), float(self.rate)

    def _velocity(self, y: Matrix, out: Matrix) -> None:
        """The equations in NumPy, for every activation, target and width.

        `kernels.dynamics.overlaps.velocity` has them a second time, for small networks of closed
        forms: there the dozen calls below would take longer than what they compute. Tests hold the
        two to each other.
        """
        parts = self.read(y)
        moving = self.p if self.moves_a else 0
        speed = out[moving:].reshape(self.p, self.columns)
        gradient = self.gradient(parts)
        np.subtract(gradient.drift, self.decay * parts.block, out=speed)
        term = self._noise_term(gradient.squares)
        half = speed[:, self.rank :]  # dV/dt, or one of the two transposed halves of dN/dt
        if self.spherical:
            growth = 2.0 * self._along(parts, speed)
            if term is not None:
                growth += np.diag(term)
            # w ← √d w/|w| takes (d|w_i|²/dt)/(2|w_i|²) w_i from dw_i/dt
            speed -= (0.5 * growth / np.diag(parts.Q))[:, None] * parts.block
        if moving:
            out[:moving] = self.kappa * (gradient.fields - self.second_decay * parts.a)
        if term is not None:
            speed[:, self.rank :] = half + half.T + term

    def _along(self, parts: OverlapParts, speed: Matrix) -> Matrix:
        """w_i·(dw_i/dt)/d (p,)."""
        if parts.N is None:
            return np.asarray((speed * parts.block).sum(axis=1))
        u, du = parts.block[:, : self.rank], speed[:, : self.rank]
        return np.asarray((du * u).sum(axis=1) + np.diag(speed[:, self.rank :]))

    def gradient(self, parts: OverlapParts) -> Gradient:
        """Averages of the gradient of one sample."""
        network, squares = self.network(parts), None
        D, E = self.averages.drift(network)
        drift = D @ parts.block
        drift[:, : self.rank] += E
        fields = self.averages.fields(network) if self.moves_a else np.empty(0)
        if self.noise is not None:
            squares = np.outer(network.a, network.a) * self.noise.term(network)
        return Gradient(drift, fields, squares)

    def _noise_term(self, squares: Matrix | None) -> Matrix | None:
        """(γ/p) ⟨a_i a_j σ'(λ_i) σ'(λ_j) ε²⟩, with label noise, over the batch; and 2τd δ_ij."""
        if self.factored:
            return None
        term = np.zeros((self.p, self.p)) if squares is None else self.rate * squares
        term.flat[:: self.p + 1] += self.langevin
        self.term = term
        return term

    def network(self, parts: OverlapParts) -> Network:
        """What the averages are taken over."""
        u = np.ascontiguousarray(parts.block[:, : self.rank])
        rest = parts.block[:, self.rank :]
        r_squared = (rest * rest).sum(axis=1) if parts.N is None else np.diag(parts.N)
        return Network(parts.a, u, parts.Q, r_squared, parts.N)

    def errors(self, parts: OverlapParts, network: Network) -> dict[str, float]:
        """Relative errors of sampled averages at a state, by name."""
        return {"noise_error": 0.0 if self.noise is None else self.noise.error(network)}

    def pace(self, y: Matrix) -> dict[str, float]:
        """What of γ and α only a state vector says, by name."""
        return {}

    def velocity_of(self, y: Matrix) -> tuple[Matrix, Matrix, Matrix]:
        """(dQ/dt, dM/dt, da/dt) at a state vector."""
        out = np.empty_like(y)
        self.velocity(0.0, y, out)
        parts = self.read(y)
        moving = self.p if self.moves_a else 0
        _, speed = self.parts(out)
        u, du = parts.block[:, : self.rank], speed[:, : self.rank]
        half = speed @ parts.block.T if parts.N is None else du @ u.T
        dQ = half + half.T
        if parts.N is not None:
            dQ += speed[:, self.rank :]
        return dQ, du @ self.basis.T, out[:moving] if moving else np.zeros(self.p)


def perpendicular_factor(N: Matrix) -> Matrix:
    """V (p, m) with N = V Vᵀ, m the rank of N: eigenvalues at the level of rounding count as 0."""
    values, vectors = np.linalg.eigh(N)
    kept = values > 4.0 * len(N) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    return np.ascontiguousarray(vectors[:, kept] * np.sqrt(values[kept]))


def without_negative_part(N: Matrix) -> Matrix:
    """The nearest positive semi-definite matrix; N itself (symmetrised) if it is one."""
    N = 0.5 * (N + N.T)
    if not np.isfinite(N).all():
        return N
    try:
        np.linalg.cholesky(N)
        return N
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(N)
    if values[0] >= -4.0 * len(N) * np.finfo(np.float64).eps * max(values[-1], 0.0):
        return N
    positive = vectors * np.sqrt(np.maximum(values, 0.0))
    return positive @ positive.T
