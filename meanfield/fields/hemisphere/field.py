"""Homogeneous students at k = 2 in linear time: a mesh on the half-sphere of directions.

σ(x) = α x + β |x|, so neurons act on one another by α² u·u' and β² E |λ λ'|. The second is R R'
times a function of the two directions: neurons → moments a R on the mesh → their potential, Fourier
mode by mode in the angle of the plane → velocities. The target acts by its closed form.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from meanfield.fields.attraction import attraction_cost, attraction_miss
from meanfield.fields.base import Array, charges, root_mean_square, sample_neurons
from meanfield.fields.costs import SECONDS
from meanfield.fields.estimate import largest_miss, sizes
from meanfield.fields.hemisphere.sphere_mesh import Fineness, Hemisphere
from meanfield.fields.pairs.closed import PairField, overlap_rule
from meanfield.fields.task import Cost, Task
from meanfield.kernels.fields.hemisphere import sphere_mesh as kernel
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


class HomogeneousField:
    """ReLU, leaky ReLU at k = 2, under committees and polynomials.

    Raises
    ------
    ValueError
        If the problem is not one of these.
    """

    name = "half-sphere"

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
        self.mass: Array | None = None
        self.level, self.worst, self.speed = 0, math.inf, np.zeros(2)

    @staticmethod
    def cost(task: Task) -> Cost | None:
        """See `Field`."""
        problem = task.problem
        if not homogeneous_in_the_plane(problem) or task.potential is None:
            return None
        overlaps = len(overlap_rule(problem.perpendicular_dim, task.longest, smooth=False)[0])
        neuron = SECONDS["half-sphere neuron"] + attraction_cost(problem)
        mesh = SECONDS["half-sphere"] + SECONDS["half-sphere layout"] * overlaps
        return Cost(mesh + task.n * neuron, 1e-7)

    # -- laying out -----------------------------------------------------------------------------

    @property
    def mesh(self) -> Hemisphere:
        """The mesh of the present level."""
        return hemisphere(self.D, self.level)

    @property
    def finest(self) -> int:
        """The highest level."""
        return (LEVELS_FEW if self.D <= FEW_DIMENSIONS else LEVELS) - 1

    def prepare(self, measure: ParticleMeasure) -> None:
        """See `Field`: a finer mesh until velocities agree with pair sums."""
        self.mass, self.level, self.speed = measure.mass, 0, np.zeros(2)
        while self.error_estimate(measure) > self.tolerance and self.level < self.finest:
            self.level += 1

    def _spread(self, charge: Array, u: Array, r: Array) -> Array:
        """Moments of the neurons, on a finer mesh if they crowd in cells of the plane.

        Raises
        ------
        FloatingPointError
            If neurons are not finite.
        """
        while True:
            mesh = self.mesh
            moments = kernel.spread(charge, u, r, mesh.rows, mesh.points)
            if moments is None:
                raise FloatingPointError("neurons are no longer finite")
            if self.level == self.finest or not self.speed.any():
                return moments
            force = root_mean_square(charge, None) * self.absolute * mesh.crowding(moments)
            if CROWDED * force <= self.tolerance * float(self.speed.max()):
                return moments
            self.level += 1

    # -- evaluating -----------------------------------------------------------------------------

    def velocity(
        self, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """See `Field`."""
        charge = charges(a, self.mass)
        try:
            moments = self._spread(charge, u, r)
        except FloatingPointError:
            for out in (out_a, out_u, out_r):
                out[:] = math.nan
            return
        potential = -self.absolute * self.mesh.potential(moments)
        mean = self.linear * _mean(charge, u)
        value, slope_u, slope_r = self.target_part(u, r)
        np.multiply(a[:, None], slope_u - mean, out=out_u)
        np.multiply(a, slope_r, out=out_r)
        if self.rate > 0.0:
            np.multiply(self.rate, value - u @ mean, out=out_a)
        kernel.gather(a, u, r, self.mesh.rows, potential, self.rate, out_a, out_u, out_r)

    def risk(self, a: Array, u: Array, r: Array) -> float:
        """See `Field`; a difference of three terms, which the mesh makes good to 1e-10 of E f*²."""
        charge = charges(a, self.mass)
        cross = float((charge * self.target_part(u, r)[0]).sum()) / len(a)
        own = self._energy(self.mesh, charge, u, r) + self.linear * _square(_mean(charge, u))
        return max(0.5 * self.target.second_moment() + 0.5 * own - cross, 0.0)

    def variance_parts(self, a: Array, u: Array, r: Array) -> tuple[float, float]:
        """See `Field`: given z two perpendicular parts are independent, so Z = 0 gives E f(z)²."""
        charge = charges(a, self.mass)
        total = self._energy(self.mesh, charge, u, r) + self.linear * _square(_mean(charge, u))
        if math.isinf(self.D):
            return 0.0, total
        outside = self._energy(hemisphere(self.D, self.level, against=True), charge, u, r)
        return max(outside, 0.0), total

    def _energy(self, mesh: Hemisphere, charge: Array, u: Array, r: Array) -> float:
        """β² of the average of |λ λ'| over pairs of neurons."""
        moments = kernel.spread(charge, u, r, mesh.rows, mesh.points)
        if moments is None:
            return math.nan
        return self.absolute * float((moments * mesh.potential(moments)).sum())

    # -- checking -------------------------------------------------------------------------------

    def error_estimate(self, measure: ParticleMeasure) -> float:
        """See `Field`: against pair sums, of 8,000 neurons at most, and another rule for f*."""
        a, u, r = measure.arrays()
        out = np.empty_like(a), np.empty_like(u), np.empty_like(r)
        charge = charges(a, self.mass)
        self.velocity(a, u, r, *out)
        force = math.sqrt(self.target.second_moment()) * root_mean_square(a, self.mass)
        self.speed = np.maximum(self.speed, sizes(out[1], out[2], self.mass, force))
        if len(a) > PART:
            even = np.linspace(0, len(a) - 1, PART).astype(np.int64)
            part = np.union1d(even, sample_neurons(u, r))
            charge, a, u, r = charge[part], a[part], u[part], r[part]
        chosen = _sample(u, r)
        found = self._slopes_at(chosen, charge, u, r)
        exact = self.exact.slopes(u[chosen], r[chosen], charge, u, r)
        own = a[chosen]
        mesh = largest_miss(
            own[:, None] * (found[0] - exact[0]), own * (found[1] - exact[1]), self.speed
        )
        self.worst = MARGIN * mesh + self._target_miss(own, u[chosen], r[chosen])
        return self.worst

    def _target_miss(self, a: Array, u: Array, r: Array) -> float:
        """The same of what the target does, which the pairs above have from the same source."""
        _, off_u, off_r = attraction_miss(self.problem, self.target_part(u, r), u, r)
        return largest_miss(a[:, None] * off_u, a * off_r, self.speed)

    def _slopes_at(self, chosen: Array, charge: Array, u: Array, r: Array) -> tuple[Array, Array]:
        """Slopes at some neurons of the field of all of them."""
        mesh = self.mesh
        moments = kernel.spread(charge, u, r, mesh.rows, mesh.points)
        if moments is None:
            return np.full((len(chosen), 2), math.inf), np.full(len(chosen), math.inf)
        some_u, some_r = u[chosen], r[chosen]
        _, slope_u, slope_r = self.target_part(some_u, some_r)
        slope_u = slope_u - self.linear * _mean(charge, u)
        ones, none = np.ones_like(some_r), np.empty_like(some_r)
        potential = -self.absolute * mesh.potential(moments)
        kernel.gather(ones, some_u, some_r, mesh.rows, potential, 0.0, none, slope_u, slope_r)
        return slope_u, slope_r

    def layout_state(self) -> dict[str, Any]:
        """See `Field`."""
        return {"level": self.level, "speed": self.speed.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""
        self.level, self.speed = state["level"], np.array(state["speed"])

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        return {"field": self.name, "mesh_points": self.mesh.points, "level": self.level}


def homogeneous_in_the_plane(problem: Problem) -> bool:
    """Whether the student is homogeneous and k = 2."""
    return problem.subspace_dim == 2 and problem.student.homogeneous


@lru_cache(maxsize=4)
def hemisphere(D: float, level: int, against: bool = False) -> Hemisphere:
    """The mesh of a level for D perpendicular directions.

    `against` is for the kernel less its value at Z = 0, taken before it can cancel.
    """
    Z, w = overlap_rule(D, 1.0, smooth=False)
    if against:
        Z, w = np.append(Z, 0.0), np.append(w, -1.0)
    finer = 1.5**level if D <= FEW_DIMENSIONS else 1.0
    return Hemisphere(Fineness(ACROSS / finer, ALONG / finer, MOST * 2**level), (Z, w))


def _sample(u: Array, r: Array) -> Array:
    """Neurons to check at: an even selection, extreme ones, those closest to the plane.

    Where r/|u| is as small as the mesh, a neuron meets the kink of its own kernel.
    """
    n = len(r)
    even = np.linspace(0, n - 1, min(n, SAMPLES)).astype(np.int64)
    spread = np.geomspace(1, n, SAMPLES).astype(np.int64) - 1
    ranks = np.union1d(spread, np.arange(min(n, SAMPLES)))
    closest = np.argsort(np.arctan2(np.abs(r), np.hypot(u[:, 0], u[:, 1])))[ranks]
    return np.union1d(np.union1d(even, closest), sample_neurons(u, r))


def _mean(charge: Array, u: Array) -> Array:
    return np.einsum("i,ix->x", charge, u) / len(charge)


def _square(vector: Array) -> float:
    return float(vector @ vector)
