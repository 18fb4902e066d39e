"""Quadrature rules for the laws that Gaussian inputs induce.

Gauss rules are computed from their three-term recurrences (Golub & Welsch 1969; weights as in
Gautschi 2004) and normalised, so that no Gamma function overflows: they hold for 10⁶
dimensions as for 2.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

from meanfield.gaussian.sobol import sobol_points

Rule = tuple[NDArray[np.float64], NDArray[np.float64]]

# a Gaussian carries 1e-15 of its mass beyond, and 1e-11 of its fourth moment
GAUSSIAN_REACH = 8.0
LARGE = 1e200  # where a sum of squares is scaled down


def gaussian_density(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Density of N(0, 1)."""
    return np.asarray(np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi))


def gauss_rule(diagonal: NDArray[np.float64], squares: NDArray[np.float64]) -> Rule:
    """Nodes and probability weights of the recurrence x p_i = p_{i+1} + a_i p_i + b_i² p_{i-1}.

    Nodes are eigenvalues. A weight is 1/Σ_i p_i(x)² over the orthonormal polynomials (Christoffel's
    number): it keeps its digits in the tails, where the components of eigenvectors drown in
    rounding. The sum is carried as a number and a power of e, for it exceeds every float there.
    """
    off = np.sqrt(squares)
    nodes = eigh_tridiagonal(diagonal, off, eigvals_only=True)
    before, now = np.zeros_like(nodes), np.ones_like(nodes)
    total, exponent = np.ones_like(nodes), np.zeros_like(nodes)
    for i, b in enumerate(off):
        last = off[i - 1] if i else 0.0
        before, now = now, ((nodes - diagonal[i]) * now - last * before) / b
        total += now * now
        large = total > LARGE
        if large.any():
            scale = np.where(large, np.sqrt(total), 1.0)
            before, now, total = before / scale, now / scale, total / scale**2
            exponent += 2.0 * np.log(scale)
    weights = np.exp(-exponent) / total
    return nodes, weights / weights.sum()


def hermite_rule(nodes: int) -> Rule:
    """Gauss rule for N(0, 1) (Hermite), symmetric to the last bit."""
    x, w = gauss_rule(np.zeros(nodes), np.arange(1.0, nodes))
    return 0.5 * (x - x[::-1]), 0.5 * (w + w[::-1])


def half_gaussian_rule(nodes: int) -> Rule:
    """The Gauss rule of |x|, x standard Gaussian; its recurrence by Stieltjes's procedure."""
    x, w = panel_rule(np.array([0.0, 12.0]), 200)
    w = w * np.exp(-0.5 * x * x)
    w /= w.sum()
    before, now, size = np.zeros_like(x), np.ones_like(x), 1.0
    diagonal: list[float] = []
    squares: list[float] = []
    for _ in range(nodes):
        diagonal.append(float(w @ (x * now * now)) / size)
        ahead = (x - diagonal[-1]) * now - (squares[-1] if squares else 0.0) * before
        norm = float(w @ (ahead * ahead))
        squares.append(norm / size)
        before, now, size = now, ahead, norm
    return gauss_rule(np.array(diagonal), np.array(squares[:-1]))


def sphere_coordinate_rule(D: float, nodes: int) -> Rule:
    """Gauss rule for the first coordinate of a uniform point of S^{D-1} (Gegenbauer).

    D = 1 is ±1 with equal weights; D = ∞ is the single point 0.
    """
    if math.isinf(D):
        return np.zeros(1), np.ones(1)
    if D == 1:
        return np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    i = np.arange(1.0, nodes)
    squares = i * (i + D - 3.0) / ((2.0 * i + D - 2.0) * np.maximum(2.0 * i + D - 4.0, 1.0))
    squares[:1] = 1.0 / D  # the general term is 0/0 at i = 1, D = 2
    return gauss_rule(np.zeros(nodes), squares)


@lru_cache(maxsize=64)
def legendre_rule(nodes: int) -> Rule:
    """Gauss–Legendre on (−1, 1), weights of sum 2; read-only, since it is made once."""
    x, w = leggauss(nodes)
    x.flags.writeable = w.flags.writeable = False
    return x, w


