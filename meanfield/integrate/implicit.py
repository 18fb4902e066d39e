"""The implicit method for long runs: linearly implicit where it is stiff, explicit elsewhere.

One step of size h is made of h/n, n = 1, …, k, of the linearly implicit Euler method,
z ← z + (I − A h/n)⁻¹ (h/n) f(z), and the k results are extrapolated to order k (Deuflhard 1985;
Hairer & Wanner IV.9). The expansion in h holds for any matrix A, so A need only hold what is stiff:
V B Vᵀ on a few directions V. Each step of size h/n then costs one f and a pass over V.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from meanfield.integrate.equation import Attempt, Equation
from meanfield.integrate.subspace import Subspace

STRICTER = 0.1  # tolerance of a step, in units of an explicit one's: those to t = 10⁶ are few
FINEST = 1e-9  # relative tolerance below which rounding, multiplied by the weights, would be seen
COLUMNS = 3, 6  # fewest and most


def extrapolation_weights(k: int) -> NDArray[np.float64]:
    """Weights (2, k) of the results at n = 1, …, k: of order k, and its difference from k − 1.

    Neville's scheme in 1/n at 0: Π_{m ≠ n} n/(n − m).

    >>> extrapolation_weights(2)
    array([[-1.,  2.],
           [-1.,  1.]])
    """
    n = np.arange(1, k + 1)

    def weights(first: int) -> NDArray[np.float64]:
        used = n[first:]
        each = [math.prod(i / (i - j) for j in used if j != i) for i in used]
        return np.concatenate((np.zeros(first), each))

    return np.stack((weights(0), weights(0) - weights(1)))


class Implicit:
    """Steps of order k with an error estimate of order k − 1; k suits the tolerance."""

    name = "linearly implicit Euler, extrapolated"

    def __init__(self, equation: Equation):
        self.equation = equation
        self.strict = min(1.0, max(STRICTER, FINEST / equation.rtol))
        digits = -math.log10(min(1.0, self.strict * equation.rtol))
        self.columns = min(COLUMNS[1], max(COLUMNS[0], round(2.0 + 0.5 * digits)))
        self.exponent = 1.0 / self.columns

    def attempt(self, t: float, h: float, rows: tuple[int, ...], subspace: Subspace) -> Attempt:
        """A step of size h from the state and slope in the first two rows."""
        y, slope, z, g, y_new, error, scratch = rows
        size = self._extrapolate(t, h, rows[:4], (y_new, error), self.columns, subspace)
        rows = (y_new, g, z, scratch, y, slope, error)
        return Attempt(t, h, size / self.strict, rows, h * subspace.radius)

    def interpolate(self, step: Attempt, t: float, subspace: Subspace) -> int:
        """The state inside a step: a shorter one from the same start, with as few columns as do."""
        y_new, g, z, out, y, slope, _ = step.rows
        if t >= step.t + step.h:
            return y_new
        h = t - step.t
        # the error of j columns falls about like the (j + 1)th power of a number
        number = (step.error * self.strict * self.equation.rtol) ** self.exponent * h / step.h
        for columns in range(2, self.columns + 1):
            if (
                columns < self.columns
                and number ** (columns + 1) > self.strict * self.equation.rtol
            ):
                continue
            rows, outs = (y, slope, z, g), (out, self.equation.spare)
            error = self._extrapolate(step.t, h, rows, outs, columns, subspace)
            if error <= self.strict:
                break
        return out

    def finish(self, step: Attempt) -> None:
        """The slope at the end of an accepted step."""
        self.equation.slope(step.t + step.h, step.rows[0], step.rows[1])

    def _extrapolate(
        self, t: float, h: float, rows: tuple[int, ...], out: tuple[int, int], columns: int,
        subspace: Subspace,
    ) -> float:  # fmt: skip
        """The end of a step and its error, in the rows `out`; the size of the error."""
        f, (y, slope, z, g) = self.equation, rows
        V = f.basis[: len(subspace.B)]
        f.mix(out, [[0.0], [0.0]], [y])
        for n, weights in enumerate(extrapolation_weights(columns).T, start=1):
            dt = h / n
            damping = subspace.damping(dt)
            for i in range(n):
                if i > 0:
                    f.slope(t + i * dt, z, g)
                at, moved = (z, g) if i > 0 else (y, slope)
                stiff = dt * (damping @ f.products(V, moved))
                f.mix(z, [1.0, dt, *stiff], [at, moved, *V])
            # moves, not states: the weights would multiply the rounding of y
            c = np.column_stack((np.eye(2), weights, -weights))
            f.mix(out, c, [*out, z, y])
        f.mix(out[0], [1.0, 1.0], [out[0], y])
        return f.error([1.0], [out[1]], y, out[0])
