"""The γ/p term of the overlap equations: which form, over which sample, with what error."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.accuracy import relative
from meanfield.dynamics.overlaps.averages import Joint, Network, OverlapAverages
from meanfield.dynamics.overlaps.expanded_noise import ExpandedNoise
from meanfield.dynamics.overlaps.kinked_noise import KinkedNoise, factor_of
from meanfield.dynamics.overlaps.split_noise import SplitNoise
from meanfield.dynamics.overlaps.square_noise import SquareNoise, SquareStudentNoise
from meanfield.gaussian.sobol import REPLICATES, error_of_mean, scramblings
from meanfield.kernels.activations.units import CLOSED_PAIRS, ERF, SQUARE
from meanfield.kernels.dynamics.overlaps.noise import erf_noise, noise_rows
from meanfield.problem import Problem
from meanfield.states import Overlaps
from meanfield.states.factors import nearest_coordinates
from meanfield.targets import Target, units_of

Matrix = NDArray[np.float64]

NOISE_METHODS = ("auto", "closed", "expanded", "sampled")
# expanded by itself from this width on, and up to this error at the start
WIDE, EXPANDED_ERROR = 48, 1e-3
# beyond this width the p⁴/4 closed-form integrals of erf cost more than the sample
CLOSED_WIDTH = 96
KINKED_WIDTH = 48  # the same for kinks, whose tables hold p⁴/2 numbers
ENTRIES, FEWEST, MOST = 2**22, 2**12, 2**17  # of the default sample: numbers held, points
BLOCK_ENTRIES = 2**18  # numbers at a time: temporaries stay in cache, threads wake seldom


class Noise(Protocol):
    """One way to compute ⟨σ'(λ_i) σ'(λ_j) (ε² + Δ)⟩, shape (p, p)."""

    name: str
    analytic: bool  # whether it goes on smoothly where Q is no longer positive semi-definite
    stats: dict[str, Any]
    label_noise: float  # Δ, at present

    def term(self, network: Network) -> Matrix:
        """The term itself."""

    def error(self, network: Network) -> float:
        """Estimate of its relative error, in Frobenius norm."""


class ErfNoise:
    """Closed form for erf students and a committee of erf, ReLU or square: p⁴/4 arc sines."""

    name, analytic = "closed", True

    def __init__(self, target: Target) -> None:
        self.stats: dict[str, Any] = {}
        self.joint, self.label_noise = Joint(target), 0.0
        self.tau = self.joint.tau

    def term(self, network: Network) -> Matrix:
        """See `Noise`."""
        p = len(network.a)
        out = np.empty((p, p))
        C, e = self.joint.covariance(network), self.joint.coefficients(network)
        erf_noise(self.tau, C, e, p, self.label_noise, out)
        return out

    def error(self, network: Network) -> float:
        """Rounding only."""
        return 0.0


class SampledNoise:
    """Any activation: rows X_s = σ'(λ^s) ε^s over a fixed Gaussian sample; the term is XᵀX/S.

    The points are `REPLICATES` independent scramblings of a Sobol sequence, mapped to the
    pre-activations by a triangular factor of their covariance (principal directions first), so
    that the term varies as smoothly in time as the overlaps do. Label noise is added in closed
    form.
    """

    name, analytic = "sampled", False

    def __init__(self, averages: OverlapAverages, p: int, samples: int | None, seed: int):
        self.averages, self.target, self.sigma = averages, averages.target, averages.sigma
        self.label_noise = 0.0
        dims = self.target.rank + p
        if samples is None:
            samples = min(MOST, max(FEWEST, ENTRIES // dims))
        self.Z = np.concatenate(scramblings(dims, samples, seed))
        self.size = len(self.Z) // REPLICATES
        # principal coordinates come first, so that the labels never change
        self.labels = self.target(self.Z[:, : self.target.rank])
        self.stats: dict[str, Any] = {"noise_samples": len(self.Z)}

    def term(self, network: Network) -> Matrix:
        """See `Noise`."""
        total = self._sums(network).sum(axis=0) / len(self.Z)
        if self.label_noise > 0.0:
            total += self.label_noise * self.averages.slope_products(network)
        return total

    def error(self, network: Network) -> float:
        """Twice the standard error over the scramblings, relative to the whole term."""
        error = error_of_mean(self._sums(network) / self.size)
        return relative(error, self.term(network))

    def _sums(self, network: Network) -> Matrix:
        """Σ_s X_s X_sᵀ in each scrambling, shape (REPLICATES, p, p)."""
        p, rank = len(network.a), self.target.rank
        factor = np.concatenate((network.u.T, factor_of(network).T))
        fit = 2 ** max(0, int(math.log2(BLOCK_ENTRIES / (p + rank))))
        rows = np.empty((min(fit, self.size), p))
        sums = np.zeros((REPLICATES, p, p))
        e = -network.a / p
        for first in range(0, len(self.Z), len(rows)):
            chosen = slice(first, first + len(rows))
            field = self.Z[chosen] @ factor
            if self.sigma.code in CLOSED_PAIRS:
                gauss = np.exp(-0.5 * field * field) if self.sigma.code == ERF else field
                noise_rows(self.sigma.code, field, gauss, e, self.labels[chosen], rows)
            else:
                error = self.labels[chosen] + self.sigma.function(field) @ e
                np.multiply(self.sigma.derivative(field), error[:, None], out=rows)
            sums[first // self.size] += rows.T @ rows
        return sums


def choose_noise(
    averages: OverlapAverages, problem: Problem, p: int, sgd_noise: bool, noise_method: Any,
    samples: Any, seed: Any, start: Overlaps | None = None,
) -> Noise | None:  # fmt: skip
    """The form of the noise term for a problem and a width, by a user's options; None: no term.

    By itself it is expanded for wide networks alone, if it is accurate at their start.
    """
    method = checks.option(noise_method, "noise_method", NOISE_METHODS)
    if samples is not None:
        samples = checks.integer(samples, "samples", minimum=2 * REPLICATES)
    seed = checks.integer(seed, "seed", minimum=0)
    if not sgd_noise or problem.learning_rate == 0.0:
        return None
    closed = _closed(averages, p, method)
    if closed is not None:
        return closed
    if method == "closed":
        raise ValueError(
            "noise_method 'closed' needs erf, relu or leaky relu students and a committee of "
            "erf, relu or square (of leaky relu, for kinked students), or square students and a "
            "target of up to four directions; use 'sampled' or 'auto' for this problem"
        )
    served = ExpandedNoise.serves(averages)
    if method == "expanded":
        if not served:
            raise ValueError(
                "noise_method 'expanded' needs smooth, relu or leaky relu students, got "
                f"{averages.sigma.name}"
            )
        return ExpandedNoise(averages, seed)
    if method == "auto" and served and start is not None and samples is None and p >= WIDE:
        expanded = ExpandedNoise(averages, seed)
        if expanded.error(network_of(start, averages.target)) <= EXPANDED_ERROR:
            return expanded
    kind = SplitNoise if SplitNoise.serves(averages) else SampledNoise
    return kind(averages, p, samples, seed)


def _closed(averages: OverlapAverages, p: int, method: str) -> Noise | None:
    """The closed form, if there is one and it is asked for, or cheap."""
    if method in ("sampled", "expanded"):
        return None
    target, sigma, units = averages.target, averages.sigma.code, units_of(averages.target)
    if units is not None and units.link.code in CLOSED_PAIRS:
        if sigma == SQUARE and units.link.code == SQUARE:
            return SquareNoise(target)
        if sigma == ERF and (method == "closed" or p <= CLOSED_WIDTH):
            return ErfNoise(target)
    if SquareStudentNoise.serves(averages):
        return SquareStudentNoise(target)
    kinked = KinkedNoise.of(averages.sigma, target)
    return kinked if method == "closed" or p <= KINKED_WIDTH else None


def network_of(overlaps: Overlaps, target: Target) -> Network:
    """Overlaps in principal coordinates."""
    u, Q = nearest_coordinates(target.basis, overlaps.M), overlaps.Q
    N = 0.5 * (Q + Q.T) - u @ u.T
    return Network(np.asarray(overlaps.a), u, Q, np.diag(N), N)