def chi_rule(dof: float, nodes: int) -> Rule:
    """Rule for the length of a standard Gaussian vector in `dof` dimensions.

    Few dimensions: Gauss-Legendre on a half-line that ends where the density does, which resolves
    integrands that vary fast near 0. Many: generalised Gauss-Laguerre in the squared length, whose
    law narrows around its mean.
    """
    if dof <= 8:
        end = GAUSSIAN_REACH + math.sqrt(dof - 1.0)
        x, w = legendre_rule(nodes)
        length = 0.5 * end * (x + 1.0)
        weights = w * length ** (dof - 1.0) * np.exp(-0.5 * length**2)
        return length, weights / weights.sum()
    alpha = 0.5 * dof - 1.0
    i = np.arange(1.0, nodes)
    # shifted by its mean: unshifted, the spread would drown in the rounding of α itself
    shifted, weights = gauss_rule(2.0 * np.arange(nodes, dtype=np.float64), i * (i + alpha))
    return np.sqrt(2.0 * (shifted + alpha + 1.0)), weights


# rules over Z: the numbers of nodes that are tried, and how well one agrees with the next
OVERLAP_LADDER = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384)
SMOOTH_OVERLAP, KINKED_OVERLAP = 1e-13, 1e-8


def overlap_rule(D: float, r_max: float, *, smooth: bool) -> Rule:
    """Rule over Z, the cosine of two neurons' perpendicular parts, for lengths up to `r_max`.

    The hardest integrand is the slope of a neuron paired with one of its own length at u = 0; the
    rule is the first of a ladder that agrees with the next on it.
    """
    if math.isinf(D) or D == 1:
        return sphere_coordinate_rule(D, 1)

    q = min(r_max, 1e150) ** 2  # a larger one would overflow, and changes nothing
    share = q / (1.0 + q)

    def slope(rule: Rule) -> float:
        Z, w = rule
        if smooth:
            return float(w @ (Z * Z / np.sqrt(1.0 - (share * Z) ** 2)))
        return float(w @ (Z * np.arcsin(Z)))

    tolerance = SMOOTH_OVERLAP if smooth else KINKED_OVERLAP
    ladder = OVERLAP_LADDER if smooth else OVERLAP_LADDER[: OVERLAP_LADDER.index(64) + 1]
    rules = (sphere_coordinate_rule(D, nodes) for nodes in ladder)
    rule = next(rules)
    for finer in rules:
        coarse, fine = slope(rule), slope(finer)
        if abs(coarse - fine) <= tolerance * abs(fine):
            return rule
        rule = finer
    return rule


def panel_rule(breaks: NDArray[np.float64], nodes: int) -> Rule:
    """Composite Gauss-Legendre rule between consecutive break points."""
    x, w = legendre_rule(nodes)
    width = np.diff(breaks)
    points = breaks[:-1, None] + 0.5 * width[:, None] * (x + 1.0)
    return points.ravel(), (0.5 * width[:, None] * w).ravel()


LEBEDEV_DEGREES = (*range(3, 33, 2), *range(35, 132, 6))


def half_sphere_rule(k: int, level: int) -> Rule:
    """Directions of S^{k-1}, one of each antipodal pair, with probability weights.

    Parameters
    ----------
    k : int
        1 (a single direction), 2 (equal angles) or 3 (half a Lebedev rule, and beyond its largest
        degree half a product rule).
    level : int
        Polynomial degree the full rule integrates, at least.

    Returns
    -------
    directions : ndarray, shape (m, k)
    weights : ndarray, shape (m,)
    """
    if k == 1:
        return np.ones((1, 1)), np.ones(1)
    if k == 2:
        m = level // 2 + 1
        angles = math.pi * (np.arange(m) + 0.5) / m
        return np.column_stack((np.cos(angles), np.sin(angles))), np.full(m, 1.0 / m)
    if k == 3:
        return _lebedev(level) if level <= LEBEDEV_DEGREES[-1] else product_half_sphere(level)
    raise ValueError(f"k must be 1, 2 or 3 for a rule on directions, got {k}")


def half_sphere_size(k: int, level: float) -> float:
    """How many directions that is, about."""
    if k < 3:
        return 1.0 if k == 1 else level / 2.0
    return level**2 / (6.0 if level <= LEBEDEV_DEGREES[-1] else 4.0)


