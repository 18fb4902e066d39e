"""The few directions in which an equation is stiff: its Jacobian there, by finite differences.

The Jacobian of a mean-field flow is a small block for each neuron, which fades with the error ε,
plus what the neurons feel of each other through the field: a smooth kernel, whose eigenvalues fall
fast. A handful of directions then holds all that limits an explicit step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import schur

from meanfield.integrate.equation import Equation

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
