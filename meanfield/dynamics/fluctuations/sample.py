"""One step of SGD over a fixed Gaussian sample: the covariance of g, and the bias e of a step.

With b_i = a_i σ'(λ_i)(ε + √Δ ξ), a step of the overlaps is y += η g + η² e in the mean, where
g_Q = b_i λ_j + b_j λ_i + (γ/pB) b_i b_j, g_M = b_i λ*_r and g_a = κ σ(λ_i)(ε + √Δ ξ), B the size
of a batch.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.accuracy import relative
from meanfield.dynamics.fluctuations.drift import OverlapField
from meanfield.gaussian.rules import hermite_rule, product_rule
from meanfield.gaussian.sobol import REPLICATES, error_of_mean, scramblings
from meanfield.schedules.base import largest

Array = NDArray[np.float64]

# Gauss–Hermite: exact to degree 5 in ξ, of which g gᵀ has 4
LABEL_NODES = ((0.0, 2.0 / 3.0), (math.sqrt(3.0), 1.0 / 6.0), (-math.sqrt(3.0), 1.0 / 6.0))
NODES = {2: 24, 3: 16, 4: 10}  # of a Gauss rule, by coordinates; the last is for polynomials
ENTRIES, FEWEST = 2**22, 2**11  # numbers in g at all points by default, and the least points
BLOCK = 2**10  # points at a time: what is made of them stays in cache


class Draw(NamedTuple):
    """The sample at one state: rows of ĝ (S, rank + p), and what follows from them.

    `factor` (rank + p, rank + p) takes ĝ to (z, λ); `weight` (S,) sums to one.
    """

    factor: Array
    points: Array
    weight: Array
    value: Array
    slope: Array
    error: Array
    b: Array
    lam: Array
    lam_star: Array


class StepSample:
    """Averages over one step of SGD.

    Parameters
    ----------
    field : OverlapField
    batch_size : int
    samples : int or None
        Points, rounded up to a power of two; None for as many as fit.
    most : int
        At most so many by default.
    seed : int
    nodes : int, optional
        Of a Gauss–Hermite rule in each coordinate, in place of a sample: the default for smooth
        functions of few pre-activations, polynomials among them, whose tails a sample misses.
    """

    def __init__(
        self, field: OverlapField, batch_size: int, samples: Any, most: int, seed: int,
        nodes: int | None = None,
    ):  # fmt: skip
        c, target = field.coordinates, field.problem.target
        self.field, self.batch, self.target = field, batch_size, target
        dims = target.rank + c.p
        self.coarse: StepSample | None = None
        if nodes is None and samples is None and dims <= _tensor(field):
            nodes = NODES[dims]
            fewer = nodes - 3
            self.coarse = StepSample(field, batch_size, samples, most, seed, nodes=fewer)
        if nodes is not None:
            Z, share_of = product_rule(*hermite_rule(nodes), dims)
        else:
            if samples is None:
                samples = min(most, max(FEWEST, ENTRIES // c.size))
            noisy = int(largest(target.noise) > 0.0)  # label noise has a coordinate of its own
            Z = np.concatenate(scramblings(dims + noisy, samples, seed, least=2))
            share_of = np.full(len(Z), 1.0 / len(Z))
        labels, xi = target(Z[:, : target.rank]), np.zeros(len(Z))
        noise: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
        if Z.shape[1] > dims:
            xi, Z = Z[:, dims], np.ascontiguousarray(Z[:, :dims])
        elif largest(target.noise) > 0.0:
            noise = LABEL_NODES
        self.Z = np.concatenate([Z for _ in noise])
        self.labels = np.concatenate([labels for _ in noise])
        self.xi = np.concatenate([xi + node for node, _ in noise])
        self.weight = np.concatenate([share * share_of for _, share in noise])
        self.replicate = np.tile(np.arange(len(Z)) * REPLICATES // len(Z), len(noise))
        self.lam_star = self.Z[:, : target.rank] @ target.basis.T
        self.points = len(Z)

    def at(self, y: Array) -> Draw:
        """The sample at one state."""
        network, sigma = self.field.network(y), self.field.averages.sigma
        assert network.N is not None
        rank, p = self.target.rank, len(network.a)
        factor = np.eye(rank + p)
        factor[rank:, :rank], factor[rank:, rank:] = network.u, root_of(network.N)
        lam = self.Z @ factor[rank:].T
        value, slope = sigma.function(lam), sigma.derivative(lam)
        labels = self.labels + math.sqrt(self.field.present.noise) * self.xi
        error = labels - value @ network.a / p
        b = network.a * slope * error[:, None]
        return Draw(factor, self.Z, self.weight, value, slope, error, b, lam, self.lam_star)

    def steps(self, draw: Draw, some: slice = slice(None)) -> Array:
        """g (S, m) of some points, without decays, before spheres take their part."""
        c, field = self.field.coordinates, self.field
        # rows over points, each of them contiguous: those of Q_ij for one i and all j at a time
        b, lam, lam_star = (
            np.ascontiguousarray(part[some].T) for part in (draw.b, draw.lam, draw.lam_star)
        )
        out = np.empty((c.size, b.shape[1]))
        for i in range(c.p):
            row = np.multiply(b[i], lam[i:], out=out[c.row(i)])
            row += b[i:] * (lam[i] + field.rate * b[i])
        out[c.pairs : c.first] = (b[:, None] * lam_star).reshape(c.p * c.k, -1)
        if c.moving:
            out[c.first :] = field.present.second_layer_rate * draw.value[some].T
            out[c.first :] *= draw.error[some]
        return out.T

    def covariance(self, y: Array, draw: Draw) -> Array:
        """C = Cov(g) of a step (m, m), on spheres if the problem has them."""
        return self._covariance(y, draw, 0, len(draw.b)) / self.batch

    def _covariance(self, y: Array, draw: Draw, begin: int, end: int) -> Array:
        """Cov(g) of one input, from some of the points alone."""
        m = self.field.coordinates.size
        mean, second = np.zeros(m), np.zeros((m, m))
        root = np.sqrt(draw.weight / draw.weight[begin:end].sum())
        for first in range(begin, end, BLOCK):
            some = slice(first, min(first + BLOCK, end))
            g = self.field.project(y, self.steps(draw, some)).T
            g *= root[some]
            mean += g @ root[some]
            second += g @ g.T  # one array with itself: half the work of a product
        return second - np.outer(mean, mean)

    def covariance_error(self, y: Array) -> float:
        """Error of C, relative (Frobenius norm): against a rule of fewer nodes, or scramblings."""
        draw = self.at(y)
        if self.coarse is not None:
            fine, coarse = self.covariance(y, draw), self.coarse.covariance(y, self.coarse.at(y))
            return relative(fine - coarse, fine)
        points = len(draw.b) // REPLICATES  # of a scrambling, one after the other
        begins = range(0, len(draw.b), points)
        each = [self._covariance(y, draw, begin, begin + points) for begin in begins]
        return relative(error_of_mean(each), np.mean(each, axis=0))

    def bias(self, y: Array, draw: Draw) -> Array:
        """e (m,): what a step adds in the mean at second order in η."""
        c, field = self.field.coordinates, self.field
        Q = c.split(y).Q
        w, b, decay = draw.weight, draw.b, field.present.weight_decay
        # |x|²/d given the pre-activations is 1 + (|ĝ|² − k − p)/d
        excess = (draw.points**2).sum(axis=1) - draw.points.shape[1]
        term = (b * (w * excess)[:, None]).T @ b / self.batch
        # two inputs of a batch meet along the pre-activations alone
        mean = (b * w[:, None]).T @ draw.points
        term += (1.0 - 1.0 / self.batch) * mean @ mean.T
        if decay > 0.0:
            push = (b * w[:, None]).T @ draw.lam
            term += decay**2 * Q - decay * (push + push.T)
        out = np.zeros(c.size)
        out[: c.pairs] = term[c.rows, c.columns]
        return self._on_spheres(y, draw, out) if field.spherical else out

    def _on_spheres(self, y: Array, draw: Draw, e: Array) -> Array:
        """The second order of w ← √d w/|w| after a step that grows Q by η g + η² e."""
        c, decay = self.field.coordinates, self.field.present.weight_decay
        steps = self.steps(draw)
        drift = draw.weight @ steps
        shrink = np.zeros(c.size)
        shrink[: c.pairs], shrink[c.pairs : c.first] = -2.0 * decay, -decay
        mean = drift + shrink * y
        # E[g_α g_ii] over a batch: the mean's product, and a share of the covariance
        growth = steps[:, c.diagonal]
        second = (steps * draw.weight[:, None]).T @ growth
        second -= np.outer(drift, drift[c.diagonal])
        second = second / self.batch + np.outer(mean, mean[c.diagonal])
        own = second[c.diagonal]  # (p, p): E g_ii g_jj
        i, j = c.rows, c.columns
        out, Q, M = e.copy(), y[: c.pairs], y[c.pairs : c.first]
        pair = np.arange(c.pairs)
        out[: c.pairs] += -0.5 * (second[pair, i] + second[pair, j])
        out[: c.pairs] += Q * (0.375 * (own[i, i] + own[j, j]) + 0.25 * own[i, j])
        neuron = np.repeat(np.arange(c.p), c.k)
        out[c.pairs : c.first] += -0.5 * second[np.arange(c.pairs, c.first), neuron]
        out[c.pairs : c.first] += 0.375 * M * own[neuron, neuron]
        out += c.bend(y, e)
        out[c.diagonal] = 0.0
        return out


def smooth(field: OverlapField) -> bool:
    """Whether a step of this problem has no kinks and no jumps."""
    sigma = field.averages.sigma
    return field.problem.target.smooth and sigma.smooth and not sigma.kinks and not sigma.breaks


def _tensor(field: OverlapField) -> int:
    """Up to how many coordinates a Gauss rule suits a step of this problem."""
    if not smooth(field):
        return 0
    return max(NODES) if field.averages.sigma.powers else max(NODES) - 1


def root_of(N: Array) -> Array:
    """A root of a positive semi-definite matrix, triangular where N is positive definite."""
    try:
        return np.asarray(np.linalg.cholesky(N), dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(N)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
