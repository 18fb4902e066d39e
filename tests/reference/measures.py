"""Slow twin of the mean field and of the overlap equations for any activation and target.

Everything is an average over two or three Gaussians, by Gauss-Legendre panels that end at every
kink and shrink towards every steep place, and that is all: no expansion, no mesh, no closed form
but for the smoothing of erf, ReLU, polynomials and sine by one Gaussian. A target is a sum of terms
(`Ridge`, `Product`, `Radial`, `Monomials`), so that no average has more dimensions than that.

The number of nodes in a panel is an argument: two of them tell how far the numbers can be trusted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.legendre import leggauss
from scipy.special import erf, ndtr, roots_gegenbauer, roots_jacobi

from tests.reference.units import ROOT_TWO_OVER_PI, Unit

REACH = 9.5
CHUNK = 2**18
NO_OVERLAP = np.zeros(1), np.ones(1)
SPREAD = 4.0  # from one panel to the next, away from a steep place


# -- rules ------------------------------------------------------------------------------------


def edges_of(centres, widths, low, high, longest):
    """Ends of panels (N, m): at the centres (N, C), and from `widths` (N, C) on growing away."""
    N = len(centres)
    uniform = np.linspace(low, high, 1 + math.ceil((high - low) / longest))
    parts = [np.broadcast_to(uniform, (N, len(uniform)))]
    if centres.shape[1]:
        parts.append(centres)
        smallest = float(max(widths.min(), 1e-12))
        levels = max(0, math.ceil(math.log((high - low) / smallest, SPREAD)))
        for j in range(levels):
            step = widths * SPREAD**j
            parts += [centres - step, centres + step]
    return np.sort(np.clip(np.concatenate(parts, axis=1), low, high), axis=1)


def panels(edges, nodes):
    """Gauss-Legendre in every panel: points and weights (N, m·nodes)."""
    x, w = leggauss(nodes)
    half = 0.5 * np.diff(edges, axis=1)[:, :, None]
    points = edges[:, :-1, None] + half * (x + 1.0)
    weights = half * w
    return points.reshape(len(edges), -1), weights.reshape(len(edges), -1)


def gaussian_rows(centres, widths, longest, nodes):
    """Rules for a standard normal, one a row, of equal length."""
    points, weights = panels(edges_of(centres, widths, -REACH, REACH, min(longest, 1.6)), nodes)
    return points, weights * np.exp(-0.5 * points**2) / math.sqrt(2.0 * math.pi)


def gaussian_line(centres, widths, longest, nodes):
    """One rule for a standard normal."""
    rows = np.array(centres, dtype=float)[None, :], np.array(widths, dtype=float)[None, :]
    points, weights = gaussian_rows(*rows, longest, nodes)
    kept = weights[0] > 0.0
    return points[0][kept], weights[0][kept]


def overlap_law(D, nodes, rough):
    """Z = θ·θ' of two uniform directions of D dimensions; `rough` where aligned pairs are."""
    if math.isinf(D):
        return np.zeros(1), np.ones(1)
    if D == 1:
        return np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    if D > 9:
        count = 4 * nodes if rough else 2 * nodes
        if D > 10**5:
            Z, w = hermegauss(count)
            return Z / math.sqrt(D), w / w.sum()
        Z, w = roots_gegenbauer(count, 0.5 * D - 1.0)
        return Z, w / w.sum()
    if not rough:
        Z, w = roots_jacobi(3 * nodes, 0.5 * (D - 3.0), 0.5 * (D - 3.0))
        return Z, w / w.sum()
    ends = 0.5 * math.pi * np.append(0.0, 4.0 ** np.arange(-6.0, 1.0))
    angle, w = panels(np.concatenate((ends, math.pi - ends[-2::-1]))[None, :], nodes)
    w = w[0] * np.sin(angle[0]) ** (D - 2)
    return np.cos(angle[0]), w / w.sum()


# -- one Gaussian: E f(m + sG), E f'(m + sG), E G f'(m + sG) ----------------------------------


