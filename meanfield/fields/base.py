"""What every evaluator of the field provides, what is asked of it, and what it asks for that."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from meanfield.problem import Problem
from meanfield.states import ParticleMeasure
from meanfield.targets import potential_of
from meanfield.targets.potentials.base import Potential

Array = NDArray[Any]

SAMPLES, EXTREMES = 16, 3  # neurons a field is checked at
FEW = 2**16  # neurons looked at together, where a number for each would be memory that matters
EDGE = 0.93  # of what a table or a mesh reaches, where neurons after a step ask for a wider one


def charges(a: Array, mass: Array | None) -> Array:
    """Second-layer weights for an average over equal masses: n m_i a_i, or a where masses are."""
    return a if mass is None else a * (len(a) * mass)


def mean_vector(charge: Array, u: Array) -> Array:
    """The mean of a u over the neurons, (k,): what linear parts of σ make of a measure."""
    return np.einsum("i,ix->x", charge, u) / len(charge)


class _Unlocked:
    def __init__(self, values: Array):
        self.values = values  # which own the memory
        address = values.__array_interface__["data"][0]
        self.__array_interface__ = {**values.__array_interface__, "data": (address, False)}


def unlocked(values: Array) -> Array:
    """The same numbers as an array that kernels take for a writable one; nobody may write to it.

    numba compiles apart for read-only arrays, and takes whichever version is there already: mixing
    the two would let the last bit of a result depend on what ran before.
    """
    return values if values.flags.writeable else np.asarray(_Unlocked(values))


def root_mean_square(values: Array, mass: Array | None) -> float:
    """Root of the mass-weighted mean of the squared rows."""
    squares = values.reshape(len(values), -1) ** 2
    return float(np.sqrt(np.average(squares.sum(axis=1), weights=mass)))


def sample_neurons(u: Array, r: Array, a: Array | None = None, mass: Array | None = None) -> Array:
    """Neurons to check at: the extreme ones in each coordinate and an even selection.

    With `a`, those of the largest |a| and of the largest mass too: errors are in proportion.
    """
    n = len(r)
    extremes = min(n - 1, EXTREMES)
    chosen = [np.linspace(0, n - 1, min(n, SAMPLES)).astype(np.int64)]
    size = () if a is None else (np.abs(a), np.abs(charges(a, mass)))
    for coordinate in (r, *u.T, *size):
        order = np.argpartition(coordinate, (extremes, n - 1 - extremes))
        chosen += [order[: extremes + 1].copy(), order[n - 1 - extremes :].copy()]
    return np.unique(np.concatenate(chosen))


class Cost(NamedTuple):
    """Seconds of a right-hand side on one core, and the relative error that it comes to.

    Endless seconds: it serves, but another always does the same for less.
    """

    seconds: float
    error: float


@dataclass(frozen=True)
class Task:
    """A problem with neurons that reach so far, and how its field will be used.

    Attributes
    ----------
    problem : Problem
    n : int
        Neurons.
    furthest, longest : float
        Largest |u| and r.
    many_values : bool
        Whether risks or variances, or da/dt, are asked for as often as du/dt.
    tolerance : float or None
        Relative error to aim at; None: what each evaluator comes to.
    """

    problem: Problem
    n: int
    furthest: float
    longest: float
    many_values: bool = False
    tolerance: float | None = None

    @cached_property
    def potential(self) -> Potential | None:
        """The target's, where it is as good as the sums over pairs that build on it; else None."""
        found = potential_of(self.problem.target, self.problem.student)
        return found if found.precise else None


Estimate = Callable[[Any, ParticleMeasure], float]


def kept(estimate: Estimate) -> Estimate:
    """An error estimate that is not made again for the same measure and layout.

    A run asks for that of its start, which laying out has just ended with.
    """

    @wraps(estimate)
    def error_estimate(field: Any, measure: ParticleMeasure) -> float:
        last, layout = field.__dict__.get("last_estimate"), field.__dict__.get("layout")
        state = field.layout_state()
        if last is None or last[0] is not measure or last[1] is not layout or last[2] != state:
            last = field.last_estimate = measure, layout, state, estimate(field, measure)
        return float(last[3])

    return error_estimate


