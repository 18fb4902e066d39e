"""What every way to compute a target's potential provides.

V(u, r) = E f*(z) σ(u·z + r G), G a standard Gaussian: λ is Gaussian whatever the dimension is, so
that one V serves every description. By Stein's lemma E f* σ'(λ) z = ∂V/∂u and
E f* σ''(λ) = (∂V/∂r)/r, which is what the overlap equations ask for.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from meanfield.activations import Activation
from meanfield.gaussian.hermite_expansions import Expansion, expand

Array = NDArray[np.float64]
Values = tuple[Array, Array, Array]  # V (n,), ∂V/∂u (n, rank), ∂V/∂r (n,)

TINY = 1e-300


class Potential(Protocol):
    """The potential of one target for students of one activation.

    What derives from it computes the value along with the slopes, and is held to another one,
    unless it says otherwise.

    Attributes
    ----------
    degree : int
        How many Hermite coefficients of the students it can be given; 0 if it takes none.
    precise : bool
        Whether it is good to about 1e-8 of √(E f*²), as sums over pairs of neurons are.
    """

    degree: int = 0
    precise: bool = True

    @property
    def cost(self) -> float:
        """Seconds that a neuron takes, rough."""

    @property
    def other(self) -> Potential | None:
        """The same by other means, to hold it to: itself where it is exact, None if none is."""
        return self

    def __call__(self, u: Array, r: Array, students: Expansion | None = None) -> Values:
        """V and its slopes at neurons u (n, rank), r (n,).

        `students` are the Hermite coefficients of σ at the variances of these neurons, at least
        `degree` of them, where the caller has them.
        """

    def value(self, u: Array, r: Array, students: Expansion | None = None) -> Array:
        """V alone."""
        return self(u, r, students)[0]

    def slopes(self, u: Array, r: Array, students: Expansion | None = None) -> tuple[Array, Array]:
        """Its slopes alone."""
        return self(u, r, students)[1:]

    def miss(
        self, u: Array, r: Array, students: Expansion | None = None, found: Values | None = None
    ) -> Values:
        """By how much all three are off, as far as can be told; `found` if they are known."""
        other = self.other
        if other is None or other is self:
            return np.zeros_like(r), np.zeros_like(u), np.zeros_like(r)
        found = self(u, r, students) if found is None else found
        value, slope_u, slope_r = (np.abs(x - y) for x, y in zip(found, other(u, r), strict=True))
        return value, slope_u, slope_r


def variances(u: Array, r: Array) -> Array:
    """q = |u|² + r², the variances of the pre-activations."""
    return np.asarray((u * u).sum(axis=1) + r * r)


def relative_error(
    potential: Potential, student: Activation, norm: float,
    u: Array, r: Array, students: Expansion | None,
) -> float:  # fmt: skip
    """The largest of what V misses over √(E σ² E f*²), and its slopes over √(E σ'² E f*²).

    E σ² and E σ'² of each neuron as `Expansion.held` has them.
    """
    value, slope_u, slope_r = potential.miss(u, r, students)
    off = np.maximum(np.abs(slope_u).max(axis=1), np.abs(slope_r))
    if not value.any() and not off.any():
        return 0.0
    units = expand(student, variances(u, r)) if students is None else students
    largest = float(np.max((value / units.held[0], off / units.held[1]))) / max(norm, TINY)
    return largest if math.isfinite(largest) else math.inf
