"""y' = f(t, y) with its tolerances: what every method steps with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield.kernels import integrate as kernel

Vector = NDArray[np.float64]
RightHandSide = Callable[[float, Vector, Vector], None]
Total = Callable[[NDArray[np.float64]], NDArray[np.float64]]

LEAST_WORK = 7  # rows of a run's memory: the state, its slope, and five to work with
FEWEST, MOST = 8, 24  # stiff directions that are kept as vectors of the size of the state:
NUMBERS = 20_000_000  # more than the fewest only if all of them are no more numbers than this
# of the state's size: a component that grows has a relative tolerance down to here, so that an
# escape from a saddle, which starts from rounding, is controlled from its beginning
ROUNDING = 2.0**-104
LEAST = 1e-290  # a tolerance must not be zero
SAMPLE = 2**15  # numbers that tell how stiff a step is, if there are more


class Equation:
    """The right-hand side, and the vectors of a run as rows of one array.

    Parameters
    ----------
    rhs : callable
        ``rhs(t, y, out)``.
    y0 : ndarray, shape (N,)
    rtol, atol : float
        Of a component's size, and of the state's root mean square.
    total : callable, optional
        Sums an array of partial sums over all holders of a part of y; every decision of the
        integrator goes through it.
    in_place : bool
        Whether the `out` of `rhs` may be y itself.
    weight : ndarray, shape (N,), optional
        How much each component's error counts, beside the count of all as equals.
    work : int
        Rows that the methods need; one to spare and those of the stiff directions follow.
    """

    def __init__(
        self, rhs: RightHandSide, y0: Vector, rtol: float, atol: float, total: Total | None = None,
        *, in_place: bool = False, weight: Vector | None = None, work: int = LEAST_WORK,
    ):  # fmt: skip
        self.rhs, self.rtol, self.atol, self.in_place = rhs, rtol, atol, in_place
        self.weight = np.empty(0) if weight is None else weight
        self.total = total or (lambda sums: sums)
        self.size = float(self.total(np.array([float(len(y0))]))[0])
        directions = max(FEWEST, min(MOST, int(NUMBERS // self.size)))
        self.work, self.spare, first = tuple(range(work)), work, work + 1
        self.basis = tuple(range(first, first + min(directions, int(self.size))))
        # coordinates of a neuron go by twos or threes: a stride that shares no factor sees all
        self.stride = 1 + 6 * int(self.size // (6 * SAMPLE))
        # what is never written takes no memory
        self.rows = np.zeros((first + len(self.basis), len(y0)))
        self.rows[0] = y0
        self.evaluations, self.latest = 0, math.inf
        self.loose = 0.0
        self.set_floors(0, ROUNDING)

    def release(self, row: int) -> Vector:
        """Give back all memory but a row's; nothing else may hold on to the others."""
        if row != 0:
            self.rows[0] = self.rows[row]
        self.rows.resize((1, self.rows.shape[1]), refcheck=False)  # cut where it is, not copied
        return self.rows[0]

    def slope(self, t: float, y: int, out: int) -> None:
        """f at row y, written to row `out`."""
        self.rhs(min(t, self.latest), self.rows[y], self.rows[out])
        self.evaluations += 1

    def sample(self, row: int) -> Vector:
        """Some of a row's numbers, or all if they are few."""
        return self.rows[row, :: self.stride].copy()

    def ratio(self, x: tuple[Vector, Vector], y: tuple[Vector, Vector]) -> float:
        """Length of one difference over that of another; 0 where that is nothing or not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            parts = [float(((new - old) ** 2).sum()) for new, old in (x, y)]
            above, below = self.total(np.array(parts))
            ratio = math.sqrt(above / below) if below > 0.0 else 0.0
        return ratio if math.isfinite(ratio) else 0.0

    def mix(self, out: int | Sequence[int], c: ArrayLike, of: Sequence[int]) -> None:
        """Rows `out` become combinations of the rows `of`."""
        kernel.mix(self.rows, out, c, of)

    def set_floors(self, y: int, noise: float) -> None:
        """Take the size of the state, and how much of it is noise, as what floors are made of."""
        size = self.length(y)
        self.unit, self.noise = (size if math.isfinite(size) else 0.0), noise

    def error(self, c: ArrayLike, of: Sequence[int], y: int, y_new: int) -> float:
        """Size of a combination of rows in units of the tolerance.

        The root mean square over the components that move: their number is (Σm)²/Σm² with m how
        far each goes from row y to row y_new, relative to its size or that of the state. The same
        with weights, and the larger of the two. `loose` is set to what the size would be if growing
        components had the absolute tolerance of the others.
        """
        floors = tuple(max(part * self.unit, LEAST) for part in (self.atol, self.noise, 1.0))
        sums = kernel.scaled_squares(self.rows, c, of, y, y_new, self.weight, floors, self.rtol)
        e, m, m2, *weighted, loose = self.total(sums).tolist()
        squares = e / (m * m / m2 if m2 > 0.0 else self.size)
        if self.weight.size > 0 and weighted[2] > 0.0:
            squares = max(squares, weighted[0] / (weighted[1] ** 2 / weighted[2]))
        self.loose = math.sqrt(loose * squares / e) if e > 0.0 else 0.0
        return math.sqrt(squares)

    def products(self, of: Sequence[int], w: int) -> NDArray[np.float64]:
        """Inner products of rows with row w."""
        return self.total(kernel.dots(self.rows, of, self.rows, w))

    def length(self, row: int) -> float:
        """Root mean square of a row."""
        return math.sqrt(float(self.products([row], row)[0]) / self.size)

    def finite(self, row: int) -> bool:
        """Whether all numbers of a row are finite."""
        bad = float(np.count_nonzero(~np.isfinite(self.rows[row])))
        return float(self.total(np.array([bad]))[0]) == 0.0


class Attempt(NamedTuple):
    """A step as a method proposes it.

    `rows` are those that become the state, its slope and the five others if it is accepted;
    `stiffness` is h times the largest eigenvalue that the stages have met.
    """

    t: float
    h: float
    error: float
    rows: tuple[int, ...]
    stiffness: float
