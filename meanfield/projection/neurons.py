"""The neurons of a state of any kind, split into principal and perpendicular parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield.problem import Problem
from meanfield.states import Overlaps, ParticleMeasure, Weights
from meanfield.states.factors import nearest_coordinates
from meanfield.targets import has_gram

Array = NDArray[np.float64]
Rows = Callable[[slice], Array]

# pairs of neurons held at once
BLOCK_PAIRS = 1_000_000


@dataclass(frozen=True, eq=False)
class Neurons:
    """Second-layer weights, principal coordinates, perpendicular lengths and masses.

    `perpendicular_rows` gives rows i of r_i r_j θ_i·θ_j, (rows, n); None for a measure, whose
    perpendicular directions are independent and uniform.
    """

    a: Array
    u: Array
    r: Array
    masses: Array
    perpendicular_rows: Rows | None

    @property
    def n(self) -> int:
        """Number of neurons."""
        return len(self.a)

    @property
    def q(self) -> Array:
        """Variances |u|² + r² of their pre-activations, (n,)."""
        return np.asarray((self.u**2).sum(axis=1) + self.r**2)

    def blocks(self) -> Iterator[tuple[slice, Array, Array]]:
        """Row blocks of a network: which rows, u_i·u_j and r_i r_j θ_i·θ_j."""
        assert self.perpendicular_rows is not None
        step = max(1, BLOCK_PAIRS // self.n)
        for first in range(0, self.n, step):
            rows = slice(first, min(first + step, self.n))
            yield rows, self.u[rows] @ self.u.T, self.perpendicular_rows(rows)


def split(state: Any, problem: Problem) -> Neurons:
    """The neurons of a measure, of overlaps or of weights; checks that they fit the problem."""
    if isinstance(state, ParticleMeasure):
        if state.k != problem.subspace_dim:
            raise ValueError(
                f"state must be a measure with u of shape (n, {problem.subspace_dim}) for this "
                f"problem, got {state.u.shape}"
            )
        a, u, r = state.arrays()
        return Neurons(a, u, r, np.asarray(state.masses), None)
    if isinstance(state, Overlaps):
        return _of_overlaps(state, problem)
    if isinstance(state, Weights):
        return _of_weights(state, problem)
    raise TypeError(
        "state must be a ParticleMeasure, Overlaps or Weights, got " + type(state).__name__
    )


def _of_overlaps(state: Overlaps, problem: Problem) -> Neurons:
    _check_gram(state.P, problem)
    u = nearest_coordinates(problem.target.basis, state.M)
    Q = np.array(state.Q)
    r = np.sqrt(np.maximum(np.diag(Q) - (u * u).sum(axis=1), 0.0))
    masses = np.full(len(u), 1.0 / len(u))
    return Neurons(np.array(state.a), u, r, masses, lambda rows: Q[rows] - u[rows] @ u.T)


def _of_weights(state: Weights, problem: Problem) -> Neurons:
    d = state.dim
    _check_gram(state.W_star @ state.W_star.T / d, problem)
    u = nearest_coordinates(problem.target.basis, state.W @ state.W_star.T / d)
    # the weights less their part in the subspace keep the digits that |w|² − |u|² would lose
    rest = state.W / math.sqrt(d) - u @ principal_axes(state, problem)
    r = np.sqrt((rest * rest).sum(axis=1))
    masses = np.full(len(u), 1.0 / len(u))
    return Neurons(np.array(state.a), u, r, masses, lambda rows: rest[rows] @ rest.T)


def quantiles(values: Array, masses: Array, shares: ArrayLike) -> Array:
    """The smallest values with at least these shares of the mass at or below them."""
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(masses[order])
    at = np.searchsorted(mass, np.asarray(shares) * mass[-1] * (1 - 1e-12))
    return np.asarray(values[order][np.minimum(at, len(values) - 1)])


def principal_axes(state: Weights, problem: Problem) -> Array:
    """Orthonormal rows (k, d) that span W*, along which u are the coordinates."""
    return nearest_coordinates(problem.target.basis, state.W_star.T).T / math.sqrt(state.dim)


def _check_gram(P: Array, problem: Problem) -> None:
    if not has_gram(problem.target, P):
        raise ValueError("state must have the gram matrix of the problem's target")
