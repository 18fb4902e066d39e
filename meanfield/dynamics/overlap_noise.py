"""The γ/p term of the overlap equations: which form, over which sample, with what error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from meanfield import checks
from meanfield.kernels.codes import ERF, SQUARE
from meanfield.kernels.overlaps import semidefinite_factor, slope_products
from meanfield.kernels.overlaps_noise import erf_noise, noise_rows

Matrix = NDArray[np.float64]

NOISE_METHODS = ("auto", "closed", "sampled")
# beyond this width the p⁴/4 closed-form integrals of erf cost more than the sample
CLOSED_WIDTH = 96
# independent scramblings of the sample: their spread is the stated error
REPLICATES = 8
ENTRIES, FEWEST, MOST = 2**22, 2**12, 2**17  # of the default sample: numbers held, points
BLOCK_ENTRIES = 2**18  # numbers at a time: temporaries stay in cache, threads wake seldom


@dataclass(frozen=True)
class Fields:
    """The joint law of all pre-activations, students first, and the coefficients of ε.

    Attributes
    ----------
    sigma, tau : int
        Codes of the student's and the target's activation.
    C : ndarray, shape (p + k, p + k)
        Covariance of (λ, λ*).
    e : ndarray, shape (p + k,)
        ε = Σ_m e_m φ_m(λ_m).
    u : ndarray, shape (p, rank)
        Principal coordinates of the students.
    basis : ndarray, shape (k, rank)
        Principal coordinates of the targets.
    N : ndarray, shape (p, p)
        Perpendicular overlaps Q − u uᵀ.
    label_noise : float
        Δ.
    """

    sigma: int
    tau: int
    C: Matrix
    e: Matrix
    u: Matrix
    basis: Matrix
    N: Matrix
    label_noise: float

    @property
    def p(self) -> int:
        """Number of students."""
        return self.u.shape[0]


class Noise(Protocol):
    """One way to compute ⟨σ'(λ_i) σ'(λ_j) (ε² + Δ)⟩, shape (p, p)."""

    name: str
    stats: dict[str, Any]

    def term(self, fields: Fields) -> Matrix:
        """The term itself."""

    def error(self, fields: Fields) -> float:
        """Estimate of its relative error, in Frobenius norm."""


class ErfNoise:
    """Closed form for erf students and any target: p⁴/4 arc sines."""

    name = "closed"

    def __init__(self) -> None:
        self.stats: dict[str, Any] = {}

    def term(self, fields: Fields) -> Matrix:
        """See `Noise`."""
        out = np.empty((fields.p, fields.p))
        erf_noise(fields.tau, fields.C, fields.e, fields.p, fields.label_noise, out)
        return out

    def error(self, fields: Fields) -> float:
        """Rounding only."""
        return 0.0


class SquareNoise:
    """Closed form for square students and targets: exact Gaussian moments, p³ by matrix products.

    With X = λᵀEλ and E = diag e, Stein's lemma (or Isserlis' theorem) gives
    E λ_i λ_j X² = C_ij E X² + 4 [CEC E X + 2 CECEC]_ij, where E X = tr EC and
    E X² = (tr EC)² + 2 tr ECEC.
    """

    name = "closed"

    def __init__(self) -> None:
        self.stats: dict[str, Any] = {}

    def term(self, fields: Fields) -> Matrix:
        """See `Noise`."""
        C, e, p = fields.C, fields.e, fields.p
        mean = float(e @ np.diag(C))
        square = mean * mean + 2.0 * float(e @ (C * C) @ e)
        once = (C[:p] * e) @ C
        twice = (once * e) @ C[:, :p]
        total = C[:p, :p] * (square + fields.label_noise) + 4.0 * (mean * once[:, :p] + 2.0 * twice)
        return 2.0 * (total + total.T)

    def error(self, fields: Fields) -> float:
        """Rounding only."""
        return 0.0


class SampledNoise:
    """Any activation: rows X_s = σ'(λ^s) ε^s over a fixed Gaussian sample; the term is XᵀX/S.

    The points are `REPLICATES` independent scramblings of a Sobol sequence, mapped to the
    pre-activations by a triangular factor of their covariance (principal directions first), so
    that the term varies as smoothly in time as the overlaps do. Label noise is added in closed
    form.
    """

    name = "sampled"

    def __init__(self, dims: int, samples: int | None, seed: int):
        if samples is None:
            samples = min(MOST, max(FEWEST, ENTRIES // dims))
        self.size = 2 ** max(0, math.ceil(math.log2(samples / REPLICATES)))
        self.Z = np.concatenate(
            [gaussian_points(self.size, dims, (seed, number)) for number in range(REPLICATES)]
        )
        self.stats: dict[str, Any] = {"noise_samples": len(self.Z)}

    def term(self, fields: Fields) -> Matrix:
        """See `Noise`."""
        total = self._sums(fields).sum(axis=0) / len(self.Z)
        if fields.label_noise > 0.0:
            slopes = np.empty_like(total)
            slope_products(fields.sigma, np.ascontiguousarray(fields.C[: fields.p]), slopes)
            total += fields.label_noise * slopes
        return total

    def error(self, fields: Fields) -> float:
        """Twice the standard error over the scramblings, relative to the whole term."""
        means = self._sums(fields) / self.size
        spread = float(np.sqrt(((means - means.mean(axis=0)) ** 2).sum()))
        whole = float(np.linalg.norm(self.term(fields)))
        error = 2.0 * spread / math.sqrt(REPLICATES * (REPLICATES - 1))
        return error / whole if whole > 0.0 else 0.0

    def _sums(self, fields: Fields) -> Matrix:
        """Σ_s X_s X_sᵀ in each scrambling, shape (REPLICATES, p, p)."""
        factor = self._factor(fields)
        p = fields.p
        fit = 2 ** max(0, int(math.log2(BLOCK_ENTRIES / len(fields.e))))
        rows = np.empty((min(fit, self.size), p))
        sums = np.zeros((REPLICATES, p, p))
        for first in range(0, len(self.Z), len(rows)):
            field = self.Z[first : first + len(rows)] @ factor
            gauss = np.exp(-0.5 * field * field) if ERF in (fields.sigma, fields.tau) else field
            noise_rows(fields.sigma, fields.tau, field, gauss, fields.e, p, rows)
            sums[first // self.size] += rows.T @ rows
        return sums

    @staticmethod
    def _factor(fields: Fields) -> Matrix:
        """The matrix that takes independent Gaussians to (λ, λ*)."""
        p, rank = fields.u.shape
        factor = np.zeros((rank + p, p + len(fields.basis)))
        factor[:rank, :p], factor[:rank, p:] = fields.u.T, fields.basis.T
        try:
            root = np.linalg.cholesky(fields.N)
        except np.linalg.LinAlgError:
            root = semidefinite_factor(fields.N)
        factor[rank:, :p] = root.T
        return factor


def choose_noise(
    method: str, sigma: int, tau: int, p: int, rank: int, samples: int | None, seed: int
) -> Noise:
    """The form of the noise term for a pair of activations and a width."""
    if method != "sampled":
        if sigma == SQUARE and tau == SQUARE:
            return SquareNoise()
        if sigma == ERF and (method == "closed" or p <= CLOSED_WIDTH):
            return ErfNoise()
        if method == "closed":
            raise ValueError(
                "noise_method 'closed' needs erf students, or square students and target; "
                "use 'sampled' or 'auto' for this problem"
            )
    return SampledNoise(rank + p, samples, seed)


def check_noise_options(method: Any, samples: Any, seed: Any) -> tuple[str, int | None, int]:
    """The user's choice of noise form, checked."""
    method = checks.option(method, "noise_method", NOISE_METHODS)
    if samples is not None:
        samples = checks.integer(samples, "samples", minimum=2 * REPLICATES)
    return method, samples, checks.integer(seed, "seed", minimum=0)


def gaussian_points(count: int, dims: int, seed: tuple[int, ...]) -> Matrix:
    """A scrambled Sobol sequence of `count` = 2^m points as standard Gaussians, (count, dims)."""
    from scipy.stats import qmc  # half a second to import, and only wanted here

    sequence = qmc.Sobol(dims, scramble=True, rng=np.random.default_rng(seed))
    uniforms = sequence.random_base2(int(math.log2(count)))
    tiny = np.finfo(np.float64).tiny
    return ndtri(np.clip(uniforms, tiny, 1.0 - np.finfo(np.float64).epsneg))
