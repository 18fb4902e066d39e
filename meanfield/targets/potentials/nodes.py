"""Potentials of any function of z, on nodes.

Either the nodes stay where they are, or they turn with the neuron. σ sees z through τ, the
coordinate along u, alone, and there its Hermite coefficients are known. So f* is averaged over the
plane across u, which leaves functions of τ as smooth as f* is, however steep σ may be:
E f* σ(λ) = Σ_m h_m(q) (|u|/√q)^m E f* he_m(τ), and its slopes likewise.
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache

import numpy as np

from meanfield.activations import Activation, get_activation
from meanfield.gaussian.hermite_coefficients import hermite_table, student_coefficients
from meanfield.gaussian.hermite_expansions import Expansion, expand
from meanfield.gaussian.rules import coarse_share, gaussian_nodes
from meanfield.kernels.fields.mesh import BELOW, POINTS
from meanfield.kernels.fields.pairs import series
from meanfield.targets.base import Target
from meanfield.targets.potentials.base import TINY, Array, Potential, Values, variances

REACH, ACROSS = 9.5, 6.8  # of the nodes along u, where polynomials grow, and across
SPACINGS = {2: (0.4, 0.28, 0.2, 0.14, 0.1), 3: (0.4, 0.32, 0.25, 0.2)}  # tried in turn
GOOD, SERVES = 1e-9, 1e-8  # errors over √(E f*²) that end the search, and that pass
BATCH, TABLE_BATCH = 2**17, 2**12  # points, and neurons, at a time
ANGLES = 2048  # of a table at k = 2
TABLE_COST = 1e-5  # seconds of a neuron
FIXED_COST, TURNED_COST = 1e-7, 2e-7  # seconds of a neuron and a node
CHANCE = 2.0  # where a kink lies among the nodes of two levels is chance: their errors may agree


class NodeSums(Potential):
    """A product rule up to four coordinates, Sobol points beyond.

    Given z, λ is N(u·z, r²), so that every node needs the Gaussian averages g0, g1, g2 of σ.
    """

    precise = False

    def __init__(self, student: Activation, target: Target):
        self.student, self.target = student, target
        self.levels: dict[int, tuple[Array, Array]] = {}

    def _nodes(self, level: int) -> tuple[Array, Array]:
        """Points z (S, rank), and weights times f* there."""
        if level not in self.levels:
            z, w = gaussian_nodes(self.target.rank, smooth=self.target.smooth, level=level)
            self.levels[level] = z, w * self.target(z)
        return self.levels[level]

    @property
    def cost(self) -> float:
        """See `Potential`."""
        return FIXED_COST * len(self._nodes(0)[0])

    @property
    def other(self) -> Potential | None:
        """See `Potential`: more nodes are no other way."""
        return None

    def __call__(self, u: Array, r: Array, students: Expansion | None = None) -> Values:
        """See `Potential`."""
        return self.value(u, r), *self.slopes(u, r)

    def value(self, u: Array, r: Array, students: Expansion | None = None, level: int = 0) -> Array:
        """See `Potential`."""
        z, weighted = self._nodes(level)
        averages = (
            self.student.average(u[i] @ z.T, np.full(len(z), r[i]), math.inf) for i in range(len(u))
        )
        return np.array([float(weighted @ average) for average in averages])

    def slopes(
        self, u: Array, r: Array, students: Expansion | None = None, level: int = 0
    ) -> tuple[Array, Array]:
        """E f* σ'(λ) z, and E f* G σ'(λ) with G the coordinate across."""
        z, weighted = self._nodes(level)
        out_u, out_r = np.empty_like(u), np.empty_like(r)
        for i in range(len(u)):
            g1, g2 = self.student.average_slopes(u[i] @ z.T, np.full(len(z), r[i]), math.inf)
            out_u[i], out_r[i] = (weighted * g1) @ z, weighted @ g2
        return out_u, out_r

    def miss(
        self, u: Array, r: Array, students: Expansion | None = None, found: Values | None = None
    ) -> Values:
        """See `Potential`: change on more nodes, and what averages of σ miss."""
        units = expand(self.student, variances(u, r))
        share = CHANCE * coarse_share(self.target.rank)
        norm = math.sqrt(self.target.second_moment())
        value = share * np.abs(self.value(u, r, level=1) - self.value(u, r))
        coarse, fine = self.slopes(u, r), self.slopes(u, r, level=1)
        # of a slope in r only what it adds to those in u is told: it vanishes with r
        slope_u = share * np.abs(fine[0] - coarse[0])
        own = units.error * norm * np.sqrt(np.maximum(units.slope_square, TINY))
        known = units.error * norm * np.sqrt(units.square)
        return np.maximum(value, known), np.maximum(slope_u, own[:, None]), own


class Across(Potential):
    """E f* σ(λ), ∂/∂u, ∂/∂r at (u, r) for one student and one target with 2 or 3 coordinates.

    Parameters
    ----------
    student : Activation
    target : Target
    spacing : float
        Of the nodes, a lattice in an ellipsoid.
    turn : float
        By how much the lattice is shifted and turned about u, which shows what it misses.
    """

    def __init__(self, student: Activation, target: Target, spacing: float, turn: float = 0.0):
        self.student, self.target, self.k, self.turn = student, target, target.rank, turn
        self.terms = int(0.6 * (math.pi / spacing) ** 2)
        axes = [
            spacing * (np.arange(-int(reach / spacing), reach / spacing) + 0.31 * (turn > 0.0))
            for reach in (REACH, ACROSS, ACROSS)[: self.k]
        ]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, self.k)
        far = (points[:, 0] / REACH) ** 2 + ((points[:, 1:] / ACROSS) ** 2).sum(axis=1)
        self.points = points[far < 1.0]
        weight = np.exp(-0.5 * (self.points**2).sum(axis=1))
        self.weight = weight / weight.sum()
        tau, self.first = np.unique(self.points[:, 0], return_index=True)
        self.polynomials = np.ascontiguousarray(hermite_table(tau, self.terms + 1).T)
        self.tabulated = self.k == 2 and turn == 0.0

    @property
    def nodes(self) -> int:
        """How many values of f* a direction takes."""
        return len(self.points)

    @property
    def cost(self) -> float:
        """Seconds a neuron takes, rough."""
        return TABLE_COST if self.tabulated else TURNED_COST * self.nodes

    @property
    def other(self) -> Potential | None:
        """See `Potential`: finer nodes, shifted and turned."""
        return across(self.student, self.target, other=True)

    def __call__(self, u: Array, r: Array, students: Expansion | None = None) -> Values:
        """See `Potential`."""
        size = TABLE_BATCH if self.tabulated else max(1, BATCH // self.nodes)
        parts = [self._part(u[i : i + size], r[i : i + size]) for i in range(0, len(r), size)]
        value, out_u, out_r = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
        return value, out_u, out_r

    def _part(self, u: Array, r: Array) -> Values:
        length = np.sqrt(np.einsum("ix,ix->i", u, u))
        root = np.hypot(length, r)
        frame = _frames(u / np.maximum(length, TINY)[:, None], self.turn)
        value, *slopes = self._interpolated(frame) if self.tabulated else self._averages(frame)
        h, s, above = student_coefficients(self.student, root, self.terms)
        share = np.divide(length, root, out=np.zeros_like(r), where=root > 0.0)
        powers = share[:, None] ** np.arange(self.terms)
        s, above = s * powers, above * powers
        seen = np.stack([(s * part).sum(axis=1) for part in slopes], axis=1)
        scale = np.divide(r, root, out=np.zeros_like(r), where=root > 0.0)
        return (
            (h * powers * value).sum(axis=1),
            np.einsum("ij,ijx->ix", seen, frame),
            scale * (above * value).sum(axis=1),
        )

    def _averages(self, frame: Array) -> list[Array]:
        """E f* he_m(τ), and the same of f* times each coordinate of a frame, all (n, terms)."""
        turned = frame.transpose(1, 0, 2).reshape(self.k, -1)  # one matrix product for all
        values = self.target((self.points @ turned).reshape(self.nodes, -1, self.k))  # (P, n)
        values = values * self.weight[:, None]
        along = self._seen(values)
        across = [self._seen(values * x[:, None])[:, : self.terms] for x in self.points.T[1:]]
        return [along[:, : self.terms], _raised(along), *across]

    def _seen(self, values: Array) -> Array:
        return np.add.reduceat(values, self.first, axis=0).T @ self.polynomials

    @cached_property
    def _table(self) -> Array:
        """The averages at k = 2 at equal angles from −π, and some more on either side."""
        angle = (np.arange(ANGLES + POINTS) - BELOW) * (2.0 * math.pi / ANGLES) - math.pi
        direction = np.stack((np.cos(angle), np.sin(angle)), axis=1)
        size = max(1, BATCH // self.nodes)
        parts = [
            np.concatenate(self._averages(_frames(direction[i : i + size], 0.0)), axis=1)
            for i in range(0, len(angle), size)
        ]
        return np.concatenate(parts)

    def _interpolated(self, frame: Array) -> list[Array]:
        """The averages from the table: trigonometric polynomials of degree m + 1 in the angle."""
        angle = np.arctan2(frame[:, 0, 1], frame[:, 0, 0]) + math.pi
        out = np.empty((len(angle), 3 * self.terms))
        # the kernel's table is uniform in asinh
        series.interpolate(np.sinh(angle), self._table, 2.0 * math.pi / ANGLES, out)
        return np.split(out, 3, axis=1)


def across(student: Activation, target: Target, *, other: bool = False) -> Across | None:
    """Nodes that hold a target to `SERVES`, which is tried out; None if none do.

    With `other`, finer ones at other places, to hold the first to.
    """
    if target.rank not in SPACINGS or not target.smooth:
        return None
    spacing = _spacing(target)
    if spacing is None:
        return None
    return (
        Across(student, target, 0.83 * spacing, 1.0) if other else Across(student, target, spacing)
    )


@lru_cache(maxsize=32)
def _spacing(target: Target) -> float | None:
    """The widest that serves; a kink or a steep place shows in what the next one changes."""
    u, r = _probes(target.rank)
    size = math.sqrt(target.second_moment()) or 1.0
    found, best = None, None
    for spacing in SPACINGS[target.rank]:
        before, found = found, Across(get_activation("relu"), target, spacing)(u, r)
        if before is not None:
            miss = max(float(np.abs(x - y).max()) for x, y in zip(before, found, strict=True))
            best = spacing if miss <= SERVES * size else None
            if miss <= GOOD * size:
                break
    return best


def _probes(k: int) -> tuple[Array, Array]:
    """A few neurons in directions that mean nothing to a target, and along the axes.

    Close to the subspace: there terms of high order count.
    """
    rng = np.random.default_rng(k)
    u = np.concatenate((rng.standard_normal((8, k)), np.eye(k), np.ones((1, k))))
    return u / np.sqrt((u**2).sum(axis=1))[:, None], np.linspace(0.0, 0.3, len(u)) ** 2


def _frames(direction: Array, turn: float) -> Array:
    """Orthonormal frames (n, k, k) whose first vector is the direction, or e_1 where it is 0."""
    k = direction.shape[1]
    direction = direction.copy()
    direction[~direction.any(axis=1), 0] = 1.0
    if k == 2:
        return np.stack((direction, direction[:, ::-1] * [-1.0, 1.0]), axis=1)
    # a reflection that takes e_1 to ∓ the direction, whichever does not cancel
    sign = np.where(direction[:, 0] > 0.0, -1.0, 1.0)
    normal = direction * sign[:, None]
    normal[:, 0] -= 1.0
    normal /= np.sqrt((normal**2).sum(axis=1))[:, None]
    frame = np.eye(k) - 2.0 * normal[:, :, None] * normal[:, None, :]
    frame[:, 0] *= sign[:, None]
    if turn > 0.0:
        c, s = math.cos(turn), math.sin(turn)
        frame[:, 1:] = np.array([[c, s], [-s, c]]) @ frame[:, 1:]
    return frame


def _raised(along: Array) -> Array:
    """E f* τ he_m(τ) from E f* he_m(τ), one term fewer."""
    m = np.arange(along.shape[1] - 1.0)
    out = np.sqrt(m + 1.0) * along[:, 1:]
    out[:, 1:] += np.sqrt(m[1:]) * along[:, :-2]
    return out
