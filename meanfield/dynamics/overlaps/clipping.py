"""The overlap equations under clipped gradients: averages with χ = min(1, c/|g|) inside.

As d grows |x|²/d → 1 and two samples of a batch are orthogonal, so that |g|² tends to a function of
the pre-activations and the label noise: with v_i = a_i σ'(λ_i) and η = ε + √Δ ξ of each of the B
samples of a batch,

    |g|² = (1/p) (1/B²) Σ_s |v_s|² η_s².

The drift is ⟨χ η v_i z⟩ and ⟨χ η v_i λ⊥⟩ in place of ⟨ε v_i z⟩ and ⟨ε v_i λ⊥⟩, and the γ/p term
⟨χ² η² v_i v_j⟩ in place of ⟨η² v_i v_j⟩. These have no closed form, for χ bends where |g| = c, and
are averages over a fixed sample; of label noise in closed form where B = 1, since χ η is then η cut
off at ±c √p/|v|. What they have in common with those of the whole gradient, a share β, is exact:

    ⟨χ η v_i z⟩ = β ⟨ε v_i z⟩ + ⟨(χ η − β ε) v_i z⟩_sample,

with β the slope of χ η v against ε v by least squares. Where nothing is clipped β = 1, and the
sample has no part in the sum. The γ/p term has a share of its own, by |v|⁴ and η².
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from meanfield.dynamics.overlaps.averages import Network, OverlapAverages
from meanfield.dynamics.overlaps.flow import Gradient, OverlapFlow, OverlapParts
from meanfield.dynamics.overlaps.kinked_noise import factor_of
from meanfield.gaussian.sobol import REPLICATES, error_of_mean, scramblings
from meanfield.schedules.base import largest

Matrix = NDArray[np.float64]

# numbers that a default sample holds, its fewest and most points, and a point's most coordinates
ENTRIES, FEWEST, MOST, COORDINATES = 2**21, 2**12, 2**15, 4096
SMALLEST = 1e-200  # a squared gradient that is as good as none


class Clipped(NamedTuple):
    """What clipping makes of averages, in each of the scramblings (REPLICATES, ...).

    `drift`, `fields` and `squares`, as in `Gradient`, are added to `share`, `share` and
    `square_share` times those of the whole gradient; `share` is β, and `square_share` the same of
    χ² η² v vᵀ against η² v vᵀ. `size` = √⟨χ² η² |v|²⟩ is the norm of a clipped gradient.
    """

    share: float
    square_share: float
    drift: Matrix
    fields: Matrix
    squares: Matrix
    size: float


class ClippedSample:
    """A fixed sample of batches, over which clipped gradients are averaged.

    The points are scramblings of a Sobol sequence, each taken with its mirror image in the
    principal subspace, so that a target that is even there pushes no neuron out of M = 0.

    Parameters
    ----------
    averages : OverlapAverages
    clip_norm : float
        c.
    directions : int
        Perpendicular directions that λ⊥ needs a coordinate in: p, or the rank of N.
    batch_size : int
    noisy : bool
        Whether labels are.
    samples : int or None
        Points, rounded up to a power of two; None for as many as fit.
    seed : int
    """

    def __init__(
        self, averages: OverlapAverages, clip_norm: float, directions: int, batch_size: int,
        noisy: bool, samples: int | None, seed: int,
    ):  # fmt: skip
        target, self.sigma, self.clip_norm = averages.target, averages.sigma, clip_norm
        rank = target.rank
        self.sampled_noise = noisy and batch_size > 1
        each = rank + directions + int(self.sampled_noise)
        if batch_size * each > COORDINATES:
            raise ValueError(
                f"batch_size must be at most {COORDINATES // each} here, for under a clip_norm "
                f"whole batches are sampled, got {batch_size}"
            )
        if samples is None:
            samples = min(MOST, max(FEWEST, ENTRIES // (batch_size * each)))
        both = []
        for points in scramblings(batch_size * each, samples // 2, seed):
            batches = points.reshape(-1, batch_size, each)
            mirrored = batches.copy()
            mirrored[:, :, :rank] *= -1.0
            both += [batches, mirrored]
        Z = np.concatenate(both)
        self.points = len(Z)
        # ξ is the last coordinate, or 0 where label noise is averaged in closed form or absent
        self.xi = Z[:, :, rank + directions :].sum(axis=2)
        self.Z = np.ascontiguousarray(Z[:, :, : rank + directions])
        self.labels = target(self.Z[:, :, :rank].reshape(-1, rank)).reshape(self.xi.shape)

    def at(self, a: Matrix, factor: Matrix, label_noise: float) -> Clipped:
        """Averages at a state; factor (p, ·) takes a point to λ."""
        fields = self.Z @ factor.T
        value, v = self.sigma.function(fields), self.sigma.derivative(fields) * a
        v_square = (v * v).sum(axis=2)
        error = self.labels - value @ a / len(a) + math.sqrt(label_noise) * self.xi
        noise = 0.0 if self.sampled_noise else label_noise
        cut, cut_square = self._cut(error, v_square / len(a), noise)
        square = error * error + noise
        share = _ratio(float((v_square * cut * error).sum()), float((v_square * error**2).sum()))
        weight = v_square**2 * square
        square_share = _ratio(float((weight * cut_square).sum()), float((weight * square).sum()))
        # what is left of χ η and χ² η² without the shares of the whole gradient
        rest, rest_of_squares = cut - share * error, cut_square - square_share * square
        return Clipped(
            share, square_share,
            drift=self._averages(rest[:, :, None] * v, self.Z),
            fields=self._averages(value, rest[:, :, None])[:, :, 0],
            squares=self._averages(rest_of_squares[:, :, None] * v, v),
            size=math.sqrt(float((v_square * cut_square).mean())),
        )  # fmt: skip

    def _cut(self, error: Matrix, per_error: Matrix, label_noise: float) -> tuple[Matrix, Matrix]:
        """⟨χ η⟩ and ⟨χ² η²⟩ over label noise, given the pre-activations; per_error = |v|²/p.

        A batch of one is averaged over ξ in closed form, larger ones have ξ in `error`.
        """
        batch = error.shape[1]
        if batch == 1:
            bound = self.clip_norm / np.sqrt(np.maximum(per_error, SMALLEST))
            return cut_off(error, bound, math.sqrt(label_noise))
        norm = np.sqrt((per_error * error * error).sum(axis=1, keepdims=True)) / batch
        cut = error * np.minimum(1.0, self.clip_norm / norm)
        return cut, cut * cut

    def _averages(self, one: Matrix, other: Matrix) -> Matrix:
        """⟨one_i other_j⟩ in each scrambling, over points and the samples of their batches."""
        one = one.reshape(REPLICATES, -1, one.shape[2])
        other = other.reshape(REPLICATES, -1, other.shape[2])
        return np.asarray(one.swapaxes(1, 2) @ other) / one.shape[1]


class ClippedFlow(OverlapFlow):
    """Velocity of the overlaps under a clip_norm; see `OverlapFlow`."""

    def __init__(self, *args: Any, samples: int | None, seed: int):
        super().__init__(*args)
        self.small = None
        self.sample = ClippedSample(
            self.averages, self.problem.clip_norm, self.columns - self.rank, self.batch_size,
            largest(self.problem.target.noise) > 0.0, samples, seed,
        )  # fmt: skip

    def gradient(self, parts: OverlapParts) -> Gradient:
        """See `OverlapFlow`."""
        whole, clipped = super().gradient(parts), self._clipped(parts)
        squares = whole.squares
        if squares is not None:
            squares = clipped.square_share * squares + clipped.squares.mean(axis=0)
        drift, fields = clipped.drift.mean(axis=0), clipped.fields.mean(axis=0)
        if self.moves_a:
            fields += clipped.share * whole.fields
        return Gradient(clipped.share * whole.drift + drift, fields, squares)

    def _clipped(self, parts: OverlapParts) -> Clipped:
        if parts.N is None:
            return self.sample.at(parts.a, parts.block, self.label_noise)
        root = factor_of(self.network(parts))
        factor = np.concatenate((parts.block[:, : self.rank], root), axis=1)
        found = self.sample.at(parts.a, factor, self.label_noise)
        # the sample gives ⟨… g⟩ with λ⊥ = root g, the equations ask for ⟨… λ⊥⟩
        found.drift[:, :, self.rank :] = found.drift[:, :, self.rank :] @ root.T
        return found

    def errors(self, parts: OverlapParts, network: Network) -> dict[str, float]:
        """See `OverlapFlow`; that of the drift is relative to the norm of a clipped gradient."""
        clipped, squares = self._clipped(parts), self.gradient(parts).squares
        drift_error = error_of_mean(clipped.drift)
        found = {"noise_error": 0.0, "clip_error": _ratio(drift_error, clipped.size)}
        if squares is not None:
            whole = super().gradient(parts).squares
            assert whole is not None
            of_whole = super().errors(parts, network)["noise_error"] * clipped.square_share
            error = error_of_mean(clipped.squares) + of_whole * float(np.linalg.norm(whole))
            found["noise_error"] = _ratio(error, float(np.linalg.norm(squares)))
        return found


def cut_off(mean: Matrix, bound: Matrix, deviation: float) -> tuple[Matrix, Matrix]:
    """⟨η⟩ and ⟨η²⟩ of a Gaussian η that is cut off at ±bound."""
    if deviation == 0.0:
        cut = np.clip(mean, -bound, bound)
        return cut, cut * cut
    low, high = (-bound - mean) / deviation, (bound - mean) / deviation
    below, above = ndtr(low), ndtr(-high)
    inside = ndtr(high) - below
    at_low, at_high = (np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi) for x in (low, high))
    cut = mean * inside + deviation * (at_low - at_high) + bound * (above - below)
    square = (mean * mean + deviation**2) * inside + bound * bound * (above + below)
    square += 2.0 * mean * deviation * (at_low - at_high)
    square += deviation**2 * (low * at_low - high * at_high)
    return cut, square


def _ratio(part: float, whole: float) -> float:
    """part/whole; 0 of nothing."""
    return float(part / whole) if whole != 0.0 else 0.0
