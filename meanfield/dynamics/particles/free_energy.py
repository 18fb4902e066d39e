"""The entropy-regularised free energy of a law of neurons.

F = R + (λ/2) E|w|²/d − τ H, with H the entropy of w/√d in R^d. The flow of the law is the
Wasserstein gradient flow of F (Mei, Montanari & Nguyen 2018; Hu, Ren, Šiška & Szpruch 2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, psi

from meanfield.dynamics.rates import Rates, RateSeries
from meanfield.fields import Field
from meanfield.problem import Problem
from meanfield.schedules.base import largest
from meanfield.states import ParticleMeasure

Array = NDArray[np.float64]

NAMES = ("free_energy", "entropy", "entropy_error")
NEIGHBOURS = (4, 8)  # the estimate, and a coarser one that shows its bias
FEWEST = 20  # neurons of one a, for an entropy of their own


class Entropy(NamedTuple):
    """Entropy in nats, and an estimate of its error."""

    value: float
    error: float


def entropy(measure: ParticleMeasure, D: int) -> Entropy:
    """Entropy H of w/√d in R^{k+D} for a law invariant under rotations of D directions.

    H(w/√d) = H(u, r) + E log(|S^{D−1}| r^{D−1}), with the entropy of (u, r) from the distances to
    nearest neighbours (Kozachenko & Leonenko 1987). Given a, if neurons differ in it: the mean over
    its values, or over the joint law of (a, u, r), up to the constant entropy of a, where it is
    spread out.

    Parameters
    ----------
    measure : ParticleMeasure
    D : int
        Number of perpendicular directions, ≥ 1.

    Returns
    -------
    Entropy
        −∞ if any two neurons coincide, NaN for fewer than nine. The error joins the standard error
        over the neurons and what doubling the number of neighbours changes.
    """
    values, group = np.unique(measure.a, return_inverse=True)
    if measure.n > NEIGHBOURS[-1] and len(np.unique(measure.points(), axis=0)) < measure.n:
        return Entropy(-math.inf, math.inf)
    inside = np.column_stack((measure.u, measure.r))
    mass = measure.masses
    terms = np.empty((2, measure.n))
    if np.bincount(group).min() >= FEWEST:
        for one in range(len(values)):
            chosen = group == one
            share = mass[chosen] / mass[chosen].sum()
            terms[:, chosen] = _negative_log_density(inside[chosen], share)
    else:
        points = np.column_stack((measure.a, inside)) if len(values) > 1 else inside
        terms = _negative_log_density(points, mass)
    area = math.log(2.0) + 0.5 * D * math.log(math.pi) - float(gammaln(0.5 * D))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = terms + area + ((D - 1.0) * np.log(measure.r) if D > 1 else 0.0)
        fine, coarse = terms @ mass
        spread = math.sqrt(float(mass**2 @ (terms[0] - fine) ** 2))
    if not math.isfinite(fine):
        return Entropy(float(fine), math.inf)
    return Entropy(float(fine), math.hypot(spread, float(fine - coarse)))


def _negative_log_density(points: Array, mass: Array) -> Array:
    """−log density at each point (2, n): from its fourth and its eighth neighbour."""
    from scipy.spatial import cKDTree

    n, dims = points.shape
    if n <= NEIGHBOURS[-1]:
        return np.full((2, n), math.nan)
    distance, nearest = cKDTree(points).query(points, k=NEIGHBOURS[-1] + 1)
    if not np.isfinite(distance).all():  # lengths whose squares overflow
        return np.full((2, n), math.nan)
    ball = 0.5 * dims * math.log(math.pi) - float(gammaln(0.5 * dims + 1.0))
    out = np.empty((2, n))
    for row, count in enumerate(NEIGHBOURS):
        # log n − ψ(count) for equal masses; else the mean mass of the neighbours for 1/n
        typical = mass[nearest[:, 1 : count + 1]].mean(axis=1)
        with np.errstate(divide="ignore"):
            log_volume = ball + dims * np.log(distance[:, count])
        out[row] = log_volume - np.log(typical) - float(psi(count))
    return out


class FreeEnergy:
    """Observables of a run: free energy, entropy and its error, computed once for a state."""

    def __init__(self, problem: Problem, rates: RateSeries):
        self.problem, self.rates = problem, rates
        self.field: Field | None = None
        self.at: tuple[ParticleMeasure, dict[str, float]] | None = None

    def observables(self) -> dict[str, Callable[[float, Any], ArrayLike]]:
        """By name, each a function of (t, state)."""
        return {name: partial(self._value, name) for name in NAMES}

    def _value(self, name: str, t: float, state: ParticleMeasure) -> float:
        return self(t, state)[name]

    def __call__(self, t: float, state: ParticleMeasure) -> dict[str, float]:
        """All three at a state."""
        if self.at is None or self.at[0] is not state:
            assert self.field is not None
            with np.errstate(over="ignore", invalid="ignore"):
                H, error = entropy(state, int(self.problem.perpendicular_dim))
                energy = self._energy(self.field, self.rates(t), state)
            values = (energy - self.rates(t).temperature * H, H, error)
            self.at = state, dict(zip(NAMES, values, strict=True))
        return self.at[1]

    def _energy(self, field: Field, now: Rates, state: ParticleMeasure) -> float:
        """Risk and penalties."""
        mass = state.masses
        squares = float(mass @ ((state.u**2).sum(axis=1) + state.r**2))
        energy = field.risk(*state.arrays()) + 0.5 * now.weight_decay * squares
        if largest(self.problem.second_layer_rate) > 0.0:
            energy += 0.5 * now.second_layer_decay * float(mass @ state.a**2)
        return energy
