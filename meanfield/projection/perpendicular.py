"""The overlaps of neurons outside the principal subspace, r_i r_j θ_i·θ_j, and their law."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc

from meanfield import checks
from meanfield.problem import Problem
from meanfield.projection.alignment import State
from meanfield.projection.neurons import Neurons, split

Array = NDArray[np.float64]

BINS = 2000
LENGTHS = 64  # lengths r that represent the law of r of a measure
FAR = 100.0  # the largest overlap over the root mean square, beyond which bins widen outwards


@dataclass(frozen=True, eq=False)
class PerpendicularOverlaps:
    """Law of r_i r_j θ_i·θ_j over pairs of different neurons.

    Attributes
    ----------
    mean, rms : float
        Over the pairs; of order 1/D and 1/√D for directions that are nearly independent.
    edges : ndarray, shape (bins + 1,)
        Of bins that hold all pairs: equal ones, or where the largest is more than 100 times the
        root mean square, such that widen outwards like sinh.
    masses : ndarray, shape (bins,)
        Share of the pairs in each bin.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> law = mf.gaussian_measure(problem, n=1000)
    >>> pairs = mf.projection.perpendicular_overlaps(law, problem)
    >>> pairs.masses.shape == pairs.density.shape, round(float(pairs.masses.sum()), 6)
    (True, 1.0)
    """

    mean: float
    rms: float
    edges: Array
    masses: Array

    @property
    def density(self) -> Array:
        """Shares over the widths of the bins, shape (bins,)."""
        return self.masses / np.diff(self.edges)

    def quantile(self, share: ArrayLike) -> Any:
        """Value below which a share of the pairs lies, to within a bin.

        Parameters
        ----------
        share : float or array_like
            In [0, 1].

        Returns
        -------
        float or ndarray
            Of the shape of `share`.
        """
        shares = np.asarray(share, dtype=np.float64)
        if not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError(f"share must lie in [0, 1], got {share!r}")
        below = np.append(0.0, np.cumsum(self.masses))
        values = np.interp(shares, below / below[-1], self.edges)
        return float(values) if shares.ndim == 0 else values


def perpendicular_overlaps(
    state: State, problem: Problem, *, bins: int = BINS
) -> PerpendicularOverlaps:
    """Law of the perpendicular overlaps of pairs of neurons.

    Parameters
    ----------
    state : ParticleMeasure, Overlaps or Weights
        Of a network, its pairs i < j, in blocks of rows: memory does not grow with their number.
        Of a measure, two independent neurons, whose directions are uniform on the sphere of the
        D = d − k others: r and r' by 64 lengths, which keep the mean of r² and are as many where
        most of it comes from, or of r, as where most neurons are.
    problem : Problem
    bins : int
        Of the histogram.

    Returns
    -------
    PerpendicularOverlaps

    Raises
    ------
    TypeError, ValueError
        If the state does not belong to the problem, or has a single neuron and no pairs.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=101)
    >>> law = mf.gaussian_measure(problem, n=1000)
    >>> round(mf.projection.perpendicular_overlaps(law, problem).rms, 2)  # about 1/√D
    0.1
    """
    checks.instance(problem, "problem", Problem)
    bins = checks.integer(bins, "bins")
    neurons = split(state, problem)
    if neurons.perpendicular_rows is None:
        return _of_law(neurons, problem.perpendicular_dim, bins)
    if neurons.n == 1:
        raise ValueError("state must have at least two neurons to have pairs, got 1")
    number = neurons.n * (neurons.n - 1) / 2
    largest = total = squares = 0.0
    for pairs in _pairs(neurons):
        largest = max(largest, float(np.abs(pairs).max(initial=0.0)))
        total += float(pairs.sum())
        squares += float(pairs @ pairs)
    if largest == 0.0:
        return _all_zero()
    rms = math.sqrt(squares / number)
    edges = _edges(largest, rms, _usual(neurons, problem.perpendicular_dim), bins)
    counts = np.zeros(bins)
    for pairs in _pairs(neurons):
        counts += np.histogram(pairs, edges)[0]
    return PerpendicularOverlaps(total / number, rms, edges, counts / number)


def root_mean_square(neurons: Neurons, D: float) -> float:
    """Root mean square over pairs of different neurons; 0 for a single one."""
    if neurons.perpendicular_rows is None:
        return float(neurons.masses @ neurons.r**2) / math.sqrt(D)
    squares = sum(float((N * N).sum()) for _, _, N in neurons.blocks())
    pairs = neurons.n * (neurons.n - 1)
    return math.sqrt(max(squares - float((neurons.r**4).sum()), 0.0) / max(pairs, 1))


def _pairs(neurons: Neurons) -> Iterator[Array]:
    """The overlaps of pairs i < j, by blocks of rows."""
    for rows, _, N in neurons.blocks():
        yield N[np.arange(neurons.n) > np.arange(rows.start, rows.stop)[:, None]]


def _all_zero() -> PerpendicularOverlaps:
    return PerpendicularOverlaps(0.0, 0.0, np.array([0.0, 0.0]), np.ones(1))


def _of_law(neurons: Neurons, D: float, bins: int) -> PerpendicularOverlaps:
    """Products of two lengths and the first coordinate Z of a uniform point of S^{D−1}.

    (1 + Z)/2 follows the Beta law with both parameters (D − 1)/2; Z = ±1 at D = 1.
    """
    rms = root_mean_square(neurons, D)
    if rms == 0.0:
        return _all_zero()
    r, masses = _typical_lengths(neurons)
    upper = np.triu_indices(len(r))
    products = np.outer(r, r)[upper]
    shares = (np.outer(masses, masses) * (2.0 - np.eye(len(r))))[upper]
    edges = _edges(float(neurons.r.max()) ** 2, rms, _usual(neurons, D), bins)
    Z = np.divide.outer(edges, np.maximum(products, 1e-300)).clip(-1.0, 1.0)
    if D == 1:
        below = 0.5 * (Z > -1.0) + 0.5 * (Z >= 1.0)
    else:
        below = betainc(0.5 * (D - 1), 0.5 * (D - 1), 0.5 * (1.0 + Z))
    cumulative = below @ (shares / shares.sum())
    return PerpendicularOverlaps(0.0, rms, edges, np.diff(cumulative))


def _usual(neurons: Neurons, D: float) -> float:
    return float(np.median(neurons.r)) ** 2 / math.sqrt(D)


def _edges(largest: float, rms: float, usual: float, bins: int) -> Array:
    """Of bins that show the usual overlap and the root mean square, however far out others lie."""
    if largest <= FAR * rms:
        return np.linspace(-largest, largest, bins + 1)
    inner = min(usual, rms) / 10.0 if usual > 0.0 else rms / FAR
    edges = np.sinh(np.linspace(-1.0, 1.0, bins + 1) * math.asinh(largest / inner)) * inner
    edges[0], edges[-1] = -largest, largest
    return edges


def _typical_lengths(neurons: Neurons) -> tuple[Array, Array]:
    """Lengths and masses of cells that hold equal shares of the mass, E r and E r² together."""
    order = np.argsort(neurons.r)
    r, masses = neurons.r[order], neurons.masses[order]
    moments = [masses * (r / r[-1]) ** power for power in range(3)]
    ends = np.cumsum(sum(x / x.sum() for x in moments)) / 3.0
    cell = np.minimum((LENGTHS * (ends - 1e-12)).astype(int), LENGTHS - 1)
    mass, _, square = (np.bincount(cell, weights=x, minlength=LENGTHS) for x in moments)
    held = mass > 0
    return r[-1] * np.minimum(np.sqrt(square[held] / mass[held]), 1.0), mass[held] / mass.sum()