class Field(Protocol):
    """Risk and velocities of a measure (a, u, r) under one problem.

    A layout changes in `prepare`, `grow` and `restore` alone; velocities of neurons that it does
    not reach are NaN. The masses are those of the measure it was prepared for: they do not change
    along a run.
    """

    name: str
    mass: Array | None
    tolerance: float  # what its error is meant to come to; 0: it is exact

    def velocity(
        self, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """Write da/dt, du/dt, dr/dt; out_a is left alone where the second layer is fixed."""

    def risk(self, a: Array, u: Array, r: Array) -> float:
        """Population risk R = ½ E (f − f*)²."""

    def variance_parts(self, a: Array, u: Array, r: Array) -> tuple[float, float]:
        """E Var(f | z) and E f²: what f owes to inputs outside the subspace, and all of it."""

    def prepare(self, measure: ParticleMeasure, *, still: bool = False) -> None:
        """Lay out nodes and meshes for a measure, to the accuracy wanted.

        Neurons that stand `still`, because one state is asked about, need no room to move.
        """

    def error_estimate(self, measure: ParticleMeasure) -> float:
        """Largest error of a velocity at sample neurons, and of the risk; see `estimate`."""

    def outgrown(self, a: Array, u: Array, r: Array) -> bool:
        """Whether neurons need another layout; asked after each accepted step."""

    def grow(self, a: Array, u: Array, r: Array) -> bool:
        """Lay out for neurons that have outgrown the layout; False if nothing more can be done."""

    def description(self) -> dict[str, Any]:
        """How the field is evaluated, for the solution's stats."""

    def layout_state(self) -> dict[str, Any]:
        """What the present layout depends on, as plain numbers: a checkpoint keeps it."""

    def restore(self, state: dict[str, Any]) -> None:
        """Lay out again as `layout_state` says, so that velocities are the same bit for bit."""


class LinearField(Field, ABC):
    """A field in time linear in n: sums over neurons, and what they do to each neuron.

    Sums of parts of a measure, each times its share of the neurons, add up to those of the whole:
    so several processes hold a measure between them. Neurons that the layout does not reach make
    sums of NaN.
    """

    mass: Array | None = None
    grows_by_sums = False  # whether `outgrown` looks at the sums of all neurons

    @abstractmethod
    def gather(self, charge: Array, u: Array, r: Array) -> Array:
        """Averages over neurons of what their charges make."""

    @abstractmethod
    def scatter(
        self, sums: Array, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """Write the velocities that sums over all neurons give to some; see `Field.velocity`."""

    def gather_risk(self, charge: Array, u: Array, r: Array) -> Array:
        """The averages that the risk needs."""
        return self.gather(charge, u, r)

    @abstractmethod
    def risk_of(self, sums: Array) -> float:
        """Population risk of the averages from `gather_risk`."""

    @abstractmethod
    def variance_parts_of(self, sums: Array) -> tuple[float, float]:
        """E Var(f | z) and E f² of the averages from `gather`."""

    def velocity(
        self, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """See `Field`."""
        self.scatter(self.gather(charges(a, self.mass), u, r), a, u, r, out_a, out_u, out_r)

    def risk(self, a: Array, u: Array, r: Array) -> float:
        """See `Field`."""
        return self.risk_of(self.gather_risk(charges(a, self.mass), u, r))

    def variance_parts(self, a: Array, u: Array, r: Array) -> tuple[float, float]:
        """See `Field`."""
        return self.variance_parts_of(self.gather(charges(a, self.mass), u, r))

    def outgrown(self, a: Array, u: Array, r: Array, sums: Array | None = None) -> bool:
        """See `Field`; of some neurons, with the sums over all if `grows_by_sums`."""
        return False

    def grow(self, a: Array, u: Array, r: Array) -> bool:
        """See `Field`."""
        return False


def reach_of(u: Array, r: Array) -> tuple[float, float]:
    """How far neurons reach: the largest |u| and |r|.

    A run asks after each step, when its memory is full: nothing here is as long as all neurons.
    """
    if u.shape[1] == 1:
        return _largest(u), _largest(r)
    parts = (u[first : first + FEW] for first in range(0, len(u), FEW))
    squares = [float(np.einsum("ij,ij->i", part, part).max()) for part in parts]
    return math.sqrt(float(np.max(squares))), _largest(r)


def _largest(values: Array) -> float:
    """The largest size of a number."""
    return max(float(values.max()), -float(values.min()))
