"""First and second moments of the residual against the input.

With ε = f* − f, Stein's lemma gives E ε x = E ∇ε and E ε (x xᵀ − I) = E ∇²ε (Brillinger 1983; Li
1992). For one neuron these are E σ'(λ) X and E σ''(λ) X Xᵀ with X = w/√d, and those of the target
lie in the principal subspace.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from meanfield.problem import Problem
from meanfield.projection.neurons import Neurons
from meanfield.targets import hermite_coefficients

Array = NDArray[np.float64]


def target_moments(problem: Problem) -> tuple[Array, Array]:
    """E f* z (k,) and E f* (z zᵀ − I) (k, k), from the Hermite coefficients of degree 1 and 2."""
    k = problem.subspace_dim
    first, second = np.zeros(k), np.zeros((k, k))
    for index, (c, _) in hermite_coefficients(problem.target, 2).items():
        at = [j for j, n in enumerate(index) for _ in range(n)]
        if len(at) == 1:
            first[at[0]] = c
        elif len(at) == 2:
            i, j = at
            second[i, j] = second[j, i] = c * (math.sqrt(2.0) if i == j else 1.0)
    return first, second


def student_moments(neurons: Neurons, problem: Problem) -> tuple[Array, Array]:
    """Weights of X_i and of X_i X_iᵀ in E ∇f and E ∇²f, (n,) each."""
    length = np.sqrt((neurons.u**2).sum(axis=1) + neurons.r**2)
    slope, tilt = problem.student.average_slopes(0.0, length, math.inf)
    # E G σ'(sG) = s E σ''(sG)
    curvature = np.divide(tilt, length, out=np.zeros_like(length), where=length > 0)
    weighted = neurons.masses * neurons.a
    return weighted * slope, weighted * curvature


def residual_root(neurons: Neurons, problem: Problem, N: Array) -> Array:
    """F with F Fᵀ the weights of v vᵀ + H² on the axes of the subspace and the rows X, (k + p,).

    v = E ε x and H = E ε (x xᵀ − I); `N` are the perpendicular inner products of the rows.
    """
    first, second = target_moments(problem)
    slope, curvature = student_moments(neurons, problem)
    k, p = len(first), neurons.n
    v = np.append(first, -slope)
    H = np.zeros((k + p, k + p))
    H[:k, :k] = second
    H[k:, k:] = np.diag(-curvature)
    rows = np.vstack((np.eye(k), neurons.u))
    values, vectors = np.linalg.eigh(rows @ rows.T + np.pad(N, ((k, 0), (k, 0))))
    return np.column_stack((v, H @ (vectors * np.sqrt(np.maximum(values, 0.0)))))


def residual_moments(neurons: Neurons, problem: Problem) -> tuple[Array, float]:
    """v vᵀ + H² of a law: its block on the subspace, and the eigenvalue in directions outside."""
    first, second = target_moments(problem)
    slope, curvature = student_moments(neurons, problem)
    v = first - slope @ neurons.u
    H = second - np.einsum("i,ix,iy->xy", curvature, neurons.u, neurons.u)
    outside = float(curvature @ neurons.r**2) / problem.perpendicular_dim
    return np.outer(v, v) + H @ H, outside**2
