"""The implicit method for long runs: linearly implicit where it is stiff, explicit elsewhere.

One step of size h is made of h/n, n = 1, …, k, of the linearly implicit Euler method,
z ← z + (I − A h/n)⁻¹ (h/n) f(z), and the k results are extrapolated to order k (Deuflhard 1985;
Hairer & Wanner IV.9). The expansion in h holds for any matrix A, so A need only hold what is stiff:
V B Vᵀ on a few directions V. Each step of size h/n then costs one f and a pass over V.

The Jacobian of a mean-field flow is a small block for each neuron, which fades with the error ε,
plus what the neurons feel of each other through the field: a smooth kernel, whose eigenvalues fall
fast. A handful of directions then holds all that limits an explicit step.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import schur

from meanfield.integrate.equation import Attempt, Equation

STRICTER = 0.1  # tolerance of a step, in units of an explicit one's: those to t = 10⁶ are few
FINEST = 1e-9  # relative tolerance below which rounding, multiplied by the weights, would be seen
COLUMNS = 3, 6  # fewest and most
NUDGE = 1e-6  # of a finite difference, relative to the state
CAUGHT = 0.1  # h times a leak that is left
STIFF_ENOUGH = 0.05  # h times an eigenvalue that is kept
KEPT = 0.75  # of the room, at most, so that some is left for new directions
SPREAD = 1e4
NOTHING = 1e-8  # what rounding leaves of a direction that was there already

Matrix = NDArray[np.float64]


class Subspace(NamedTuple):
    """A ≈ V B Vᵀ on the span of orthonormal rows V, the first of the equation's basis.

    The first `stiff` of them are the stiff directions; one more is that of the motion, by which
    stiff components know that what they follow moves on. `leak` is how far the Jacobian leads out
    of the span, at most; `radius` is the largest eigenvalue met, `growth` the largest real part.
    """

    B: list[list[float]]
    leak: float
    radius: float
    stiff: int
    growth: float = 0.0

    def damping(self, dt: float) -> Matrix:
        """(I − dt B)⁻¹ − I, with growing directions left to the explicit part."""
        if not self.B:
            return np.zeros((0, 0))
        values, X = np.linalg.eig(np.array(self.B))
        values = np.where(values.real > 0.0, 0.0, values)
        gain = dt * values / (1.0 - dt * values)
        out: Matrix = np.linalg.solve(X.T, (X * gain).T).T.real
        return out


def find_subspace(
    equation: Equation, t: float, h: float, state: tuple[int, int], work: tuple[int, int],
    seed: int, before: Subspace | None,
) -> Subspace:  # fmt: skip
    """Arnoldi's process on a block: the directions of before, and the row `seed`.

    What the Jacobian makes of a direction becomes a direction too, if it leads out of the span by
    more than a step of size h bears. The stiffest of what is found is kept.
    """
    f = equation
    known = 0 if before is None else before.stiff
    V, room = list(f.basis[:known]), list(f.basis[known:])
    H = np.zeros((len(f.basis), len(f.basis)))

    def follow(starts: tuple[int, ...], j: int) -> float:
        """What the Jacobian makes of V from j on and of the starts; the most that leads out."""
        leak = 0.0
        for row in starts:
            if room and _orthonormalise(f, V, row, room[0])[1] > 0.0:
                V.append(room.pop(0))
        while j < len(V):
            _differentiate(f, t, state, work, V[j])
            out = room[0] if room else f.spare
            H[: len(V), j], beyond = _orthonormalise(f, V, work[1], out)
            if room and h * beyond > CAUGHT:
                H[len(V), j] = beyond
                V.append(room.pop(0))
            else:
                leak = max(leak, beyond)
            j += 1
        return leak

    leak = follow((state[1], seed), 0)
    found = len(V)
    # growth that the motion does not show is looked for without a step ever taking such a
    # direction: neurons that are equal stay equal
    f.rows[work[0]] = scattered(f.rows.shape[1])
    follow((work[0],), found)
    if not np.isfinite(H).all():  # a difference that led to where there is no velocity
        return Subspace([], 0.0, 0.0, 0)
    values = np.linalg.eigvals(H[: len(V), : len(V)]) if V else np.zeros(1)
    growth = max(0.0, float(values.real.max()))
    return _stiffest(f, V[:found], H[:found, :found], state[1], h, leak)._replace(growth=growth)


def scattered(count: int) -> NDArray[np.float64]:
    """Numbers in (−½, ½) that favour no direction: it shows growth that the motion does not.

    Nor do their differences: multiples of a number mod 1 would be orthogonal to directions with a
    pattern, such as that in which two neurons change places in two coordinates.
    """
    return np.mod(SPREAD * np.sin(np.arange(1.0, count + 1.0)), 1.0, dtype=np.float64) - 0.5


def _differentiate(
    f: Equation, t: float, state: tuple[int, int], work: tuple[int, int], v: int
) -> None:
    """The Jacobian's product with row v, in the second of the work rows."""
    (y, slope), (nudged, out) = state, work
    size = NUDGE * (f.unit or 1.0) * f.size**0.5
    f.mix(nudged, [1.0, size], [y, v])
    f.slope(t, nudged, out)
    f.mix(out, [1.0 / size, -1.0 / size], [out, slope])


def _orthonormalise(f: Equation, V: list[int], row: int, out: int) -> tuple[Matrix, float]:
    """Row `out` = what lies outside V, at unit length; its parts along V, and its length."""
    whole = f.length(row) * f.size**0.5
    parts = np.zeros(len(V))
    f.mix(out, [1.0], [row])
    for _ in range(2 if V else 0):  # once more for what rounding left
        part = f.products(V, out)
        f.mix(out, [1.0, *-part], [out, *V])
        parts += part
    beyond = f.length(out) * f.size**0.5
    if not beyond > NOTHING * whole:
        return parts, 0.0
    f.mix(out, [1.0 / beyond], [out])
    return parts, beyond


def _stiffest(f: Equation, V: list[int], H: Matrix, slope: int, h: float, leak: float) -> Subspace:
    """The invariant part of V with the largest eigenvalues, by an ordered Schur form."""
    if not V:
        return Subspace([], leak, 0.0, 0)
    values = np.linalg.eigvals(H)
    sizes = np.sort(np.abs(values))[::-1]
    kept = min(len(sizes), max(1, int(KEPT * len(f.basis))))
    least = max(STIFF_ENOUGH / h, sizes[kept - 1] * (1.0 - 1e-9))
    _, Q, count = schur(H, output="real", sort=lambda re, im: np.hypot(re, im) >= least)
    Q = Q[:, :count]
    motion = f.products(V, slope)
    beyond = motion - Q @ (Q.T @ motion)
    beyond -= Q @ (Q.T @ beyond)
    length = float(np.linalg.norm(beyond))
    if length > NOTHING * float(np.linalg.norm(motion)):
        Q = np.column_stack((Q, beyond / length))
    f.mix(V[: Q.shape[1]], Q.T, V)
    return Subspace((Q.T @ H @ Q).tolist(), leak, float(sizes[0]), count)


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