def _lebedev(level: int) -> Rule:
    from scipy.integrate import lebedev_rule

    points, weights = lebedev_rule(next(m for m in LEBEDEV_DEGREES if m >= level))
    # keep the half of each pair whose last non-zero coordinate is positive
    x, y, z = np.where(np.abs(points) < 1e-12, 0.0, points)
    half = (z > 0) | ((z == 0) & ((y > 0) | ((y == 0) & (x > 0))))
    chosen = weights[half]
    return np.ascontiguousarray(points[:, half].T), chosen / chosen.sum()


def product_half_sphere(level: int) -> Rule:
    """Half of the sphere: Gauss–Legendre in the height, equal angles around, at any degree.

    Its axis is skew to the coordinates, so that planes of symmetry, where kinks of targets lie,
    meet no row of nodes.
    """
    rings, around = 2 * math.ceil((level + 1) / 4), level + 1
    height, weight = legendre_rule(rings)
    height, weight = height[rings // 2 :], weight[rings // 2 :]
    angle = 2.0 * math.pi * (np.arange(around) + 0.5) / around
    across = np.sqrt((1.0 - height) * (1.0 + height))
    points = np.stack(
        (np.outer(across, np.cos(angle)), np.outer(across, np.sin(angle)),
         np.repeat(height[:, None], around, axis=1)), axis=-1,
    ).reshape(-1, 3)  # fmt: skip
    axis = np.array([0.36, 0.48, 0.8]) - np.array([0.0, 0.0, 1.0])
    points -= np.outer(points @ axis, axis) * (2.0 / (axis @ axis))  # Householder: z onto the axis
    return points, np.repeat(weight / around, around)


# coordinates up to here are held by a product rule of these many nodes each, beyond by Sobol points
PRODUCT_NODES = {1: (96, 144), 2: (64, 80), 3: (28, 36), 4: (14, 18)}
SOBOL_POWERS = (15, 17)


def gaussian_nodes(k: int, *, smooth: bool = True, level: int = 0) -> Rule:
    """Nodes (S, k) and probability weights (S,) of N(0, I_k).

    Parameters
    ----------
    k : int
        Up to 4, a product of Gauss-Hermite rules; beyond, a scrambled Sobol sequence.
    smooth : bool
        If False the product is of Gauss-Legendre rules on both sides of 0, so that kinks and jumps
        on the coordinate planes cost nothing.
    level : int
        0, or 1 for more nodes: the difference between the two estimates the error.
    """
    if k not in PRODUCT_NODES:
        z = sobol_points(k, SOBOL_POWERS[level], level)
        return z, np.full(len(z), 1.0 / len(z))
    nodes = PRODUCT_NODES[k][level]
    if smooth:
        return product_rule(*hermite_rule(nodes), k)
    half, weight = panel_rule(np.array([0.0, GAUSSIAN_REACH]), nodes // 2)
    x, w = mirrored(half, weight * np.exp(-0.5 * half * half))
    return product_rule(x, w / w.sum(), k)


def coarse_share(k: int) -> float:
    """How far level 0 of `gaussian_nodes` may be off, over its difference from level 1.

    As of a rule of first order, which is what kinks and jumps make of these.
    """
    coarse, fine = PRODUCT_NODES.get(k) or (2**power for power in SOBOL_POWERS)
    return fine / (fine - coarse)


def two_sided_product(k: int, nodes: int) -> Rule:
    """The k-fold product of `nodes` Gauss nodes on each side of 0, for N(0, I_k).

    Kinks of a function on the coordinate planes cost nothing.
    """
    x, w = mirrored(*half_gaussian_rule(nodes))
    return product_rule(x, 0.5 * w, k)


def mirrored(x: NDArray[np.float64], w: NDArray[np.float64]) -> Rule:
    """A rule above 0 and its mirror image, with weights twice as large in all."""
    return np.concatenate((-x[::-1], x)), np.concatenate((w[::-1], w))


def product_rule(x: NDArray[np.float64], w: NDArray[np.float64], k: int) -> Rule:
    """The k-fold product of a rule: points (S, k), weights (S,)."""
    z = np.stack(np.meshgrid(*[x] * k, indexing="ij"), axis=-1).reshape(-1, k)
    weights = w
    for _ in range(k - 1):
        weights = np.multiply.outer(weights, w)
    return z, weights.ravel()