def smoothed(f: Unit, mean, s, nodes):
    """The three averages at every mean (N,), for one s ≥ 0."""
    if s == 0.0:
        return f.value(mean), f.slope(mean), np.zeros_like(mean)
    closed = _closed(f, mean, s)
    if closed is not None:
        return closed
    if f.smooth and (not f.centres or s < 0.25 * f.width) and s < 0.5 * f.wave:
        G, w = hermegauss(2 * nodes)
        return _summed(f, mean[:, None] + s * G, G, w / w.sum())
    if not f.centres or (s < 0.05 * f.width and f.smooth):
        G, w = gaussian_line((), (), min(1.6, f.wave / s), nodes)
        return _in_chunks(f, mean, s, lambda part: (G[None, :], w[None, :]), len(G))

    def rule(part):
        centres = (np.array(f.centres) - part[:, None]) / s
        return gaussian_rows(centres, np.full_like(centres, f.width / s), f.wave / s, nodes)

    return _in_chunks(f, mean, s, rule, rule(mean[:1])[0].shape[1])


def _in_chunks(f, mean, s, rule, length):
    out = np.empty((3, len(mean)))
    size = max(1, CHUNK // length)
    for first in range(0, len(mean), size):
        part = mean[first : first + size]
        G, w = rule(part)
        out[:, first : first + size] = _summed(f, part[:, None] + s * G, G, w)
    return tuple(out)


def _summed(f, x, G, w):
    slope = f.slope(x) * w
    return (f.value(x) * w).sum(axis=1), slope.sum(axis=1), (slope * G).sum(axis=1)


def _closed(f, m, s):
    if f.label == "erf":
        wide = math.sqrt(1.0 + s * s)
        slope = ROOT_TWO_OVER_PI / wide * np.exp(-0.5 * (m / wide) ** 2)
        return erf(m / wide / math.sqrt(2.0)), slope, -s * m / wide**2 * slope
    if f.pieces is not None:
        c0, c1, ramps = f.pieces
        value, slope, tilted = c0 + c1 * m, np.full_like(m, c1), np.zeros_like(m)
        for kink, jump in ramps:
            x = (m - kink) / s
            above, density = ndtr(x), np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
            value = value + jump * s * (x * above + density)
            slope, tilted = slope + jump * above, tilted + jump * density
        return value, slope, tilted
    if f.label == "sine":
        fade = math.exp(-0.5 * s * s)
        return fade * np.sin(m), fade * np.cos(m), -s * fade * np.sin(m)
    if not f.centres and math.isinf(f.wave):  # a polynomial: Gauss's rule is exact
        G, w = hermegauss(12)
        return _summed(f, m[:, None] + s * G, G, w / w.sum())
    return None


# -- two Gaussians ----------------------------------------------------------------------------


def two_along(f: Unit, g: Unit, root, along, beyond, nodes):
    """E f(x) g(y), E f(x) g'(y) s and E f(x) g'(y) t, for independent s and t.

    x = root·s and y = along·s + beyond·t.
    """
    centres, widths, longest = [], [], 1.6
    if root > 0.0:
        centres += [x / root for x in f.centres]
        widths += [f.width / root] * len(f.centres)
        longest = min(longest, f.wave / root)
    if along != 0.0:
        centres += [y / along for y in g.centres]
        layer = max(beyond, g.width if g.smooth else 0.0) or g.width
        widths += [layer / abs(along)] * len(g.centres)
        longest = min(longest, max(g.wave, 0.5 * beyond) / abs(along))
    s, w = gaussian_line(np.clip(centres, -1e6, 1e6), np.minimum(widths, 1e6), longest, nodes)
    value, slope, tilted = smoothed(g, along * s, beyond, nodes)
    seen = w * f.value(root * s)
    return float(seen @ value), float((seen * s) @ slope), float(seen @ tilted)


# -- targets ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ridge:
    """weight · f(b·y), for the coordinates y that the term acts on."""

    f: Unit
    b: tuple[float, ...]
    weight: float = 1.0

    def __call__(self, y):
        """Values at y (N, m)."""
        return self.weight * self.f.value(y @ np.array(self.b))

    def against(self, g, u, r, nodes):
        """E h g(λ), ∂/∂u and ∂/∂r of it, for λ = u·y + r·(noise)."""
        b, root = np.array(self.b), math.sqrt(float(np.dot(self.b, self.b)))
        along = float(u @ b) / root
        inside = u - along * b / root
        beyond = math.hypot(float(np.linalg.norm(inside)), r)
        if beyond < 1e-14 * math.hypot(float(np.linalg.norm(u)), r):
            beyond = 0.0
        value, S, T = two_along(self.f, g, root, along, beyond, nodes)
        share = T / beyond if beyond > 0.0 else 0.0
        found = value, S * b / root + share * inside, share * r
        return tuple(self.weight * part for part in found)

    def mean(self, nodes):
        """E h."""
        return self.weight * line_mean(self.f, float(np.dot(self.b, self.b)), nodes)

    def overlap(self, other, nodes):
        """E h h' with another ridge on the same coordinates."""
        b, root = np.array(other.b), float(np.linalg.norm(self.b))
        axis = np.array(self.b) / root
        beyond = float(np.linalg.norm(b - (b @ axis) * axis))
        if beyond < 1e-14 * float(np.linalg.norm(b)):
            beyond = 0.0
        value = two_along(self.f, other.f, root, float(b @ axis), beyond, nodes)[0]
        return self.weight * other.weight * value


def line_mean(f, q, nodes, power=1):
    """E f(√q s)^power."""
    root = math.sqrt(q)
    s, w = gaussian_line(
        [x / root for x in f.centres], [f.width / root] * len(f.centres), f.wave / root, nodes
    )
    return float(w @ f.value(root * s) ** power)


@dataclass(frozen=True)
class Product:
    """weight · f(y_1) g(y_2)."""

    f: Unit
    g: Unit
    weight: float = 1.0

    def __call__(self, y):
        """Values at y (N, 2)."""
        return self.weight * self.f.value(y[:, 0]) * self.g.value(y[:, 1])

    def against(self, sigma, u, r, nodes):
        """As for `Ridge`: y_1, then y_2 with breaks where σ is rough given y_1, then the rest."""
        layer = max(r, sigma.width if sigma.smooth else 0.0)  # 0: a kink along a line
        x, w = self._outer(sigma, u, r, layer, nodes)
        centres = [np.full_like(x, c) for c in self.g.centres]
        widths = [np.full_like(x, self.g.width) for _ in self.g.centres]
        longest = self.g.wave
        if abs(u[1]) > 1e-3 * layer:
            for c in sigma.centres:
                centres.append(np.clip((c - u[0] * x) / u[1], -1e3, 1e3))
                widths.append(np.full_like(x, min((layer or sigma.width) / abs(u[1]), 1e3)))
            longest = min(longest, max(sigma.wave, 0.5 * r) / abs(u[1]))
        empty = np.empty((len(x), 0))
        rows = [np.stack(part, axis=1) if part else empty for part in (centres, widths)]
        y, wy = gaussian_rows(*rows, longest, nodes)
        value, slope, tilted = (
            part.reshape(y.shape)
            for part in smoothed(sigma, (u[0] * x[:, None] + u[1] * y).ravel(), r, nodes)
        )
        seen = self.weight * (w * self.f.value(x))[:, None] * wy * self.g.value(y)
        total = seen * slope
        by_u = np.array([float((total * x[:, None]).sum()), float((total * y).sum())])
        return float((seen * value).sum()), by_u, float((seen * tilted).sum())

    def _outer(self, sigma, u, r, layer, nodes):
        """The rule for y_1: rough where σ is for all y_2, and where σ's line meets a kink of g."""
        places = [(c, self.f.width) for c in self.f.centres]
        longest = self.f.wave
        if abs(u[0]) > 1e-3 * layer:
            for c in sigma.centres:
                places.append((c / u[0], max(layer, 0.5 * abs(u[1])) / abs(u[0])))
                for y in self.g.kinks:
                    places.append(((c - u[1] * y) / u[0], (layer or abs(u[1]) or 1.0) / abs(u[0])))
            blurred = 0.5 * math.hypot(r, u[1])
            longest = min(longest, max(sigma.wave, blurred) / abs(u[0]))
        centres, widths = np.array(places).reshape(-1, 2).T
        return gaussian_line(np.clip(centres, -1e3, 1e3), np.minimum(widths, 1e3), longest, nodes)

    def mean(self, nodes):
        """E h."""
        return self.weight * line_mean(self.f, 1.0, nodes) * line_mean(self.g, 1.0, nodes)

    def square(self, nodes):
        """E h²."""
        return self.weight**2 * line_mean(self.f, 1.0, nodes, 2) * line_mean(self.g, 1.0, nodes, 2)


@dataclass(frozen=True)
class Radial:
    """weight · f(|y|) of m ≥ 2 coordinates."""

    f: Unit
    m: int
    weight: float = 1.0

    def __call__(self, y):
        """Values at y (N, m)."""
        return self.weight * self.f.value(np.linalg.norm(y, axis=1))

    def _lengths(self, nodes, edges=(), layer=1.0):
        """A rule for |y|, rough at f's own places and where the sphere touches σ's."""
        places = [(c, self.f.width) for c in self.f.centres if c > 0.0]
        places += [(c, layer) for c in edges if 0.0 < c < 12.0]
        centres, widths = np.array(places).reshape(-1, 2).T
        edges = edges_of(centres[None, :], widths[None, :], 0.0, 12.0, min(1.0, self.f.wave))
        rho, w = panels(edges, nodes)
        rho, w = rho[0], w[0]
        w = w * rho ** (self.m - 1) * np.exp(-0.5 * rho**2)
        return rho, w / (2.0 ** (0.5 * self.m - 1.0) * math.gamma(0.5 * self.m))

    def against(self, sigma, u, r, nodes):
        """As for `Ridge`: the length, its angle with u, and the rest."""
        size = float(np.linalg.norm(u))
        unit = u / size if size > 0.0 else np.zeros_like(u)
        layer = max(r, sigma.width if sigma.smooth else 0.0)
        edges = [abs(c) / size for c in sigma.centres] if size > 0.1 * layer else []
        rho, w = self._lengths(nodes, edges, max(layer, 1e-3) / max(size, 1e-9))
        layer = layer or sigma.width
        reach = np.maximum(size * rho, 1e-9)
        at = [np.arccos(np.clip(c / reach, -1.0, 1.0)) for c in sigma.centres]
        empty = np.empty((len(rho), 0))
        centres = np.stack(at, axis=1) if at else empty
        widths = np.repeat(np.minimum(layer / reach, 3.0)[:, None], len(at), axis=1)
        longest = min(0.8, max(sigma.wave, 0.5 * r) / max(size * 6.0, 1e-9))
        angle, wa = panels(edges_of(centres, widths, 0.0, math.pi, longest), nodes)
        wa = wa * np.sin(angle) ** (self.m - 2)
        wa /= math.sqrt(math.pi) * math.gamma(0.5 * (self.m - 1)) / math.gamma(0.5 * self.m)
        along = rho[:, None] * np.cos(angle)
        value, slope, tilted = (
            part.reshape(along.shape) for part in smoothed(sigma, (size * along).ravel(), r, nodes)
        )
        seen = self.weight * (w * self.f.value(rho))[:, None] * wa
        by_u = unit * float((seen * slope * along).sum())
        return float((seen * value).sum()), by_u, float((seen * tilted).sum())

    def mean(self, nodes):
        """E h."""
        rho, w = self._lengths(nodes)
        return self.weight * float(w @ self.f.value(rho))

    def square(self, nodes):
        """E h²."""
        rho, w = self._lengths(nodes)
        return self.weight**2 * float(w @ self.f.value(rho) ** 2)


@dataclass(frozen=True)
class Monomials:
    """Σ coefficient · Π_j h_{α_j}(y_j), in Hermite polynomials of unit norm."""

    terms: tuple[tuple[tuple[int, ...], float], ...]

    def __call__(self, y):
        """Values at y (N, m)."""
        total = np.zeros(len(y))
        for alpha, coefficient in self.terms:
            part = np.full(len(y), coefficient)
            for j, n in enumerate(alpha):
                part = part * unit_hermite(n, y[:, j])
            total += part
        return total

    def against(self, sigma, u, r, nodes):
        """As for `Ridge`: E h_α(y, noise) σ(λ) is one average over λ; z h_n has two terms."""
        root = math.hypot(float(np.linalg.norm(u)), r)
        if root == 0.0:  # σ and σ' are constants
            constant = sum(c for alpha, c in self.terms if not any(alpha))
            by_u = np.zeros_like(u)
            for alpha, c in self.terms:
                if sum(alpha) == 1:
                    by_u[alpha.index(1)] += c
            zero = np.zeros(1)
            return constant * sigma.value(zero)[0], by_u * sigma.slope(zero)[0], 0.0
        direction = np.append(u, r) / root
        degree = 2 + max(sum(alpha) for alpha, _ in self.terms)
        s, w = gaussian_line(
            [c / root for c in sigma.centres], [sigma.width / root] * len(sigma.centres),
            min(sigma.wave / root, 0.8), nodes,
        )  # fmt: skip
        h = [float((w * unit_hermite(n, s)) @ sigma.value(root * s)) for n in range(degree)]
        dh = [float((w * unit_hermite(n, s)) @ sigma.slope(root * s)) for n in range(degree)]
        value, slopes = 0.0, np.zeros(len(direction))
        for alpha, c in self.terms:
            index = (*alpha, 0)
            value += c * _share(index, direction) * h[sum(index)]
            for j in range(len(index)):
                up = (*index[:j], index[j] + 1, *index[j + 1 :])
                slopes[j] += c * math.sqrt(up[j]) * _share(up, direction) * dh[sum(up)]
                if index[j] > 0:
                    down = (*index[:j], index[j] - 1, *index[j + 1 :])
                    slopes[j] += c * math.sqrt(index[j]) * _share(down, direction) * dh[sum(down)]
        return value, slopes[:-1], float(slopes[-1])

    def mean(self, nodes):
        """E h."""
        return sum(c for alpha, c in self.terms if not any(alpha))

    def square(self, nodes):
        """E h²."""
        return sum(c * c for _, c in self.terms)


def _share(alpha, direction):
    """√(n!/α!) Π direction^α."""
    n = math.factorial(sum(alpha))
    for a in alpha:
        n //= math.factorial(a)
    return math.sqrt(n) * float(np.prod(direction ** np.array(alpha)))


def unit_hermite(n, x):
    """h_n(x), of unit norm."""
    before, now = np.zeros_like(x), np.ones_like(x)
    for m in range(n):
        before, now = now, (x * now - math.sqrt(m) * before) / math.sqrt(m + 1.0)
    return now


@dataclass(frozen=True)
class Sum:
    """A target: terms on groups of coordinates of z' = rotation·z, groups that do not share any.

    Terms on one group are ridges, or a single term of another kind.
    """

    rotation: np.ndarray
    groups: tuple[tuple[tuple[int, ...], tuple], ...]

    def __call__(self, z):
        """Values at z (N, k)."""
        y, total = z @ self.rotation.T, np.zeros(len(z))
        for coordinates, terms in self.groups:
            for term in terms:
                total += term(y[:, list(coordinates)])
        return total

    def against(self, sigma, u, r, nodes):
        """E f* σ(λ) and its slopes in u and r, at one neuron."""
        turned, value, by_u, by_r = self.rotation @ u, 0.0, np.zeros(len(u)), 0.0
        for coordinates, terms in self.groups:
            mine = list(coordinates)
            others = np.delete(turned, mine)
            rest = math.hypot(float(np.linalg.norm(others)), r)
            share = np.zeros(len(u)) if rest == 0.0 else turned / rest
            for term in terms:
                one, slope, beyond = term.against(sigma, turned[mine], rest, nodes)
                value += one
                extra = share * beyond
                extra[mine] = slope
                by_u += extra
                by_r += beyond * r / rest if rest > 0.0 else 0.0
        return value, by_u @ self.rotation, by_r

    def square(self, nodes):
        """E f*²."""
        means, total = [], 0.0
        for _, terms in self.groups:
            mean = sum(term.mean(nodes) for term in terms)
            means.append(mean)
            if isinstance(terms[0], Ridge):
                own = sum(a.overlap(b, nodes) for a in terms for b in terms)
            else:
                own = terms[0].square(nodes)
            total += own - mean**2
        return total + sum(means) ** 2


def committee(target, link: Unit):
    """A `CommitteeTarget` as a sum of ridges; `link` is its activation."""
    basis, weights = np.array(target.basis), np.asarray(target.weights) / target.k
    terms = tuple(
        Ridge(link, tuple(map(float, b)), float(c))
        for b, c in zip(basis, weights, strict=True)
        if b @ b > 0.0
    )
    k = basis.shape[1]
    return Sum(np.eye(k), ((tuple(range(k)), terms),))


# -- the mean field ---------------------------------------------------------------------------


@dataclass
class Truth:
    """Φ = E ε σ(λ) at each neuron, its slopes times a, the risk, E f*² and E f²."""

    potential: np.ndarray
    du: np.ndarray
    dr: np.ndarray
    risk: float
    square: float
    energy: float


def pair(sigma, w, other, nodes):
    """E σ(w·x) σ(other·x) and its gradient in w, for vectors w of any number of coordinates."""
    length, root = float(np.linalg.norm(w)), float(np.linalg.norm(other))
    axis = other / root if root > 0.0 else other
    along = float(w @ axis)
    across = w - along * axis
    beyond = float(np.linalg.norm(across))
    if beyond < 1e-14 * length:  # rounding of what is nothing
        beyond = 0.0
    value, S, T = two_along(sigma, sigma, root, along, beyond, nodes)
    share = T / beyond if beyond > 0.0 else 0.0
    return value, S * axis + share * across


def truth(sigma: Unit, target: Sum, D, a, u, r, mass, nodes=10) -> Truth:
    """Potential, velocities and risk of a measure, pair by pair."""
    n, charge = len(a), a * mass
    rough = not sigma.smooth or float(r.max()) > 4.0 * min(sigma.width, sigma.wave)
    law = overlap_law(D, nodes, rough)
    w = np.column_stack((u, r, np.zeros(n)))  # along θ of the neuron that moves, and beside it
    with_target = [target.against(sigma, u[i], float(r[i]), nodes) for i in range(n)]
    potential = np.array([part[0] for part in with_target])
    by_u = np.array([part[1] for part in with_target])
    by_r = np.array([part[2] for part in with_target])
    own = np.zeros(n)
    for i in range(n):
        for j in range(n):
            # without one of the two lengths the angle plays no part
            for Z, share in zip(*(law if r[i] * r[j] > 0.0 else NO_OVERLAP), strict=True):
                beside = r[j] * math.sqrt(max(1.0 - Z * Z, 0.0))
                other = np.concatenate((u[j], [r[j] * Z, beside]))
                value, slope = pair(sigma, w[i], other, nodes)
                own[i] += share * charge[j] * value
                by_u[i] -= share * charge[j] * slope[:-2]
                by_r[i] -= share * charge[j] * slope[-2]
    square = target.square(nodes)
    risk = 0.5 * square - float(charge @ potential) + 0.5 * float(charge @ own)
    return Truth(potential - own, a[:, None] * by_u, a * by_r, risk, square, float(charge @ own))


# -- overlaps ---------------------------------------------------------------------------------


@dataclass
class OverlapTruth:
    """dQ/dt and dM/dt without the γ/p term, E ε σ(λ), the risk, and the norms of their parts."""

    dQ: np.ndarray
    dM: np.ndarray
    potential: np.ndarray
    risk: float
    square: float


def overlap_truth(sigma: Unit, target: Sum, basis, a, w, nodes=10) -> OverlapTruth:
    """Drift of a network with weights w (p, k + m), target coordinates first."""
    p, k = len(a), basis.shape[1]
    potential, gradient, own = np.zeros(p), np.zeros_like(w), np.zeros(p)
    for i in range(p):
        r = float(np.linalg.norm(w[i, k:]))
        value, by_u, by_r = target.against(sigma, w[i, :k], r, nodes)
        potential[i] = value
        gradient[i, :k] += by_u
        if r > 0.0:
            gradient[i, k:] += by_r * w[i, k:] / r
        for j in range(p):
            value, slope = pair(sigma, w[i], w[j], nodes)
            own[i] += a[j] / p * value
            gradient[i] -= a[j] / p * slope
    moved = (a[:, None] * gradient) @ w.T
    square = target.square(nodes)
    risk = 0.5 * square - float(a @ potential) / p + 0.5 * float(a @ own) / p
    dM = a[:, None] * gradient[:, :k] @ basis.T
    return OverlapTruth(moved + moved.T, dM, potential - own, risk, square)


def noise_truth(sigma: Unit, target: Sum, label_noise, a, w, power=14, runs=8):
    """⟨a_i a_j σ'(λ_i) σ'(λ_j) (ε² + Δ)⟩ by scrambled Sobol points, and its standard error."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    p, k = len(a), target.rotation.shape[0]
    found = []
    for seed in range(runs):
        points = qmc.Sobol(w.shape[1], scramble=True, rng=np.random.default_rng(seed))
        x = ndtri(np.clip(points.random_base2(power), 1e-16, 1.0 - 1e-16))
        fields = x @ w.T
        push = sigma.slope(fields) * a
        error = target(x[:, :k]) - sigma.value(fields) @ a / p
        found.append((push * (error**2 + label_noise)[:, None]).T @ push / len(x))
    mean, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
    return mean, float(np.linalg.norm(spread)) / math.sqrt(runs)
