"""The subspace as a network shows it, without knowing the target, against the target's.

First and second moments of the residual ε = f* − f against the input: Stein's lemma gives
E ε x = E ∇ε and E ε (x xᵀ − I) = E ∇²ε (Brillinger 1983; Li 1992). For one neuron these are
E σ'(λ) X and E σ''(λ) X Xᵀ with X = w/√d, and those of the target lie in the principal subspace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, eigh
from scipy.special import gammaincinv, ndtri

from meanfield import checks
from meanfield.gaussian.pair_averages import pair_averages
from meanfield.gaussian.rules import hermite_rule, sphere_coordinate_rule
from meanfield.problem import Problem
from meanfield.projection.alignment import State
from meanfield.projection.neurons import Neurons, principal_axes, split
from meanfield.states import Weights
from meanfield.targets import hermite_coefficients

Array = NDArray[np.float64]
METHODS = ("weights", "gradients", "residual")


@dataclass(frozen=True, eq=False)
class SubspaceEstimate:
    """Leading directions of a second moment in R^d, and how far they are from the target's.

    Attributes
    ----------
    angles : ndarray, shape (min(directions, k),)
        Principal angles to the target subspace in radians, the largest first, as
        `scipy.linalg.subspace_angles` gives them.
    spectrum : ndarray
        Leading eigenvalues of the second moment, decreasing; a gap after the m-th says that m
        directions have been learnt.
    basis : ndarray, shape (d, directions), or None
        Orthonormal columns, where the state holds weights.
    method : str
        ``"weights"``, ``"gradients"`` or ``"residual"``.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=1000)
    >>> estimate = mf.projection.subspace(mf.gaussian_weights(problem, p=4), problem)
    >>> estimate.basis.shape, estimate.method
    ((1000, 1), 'weights')
    """

    angles: Array
    spectrum: Array
    basis: Array | None
    method: str


def subspace(
    state: State, problem: Problem, *, method: str = "weights", directions: int | None = None
) -> SubspaceEstimate:
    """Estimate the target subspace from a state, without the target, and compare with the truth.

    Parameters
    ----------
    state : ParticleMeasure, Overlaps or Weights
    problem : Problem
        The estimate uses its activation, and for ``"residual"`` the labels; its target serves to
        compare.
    method : str
        ``"weights"``: leading directions of E a² w wᵀ/d over the neurons. ``"gradients"``: of
        E ∇f ∇fᵀ over inputs, the average gradient outer product (Radhakrishnan et al. 2024), in
        closed form. ``"residual"``: of v vᵀ + H², where v = E (y − f) x and
        H = E (y − f)(x xᵀ − I) are the moments of the residual of degree 1 and 2 (Brillinger 1983,
        Li 1992); it sees nothing of a target without Hermite components of degree 1 and 2.
    directions : int, optional
        How many; by default the dimension of the target subspace.

    Returns
    -------
    SubspaceEstimate

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or more directions are asked for than the state has.

    Notes
    -----
    With f = (1/p) Σ a_i σ(w_i·x/√d), E ∇f ∇fᵀ = Wᵀ (a aᵀ ∘ A) W/(p² d) where
    A_ij = E σ'(λ_i) σ'(λ_j). Both moments are Xᵀ H X for the rows X = W/√d, and their leading
    directions follow from the p × p matrix of inner products.

    The second moment of a measure is a block on the principal subspace and a multiple of the
    identity outside. Its leading directions lie in the subspace or orthogonal to it, whichever
    eigenvalue is larger: each angle is 0 or π/2.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=20)
    >>> W_star = mf.gaussian_weights(problem, p=1).W_star
    >>> trained = mf.Weights(W_star, W_star, [1.0])
    >>> mf.projection.subspace(trained, problem).angles.round(6)
    array([0.])
    """
    checks.instance(problem, "problem", Problem)
    checks.option(method, "method", METHODS)
    count = problem.subspace_dim if directions is None else checks.integer(directions, "directions")
    neurons = split(state, problem)
    if neurons.perpendicular_rows is None:
        return _of_law(neurons, problem, method, count)
    u, N, root = _rows(neurons, problem, method)
    if count > len(u):
        raise ValueError(f"directions must be at most {len(u)}, got {count}")
    values, vectors = eigh(root.T @ (u @ u.T + N) @ root)
    spectrum = np.maximum(values[::-1], 0.0)
    if spectrum[count - 1] <= 1e-14 * max(spectrum[0], 1e-300):
        raise ValueError(f"directions must be at most the rank of the second moment, got {count}")
    # coefficients of the leading directions on the rows of X
    mixing = root @ (vectors[:, ::-1][:, :count] / np.sqrt(spectrum[:count]))
    angles = _angles(u.T @ mixing, mixing.T @ N @ mixing)
    basis = None
    if isinstance(state, Weights):
        rows = state.W / math.sqrt(state.dim)
        if method == "residual":
            rows = np.vstack((principal_axes(state, problem), rows))
        basis = rows.T @ mixing
    return SubspaceEstimate(angles, spectrum, basis, method)


def principal_angles(state: State, problem: Problem) -> Array:
    """Principal angles between the leading directions of the weights and the target subspace.

    Parameters
    ----------
    state : ParticleMeasure, Overlaps or Weights
        Of a network, with at least as many neurons as the subspace has dimensions.
    problem : Problem

    Returns
    -------
    ndarray, shape (k,)
        Radians, the largest first; see `subspace`, whose `angles` these are.

    Raises
    ------
    TypeError, ValueError
        As `subspace` does.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=2), dim=1000)
    >>> mf.projection.principal_angles(mf.gaussian_overlaps(problem, p=4), problem).shape
    (2,)
    """
    return subspace(state, problem).angles


def _rows(neurons: Neurons, problem: Problem, method: str) -> tuple[Array, Array, Array]:
    """Rows whose span holds the moment: their u, their products outside, and a root of its weights.

    They are X = W/√d, for the residual after the axes of the principal subspace. The root F gives
    the moment as Xᵀ F Fᵀ X.
    """
    u, N = neurons.u, np.vstack([N for _, _, N in neurons.blocks()])
    if method == "weights":
        return u, N, np.diag(neurons.a / math.sqrt(neurons.n))
    if method == "residual":
        k = u.shape[1]
        rows, N = np.vstack((np.eye(k), u)), np.pad(N, ((k, 0), (k, 0)))
        return rows, N, _residual_root(neurons, problem, rows @ rows.T + N)
    q, student = neurons.q, problem.student
    slopes = pair_averages(student, student, q, q, u @ u.T + N).A
    weights = np.outer(neurons.a, neurons.a) * (0.5 * (slopes + slopes.T)) / neurons.n**2
    values, vectors = eigh(weights)
    return u, N, vectors * np.sqrt(np.maximum(values, 0.0))


def _angles(cosines: Array, squared_sines: Array) -> Array:
    """Principal angles, the largest first, from whichever of cosine and sine keeps its digits."""
    k, count = cosines.shape
    cosine = np.linalg.svd(cosines, compute_uv=False)[: min(k, count)].clip(0.0, 1.0)[::-1]
    sine = np.sqrt(np.linalg.eigvalsh(squared_sines).clip(0.0, 1.0))[::-1]
    sine = sine[-len(cosine) :]  # of more directions than k, those beyond are orthogonal
    return np.where(cosine**2 > 0.5, np.arcsin(sine), np.arccos(cosine))


def _of_law(neurons: Neurons, problem: Problem, method: str, count: int) -> SubspaceEstimate:
    D = problem.perpendicular_dim
    moments = {
        "weights": _weight_moments, "gradients": _gradient_moments, "residual": _residual_moments
    }  # fmt: skip
    block, outside = moments[method](neurons, problem)
    inside = np.linalg.eigvalsh(block)[::-1]
    perpendicular = np.full(int(min(D, count)), outside)
    values = np.append(inside, perpendicular)
    found = np.append(np.zeros(len(inside)), np.full(len(perpendicular), math.pi / 2))
    order = np.argsort(-values, kind="stable")
    if count > len(order):
        raise ValueError(f"directions must be at most d = {problem.dim}, got {count}")
    angles = np.sort(found[order[:count]])[: min(count, len(inside))][::-1]
    return SubspaceEstimate(angles.copy(), values[order], None, method)


def _weight_moments(neurons: Neurons, problem: Problem) -> tuple[Array, float]:
    """E a² u uᵀ, and E a² r²/D, the eigenvalue in every direction outside."""
    weighted = neurons.masses * neurons.a**2
    outside = float(weighted @ neurons.r**2) / problem.perpendicular_dim
    return np.einsum("i,ix,iy->xy", weighted, neurons.u, neurons.u), outside


def _gradient_moments(neurons: Neurons, problem: Problem) -> tuple[Array, float]:
    """E ∇_z f ∇_z fᵀ, and E |∇_⊥ f|²/D, over a Sobol sequence of 512 inputs (z, ρ).

    ∇_z f = E a g1 u and |∇_⊥ f| = |∂f/∂ρ| = |E a r g2|, with g1 and g2 the averages of σ' and U σ'
    over the direction outside.
    """
    from scipy.stats import qmc  # half a second to import, and only wanted here

    k, D = problem.subspace_dim, problem.perpendicular_dim
    uniforms = qmc.Sobol(k + 1, rng=np.random.default_rng(0)).random_base2(9).clip(1e-12, 1 - 1e-12)
    flat = math.isinf(D)
    # at d = ∞ the perpendicular part of a pre-activation is r G, with G Gaussian
    U, w = hermite_rule(24) if flat else sphere_coordinate_rule(D, 16)
    lengths = np.ones(len(uniforms)) if flat else np.sqrt(2.0 * gammaincinv(D / 2, uniforms[:, k]))
    derivative, weighted = problem.student.derivative, neurons.masses * neurons.a
    block, outside = np.zeros((k, k)), 0.0
    for z, rho in zip(ndtri(uniforms[:, :k]), lengths, strict=True):
        slopes = derivative((neurons.u @ z)[:, None] + rho * np.outer(neurons.r, U))
        gradient = (weighted * (slopes @ w)) @ neurons.u
        block += np.outer(gradient, gradient)
        outside += 0.0 if flat else float((weighted * neurons.r) @ (slopes @ (w * U))) ** 2 / D
    return block / len(uniforms), outside / len(uniforms)


def _target_moments(problem: Problem) -> tuple[Array, Array]:
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


def _student_moments(neurons: Neurons, problem: Problem) -> tuple[Array, Array]:
    """Weights of X_i and of X_i X_iᵀ in E ∇f and E ∇²f, (n,) each."""
    length = np.sqrt(neurons.q)
    slope, tilt = problem.student.average_slopes(0.0, length, math.inf)
    # E G σ'(sG) = s E σ''(sG)
    curvature = np.divide(tilt, length, out=np.zeros_like(length), where=length > 0)
    weighted = neurons.masses * neurons.a
    return weighted * slope, weighted * curvature


def _residual_root(neurons: Neurons, problem: Problem, products: Array) -> Array:
    """F with F Fᵀ the weights of v vᵀ + H² on the axes of the subspace and the rows X, (k + p,).

    v = E ε x and H = E ε (x xᵀ − I); `products` are the inner products of all these rows.
    """
    first, second = _target_moments(problem)
    slope, curvature = _student_moments(neurons, problem)
    H = block_diag(second, np.diag(-curvature))
    values, vectors = np.linalg.eigh(products)
    root = H @ (vectors * np.sqrt(np.maximum(values, 0.0)))
    return np.column_stack((np.append(first, -slope), root))


def _residual_moments(neurons: Neurons, problem: Problem) -> tuple[Array, float]:
    """v vᵀ + H² of a law: its block on the subspace, and the eigenvalue in directions outside."""
    first, second = _target_moments(problem)
    slope, curvature = _student_moments(neurons, problem)
    v = first - slope @ neurons.u
    H = second - np.einsum("i,ix,iy->xy", curvature, neurons.u, neurons.u)
    outside = float(curvature @ neurons.r**2) / problem.perpendicular_dim
    return np.outer(v, v) + H @ H, outside**2
