"""y' = f(t, y) with its tolerances: what every method steps with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield.kernels import linear

Vector = NDArray[np.float64]
RightHandSide = Callable[[float, Vector, Vector], None]
Total = Callable[[NDArray[np.float64]], NDArray[np.float64]]

WORK = 7  # rows of a run's memory: the state, its slope, and five to work with
SPARE, FIRST = WORK, WORK + 1  # one more, and the first of those for stiff directions
FEWEST, MOST, NUMBERS = 8, 24, 20_000_000  # such directions, and what more than a few may take
SAMPLE = 2**15  # numbers that tell how stiff a step is, if there are more


class Equation:
    """The right-hand side, and the vectors of a run as rows of one array.

    Parameters
    ----------
    rhs : callable
        ``rhs(t, y, out)``.
    y0 : ndarray, shape (N,)
    rtol, atol : float
    total : callable, optional
        Sums an array of partial sums over all holders of a part of y; every decision of the
        integrator goes through it.
    in_place : bool
        Whether the `out` of `rhs` may be y itself.
    """

    def __init__(
        self, rhs: RightHandSide, y0: Vector, rtol: float, atol: float, total: Total | None = None,
        *, in_place: bool = False,
    ):  # fmt: skip
        self.rhs, self.rtol, self.atol, self.in_place = rhs, rtol, atol, in_place
        self.total = total or (lambda sums: sums)
        self.size = float(self.total(np.array([float(len(y0))]))[0])
        directions = max(FEWEST, min(MOST, int(NUMBERS // self.size)))
        self.basis = tuple(range(FIRST, FIRST + min(directions, int(self.size))))
        # coordinates of a neuron go by twos or threes: a stride that shares no factor sees all
        self.stride = 1 + 6 * int(self.size // (6 * SAMPLE))
        # what is never written takes no memory
        self.rows = np.zeros((FIRST + len(self.basis), len(y0)))
        self.rows[0] = y0
        self.evaluations = 0

    def release(self, row: int) -> Vector:
        """Give back all memory but a row's; nothing else may hold on to the others."""
        if row != 0:
            self.rows[0] = self.rows[row]
        self.rows.resize((1, self.rows.shape[1]), refcheck=False)  # cut where it is, not copied
        return self.rows[0]

    def slope(self, t: float, y: int, out: int) -> None:
        """f at row y, written to row `out`."""
        self.rhs(t, self.rows[y], self.rows[out])
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
        linear.mix(self.rows, out, c, of)

    def error(self, c: ArrayLike, of: Sequence[int], y: int, y_new: int) -> float:
        """Root mean square of a combination of rows, in units of the tolerance."""
        squares = linear.scaled_squares(self.rows, c, of, y, y_new, self.atol, self.rtol)
        return math.sqrt(float(self.total(np.array([squares]))[0]) / self.size)

    def products(self, of: Sequence[int], w: int) -> NDArray[np.float64]:
        """Inner products of rows with row w."""
        return self.total(linear.dots(self.rows, of, self.rows, w))

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
