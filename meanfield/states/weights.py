"""The weights of a network themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.problem import Problem
from meanfield.states.base import Origin, State
from meanfield.states.factors import principal_coordinates
from meanfield.states.measure import ParticleMeasure
from meanfield.states.overlaps import Overlaps
from meanfield.targets import triangular_factor

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Weights(State):
    """First- and second-layer weights themselves.

    Parameters
    ----------
    W : array_like, shape (p, d)
        Rows w_i; pre-activations are w_i·x/√d.
    W_star : array_like, shape (k, d)
        Rows w*_r of the target.
    a : array_like, shape (p,)
        Second-layer weights.
    origin : mapping, optional
        How the weights were made.

    Raises
    ------
    TypeError, ValueError
        If the shapes disagree or a number is not finite.

    Examples
    --------
    >>> import meanfield as mf
    >>> weights = mf.Weights(W=[[1.0, 1.0], [0.0, 2.0]], W_star=[[1.0, 1.0]], a=[1.0, 1.0])
    >>> weights.overlaps().M
    array([[1.],
           [1.]])
    """

    W: NDArray[np.float64]
    W_star: NDArray[np.float64]
    a: NDArray[np.float64]
    origin: Origin = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        a = checks.array(self.a, "a", (None,), described="(p,)")
        p = a.shape[0]
        if p == 0:
            raise ValueError("a must hold at least one neuron, got shape (0,)")
        W = checks.array(self.W, "W", (p, None), described=f"(p, d) with p = {p}")
        d = W.shape[1]
        W_star = checks.array(self.W_star, "W_star", (None, d), described=f"(k, d) with d = {d}")
        values = {"W": W, "W_star": W_star, "a": a, "origin": dict(self.origin)}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def placed(
        cls, problem: Problem, u: Array, outside: Array, a: Array, origin: Origin
    ) -> Weights:
        """Weights in R^d: principal coordinates u first, then the parts outside (p, D)."""
        root, k = math.sqrt(problem.dim), problem.subspace_dim
        W_star = np.zeros((problem.target.k, int(problem.dim)))
        W_star[:, :k] = root * problem.target.basis
        return cls(root * np.hstack((u, outside)), W_star, a, origin)

    @property
    def dim(self) -> int:
        """Input dimension d."""
        return self.W.shape[1]

    def overlaps(self) -> Overlaps:
        """The sufficient statistics Q, M, P of the population risk."""
        d = self.dim
        Q = self.W @ self.W.T / d
        P = self.W_star @ self.W_star.T / d
        return Overlaps(
            0.5 * (Q + Q.T), self.W @ self.W_star.T / d, 0.5 * (P + P.T), self.a, self.origin
        )

    def measure(self) -> ParticleMeasure:
        """The law of the neurons (a, u, r), in time linear in their number."""
        root = math.sqrt(self.dim)
        W, W_star = self.W / root, self.W_star / root
        u = principal_coordinates(triangular_factor(W_star @ W_star.T), W @ W_star.T)
        # the part outside from what is left of the vectors: r² = Q − |u|² would cancel
        frame = np.linalg.svd(W_star, full_matrices=False)[2][: u.shape[1]]
        outside = W - (W @ frame.T) @ frame
        return ParticleMeasure(self.a, u, np.linalg.norm(outside, axis=1), origin=self.origin)
