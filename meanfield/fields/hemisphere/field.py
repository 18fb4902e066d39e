"""Homogeneous students at k = 2 in linear time: a mesh on the half-sphere of directions.

σ(x) = α x + β |x|, so neurons act on one another by α² u·u' and β² E |λ λ'|. The second is R R'
times a function of the two directions: neurons → moments a R on the mesh → their potential, Fourier
mode by mode in the angle of the plane → velocities. The target acts by its closed form.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from meanfield.fields.base import (
    Array,
    Cost,
    LinearField,
    Task,
    charges,
    kept,
    mean_vector,
    sample_neurons,
)
from meanfield.fields.costs import SECONDS
from meanfield.fields.estimate import Velocities, relative_error, sizes
from meanfield.fields.hemisphere.sphere_mesh import Fineness, Hemisphere
from meanfield.fields.pairs.closed import PairField
from meanfield.gaussian.rules import overlap_rule
from meanfield.kernels.fields import hemisphere as kernel
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure

TOLERANCE = 1e-7
ACROSS, ALONG, MOST = 0.045, 0.03, 1024  # of the coarsest mesh
FEW_DIMENSIONS = 3  # up to here directions meet at a kink everywhere, beyond only in the plane
LEVELS, LEVELS_FEW = 5, 3  # of refinement: the finest takes some 200 MB
CROWDED = 0.1  # error of a slope, over h², that a unit charge in one cell of the plane makes
PART = 8_000  # neurons whose field is held against pair sums
SAMPLES = 48  # neurons where it is, beside the extreme ones
MARGIN = 4.0  # over those: what others were found to be off by, and a little


class HomogeneousField(LinearField):
    """ReLU, leaky ReLU at k = 2, under committees and polynomials.

    Raises
    ------
    ValueError
        If the problem is not one of these.
    """

    name = "half-sphere"
    grows_by_sums = True

    def __init__(self, problem: Problem, tolerance: float | None = None):
        exact = PairField.of(problem) if homogeneous_in_the_plane(problem) else None
        if exact is None:
            raise ValueError("the half-sphere is for ReLU students at k = 2 that have pair sums")
        self.problem, self.rate = problem, problem.second_layer_rate
        self.D, self.target = problem.perpendicular_dim, problem.target
        self.exact = exact
        self.target_part = self.exact.target_part
        right, left = (float(problem.student(np.array([x]))[0]) for x in (1.0, -1.0))
        self.linear = (0.5 * (right - left)) ** 2  # α²
        self.absolute = (0.5 * (right + left)) ** 2 * 2.0 / math.pi  # β² 2/π, of the mesh's kernel
        self.tolerance = TOLERANCE if tolerance is None else tolerance
        self.worst, self.speed = math.inf, np.zeros(2)
        self._lay(0)

    @staticmethod
    def cost(task: Task) -> Cost | None:
        """See `Field`."""
        problem = task.problem
        if not homogeneous_in_the_plane(problem) or task.potential is None:
            return None
        overlaps = len(overlap_rule(problem.perpendicular_dim, task.longest, smooth=False)[0])
        neuron = SECONDS["half-sphere neuron"] + task.potential.cost
        mesh = SECONDS["half-sphere"] + SECONDS["half-sphere layout"] * overlaps
        return Cost(mesh + task.n * neuron, 1e-7)

    # -- laying out -----------------------------------------------------------------------------

    def _lay(self, level: int) -> None:
        """Take the mesh of a level."""
        self.level, self.mesh = level, hemisphere(self.D, level)
        self.apart: Hemisphere | None = None  # for variances, made when they are asked for

    @property
    def finest(self) -> int:
        """The highest level."""
        return (LEVELS_FEW if self.D <= FEW_DIMENSIONS else LEVELS) - 1

    def prepare(self, measure: ParticleMeasure, *, still: bool = False) -> None:
        """See `Field`: a finer mesh until velocities agree with pair sums."""
        self.mass, self.speed = measure.mass, np.zeros(2)
        for level in range(self.finest + 1):
            self._lay(level)
            found, energy = self._velocities(measure), self.target.second_moment()
            now = sizes(found, measure.a, self.mass, energy)
            self.speed = np.maximum(self.speed, now)
            if not self.error_estimate(measure) > self.tolerance:
                break

    def outgrown(self, a: Array, u: Array, r: Array, sums: Array | None = None) -> bool:
        """See `Field`: whether neurons crowd in cells of the plane."""
        if self.level == self.finest or not self.speed.any():
            return False
        sums = self.gather(charges(a, self.mass), u, r) if sums is None else sums
        crowding = self.mesh.crowding(sums[: self.mesh.points])
        force = math.sqrt(sums[-1]) * self.absolute * crowding
        return CROWDED * force > self.tolerance * float(self.speed.max())

    def grow(self, a: Array, u: Array, r: Array) -> bool:
        """See `Field`: the next finer mesh."""
        self._lay(min(self.level + 1, self.finest))
        return True

    # -- evaluating -----------------------------------------------------------------------------

    def gather(self, charge: Array, u: Array, r: Array) -> Array:
        """See `LinearField`: moments on the mesh, the mean of a u, and that of a²."""
        moments = kernel.spread(charge, u, r, self.mesh.rows, self.mesh.points)
        if moments is None:
            moments = np.full(self.mesh.points, math.nan)
        square = float(charge @ charge) / len(charge)
        return np.concatenate((moments, mean_vector(charge, u), [square]))

    def scatter(
        self, sums: Array, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """See `LinearField`."""
        points = self.mesh.points
        if math.isnan(sums[0]):
            for out in (out_a, out_u, out_r):
                out[:] = math.nan
            return
        potential = -self.absolute * self.mesh.potential(sums[:points])
        mean = self.linear * sums[points : points + 2]
        value, slope_u, slope_r = self.target_part(u, r)
        np.multiply(a[:, None], slope_u - mean, out=out_u)
        np.multiply(a, slope_r, out=out_r)
        if self.rate > 0.0:
            np.multiply(self.rate, value - u @ mean, out=out_a)
        kernel.gather(a, u, r, self.mesh.rows, potential, self.rate, out_a, out_u, out_r)

    def gather_risk(self, charge: Array, u: Array, r: Array) -> Array:
        """See `LinearField`: the mean of a V(u, r) besides."""
        cross = float((charge * self.target_part(u, r)[0]).sum()) / len(charge)
        return np.append(self.gather(charge, u, r), cross)

    def risk_of(self, sums: Array) -> float:
        """See `LinearField`; three terms whose difference the mesh makes good to 1e-10 of E f*²."""
        own, cross = self._energy(sums), float(sums[-1])
        return max(0.5 * self.target.second_moment() + 0.5 * own - cross, 0.0)

    def variance_parts_of(self, sums: Array) -> tuple[float, float]:
        """See `LinearField`: given z two perpendicular parts are independent: Z = 0 is E f(z)²."""
        total = self._energy(sums)
        if math.isinf(self.D):
            return 0.0, total
        moments = sums[: self.mesh.points]
        if self.apart is None:
            self.apart = hemisphere(self.D, self.level, against=True)
        outside = self.absolute * float((moments * self.apart.potential(moments)).sum())
        return max(outside, 0.0), total

    def _energy(self, sums: Array) -> float:
        """E f²: α² and β² of the averages of λ λ' and |λ λ'| over pairs of neurons."""
        points = self.mesh.points
        moments, mean = sums[:points], sums[points : points + 2]
        pairs = float((moments * self.mesh.potential(moments)).sum())
        return self.absolute * pairs + self.linear * float(mean @ mean)

    # -- checking -------------------------------------------------------------------------------

    @kept
    def error_estimate(self, measure: ParticleMeasure) -> float:
        """See `Field`: against pair sums, of 8,000 neurons at most, and another rule for f*.

        Over the sizes of du/dt and dr/dt now, or at which the mesh was chosen if those are larger.
        """
        found, energy = self._velocities(measure), self.target.second_moment()
        a, u, r = whole = measure.arrays()
        charge = charges(a, self.mass)
        if len(a) > PART:
            even = np.linspace(0, len(a) - 1, PART).astype(np.int64)
            part = np.union1d(even, sample_neurons(u, r, a))
            charge, a, u, r = charge[part], a[part], u[part], r[part]
        chosen = _sample(u, r, a)
        some, own = (u[chosen], r[chosen]), np.abs(a[chosen])
        mesh = self._miss_of_mesh(some, (charge, u, r))
        unknown = self.target_part.miss(*some)  # which pairs have from the same source
        off, off_u, off_r = (
            MARGIN * np.abs(x) + np.abs(y) for x, y in zip(mesh, unknown, strict=True)
        )
        miss = Velocities(self.rate * off, own[:, None] * off_u, own * off_r)
        self.worst = relative_error(
            miss, found, whole[0], self.mass, energy, self.rate, earlier=self.speed
        )
        return self.worst

    def _miss_of_mesh(
        self, some: tuple[Array, Array], others: tuple[Array, Array, Array]
    ) -> Velocities:
        """By how much E ε σ(λ) and its slopes at some neurons differ from sums over pairs."""
        sums, ones = self.gather(*others), np.ones(len(some[1]))
        found = Velocities.like(ones, *some)
        self.scatter(sums, ones, *some, *found)
        if math.isnan(sums[0]):
            return Velocities(*(np.full_like(part, math.inf) for part in found))
        value = np.zeros_like(ones)
        if self.rate > 0.0:
            value = self.rate * self.exact.values(*some, *others)
        return found.minus(Velocities(value, *self.exact.slopes(*some, *others)))

    def _velocities(self, measure: ParticleMeasure) -> Velocities:
        a, u, r = measure.arrays()
        found = Velocities.like(a, u, r)
        self.velocity(a, u, r, *found)
        return found

    def layout_state(self) -> dict[str, Any]:
        """See `Field`."""
        return {"level": self.level, "speed": self.speed.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""
        self.speed = np.array(state["speed"])
        self._lay(state["level"])

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        return {"field": self.name, "mesh_points": self.mesh.points, "level": self.level}


def homogeneous_in_the_plane(problem: Problem) -> bool:
    """Whether the student is homogeneous and k = 2."""
    return problem.subspace_dim == 2 and problem.student.homogeneous


IN_USE: WeakValueDictionary[tuple[float, int, bool], Hemisphere] = WeakValueDictionary()
RECENT: deque[Hemisphere] = deque(maxlen=4)
SMALL = 2**24  # bytes of a mesh that is kept when nobody uses it


def hemisphere(D: float, level: int, against: bool = False) -> Hemisphere:
    """The mesh of a level for D perpendicular directions, the same for all who hold it.

    `against` is for the kernel less its value at Z = 0, taken before it can cancel.
    """
    mesh = IN_USE.get((D, level, against))
    if mesh is None:
        mesh = IN_USE[D, level, against] = make_mesh(D, level, against)
        if mesh.kernel.nbytes <= SMALL:
            RECENT.append(mesh)
    return mesh


def make_mesh(D: float, level: int, against: bool) -> Hemisphere:
    """See `hemisphere`, which keeps it."""
    Z, w = overlap_rule(D, 1.0, smooth=False)
    if against:
        Z, w = np.append(Z, 0.0), np.append(w, -1.0)
    finer = 1.5**level if D <= FEW_DIMENSIONS else 1.0
    return Hemisphere(Fineness(ACROSS / finer, ALONG / finer, MOST * 2**level), (Z, w))


def _sample(u: Array, r: Array, a: Array) -> Array:
    """Neurons to check at: an even selection, extreme ones, those closest to the plane.

    Where r/|u| is as small as the mesh, a neuron meets the kink of its own kernel.
    """
    n = len(r)
    even = np.linspace(0, n - 1, min(n, SAMPLES)).astype(np.int64)
    spread = np.geomspace(1, n, SAMPLES).astype(np.int64) - 1
    ranks = np.union1d(spread, np.arange(min(n, SAMPLES)))
    closest = np.argsort(np.arctan2(np.abs(r), np.hypot(u[:, 0], u[:, 1])))[ranks]
    return np.union1d(np.union1d(even, closest), sample_neurons(u, r, a))
