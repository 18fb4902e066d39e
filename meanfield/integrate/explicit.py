"""Explicit methods: their tables as values, laid out in as few vectors as the zeros allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.integrate.equation import LEAST_WORK, Attempt, Equation


def _lower_triangular(*rows: list[float]) -> NDArray[np.float64]:
    return np.array([row + [0.0] * (len(rows) - 1 - len(row)) for row in rows])


@dataclass(frozen=True, eq=False)
class Tableau:
    """An embedded explicit method whose last stage is the first of the next step.

    With its table in `METHODS` a method can be chosen; nothing else is needed.

    Attributes
    ----------
    nodes : ndarray, shape (s,)
    stages : ndarray, shape (s, s - 1)
        Lower-triangular coefficients; the last row advances the solution.
    error : ndarray, shape (s,)
        Weights of the difference between the two embedded solutions.
    dense : ndarray, shape (s,)
        The interpolant is the cubic through both ends and their slopes plus h x² (1 − x)² times
        these weights of the slopes: the x⁴ of a method's own (Hairer, Nørsett & Wanner II.6).
    order, error_order : int
        Of the solution, and of the one that it is compared with.
    """

    name: str
    nodes: NDArray[np.float64]
    stages: NDArray[np.float64]
    error: NDArray[np.float64]
    dense: NDArray[np.float64]
    order: int
    error_order: int


# Dormand & Prince 1980
DORMAND_PRINCE = Tableau(
    name="Dormand-Prince 5(4)",
    nodes=np.array([0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0]),
    stages=_lower_triangular(
        [0.0],
        [1 / 5],
        [3 / 40, 9 / 40],
        [44 / 45, -56 / 15, 32 / 9],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
        [35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
    ),
    error=np.array(
        [71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40]
    ),
    dense=np.array([
        -12715105075 / 11282082432, 0.0, 87487479700 / 32700410799, -10690763975 / 1880347072,
        701980252875 / 199316789632, -1453857185 / 822651844, 69997945 / 29380423,
    ]),
    order=5,
    error_order=4,
)  # fmt: skip

# Bogacki & Shampine 1989; the cubic through both ends is of its order
BOGACKI_SHAMPINE = Tableau(
    name="Bogacki-Shampine 3(2)",
    nodes=np.array([0.0, 1 / 2, 3 / 4, 1.0]),
    stages=_lower_triangular([0.0], [1 / 2], [0.0, 3 / 4], [2 / 9, 1 / 3, 4 / 9]),
    error=np.array([-5 / 72, 1 / 12, 1 / 9, -1 / 8]),
    dense=np.zeros(4),
    order=3,
    error_order=2,
)

# by the argument `method`; "auto" takes implicit steps where the equation is stiff
METHODS = {
    "auto": DORMAND_PRINCE,
    "dormand_prince": DORMAND_PRINCE,
    "bogacki_shampine": BOGACKI_SHAMPINE,
}


class Stage(NamedTuple):
    """One slope of a step: where it is taken, and the places of what it is made of and goes to."""

    node: float
    weights: list[float]
    of: list[int]
    out: int


class Plan:
    """Which place each slope of a step takes: 0 is the state's, 1 that of the first slope.

    A slope is kept no longer than something asks for it. One that no later stage needs, nor the
    step's end, its error or its interpolant, makes room for the next; those that remain do so, once
    the end is known, for what they owe to it, to the error and to the interpolant, and the last of
    them for the slope there.
    """

    def __init__(self, tableau: Tableau):
        A, last = tableau.stages, len(tableau.nodes) - 1
        ends = np.stack([A[last], tableau.error[:-1], tableau.dense[:-1]])
        free, places, self.stages = list(range(2, last + 4)), {0: 1}, []
        for s in range(1, last):
            of = [m for m in places if A[s, m] != 0.0]
            sources, weights = [places[m] for m in of], A[s, of].tolist()
            for m in [m for m in places if m > 0 and not A[s + 1 : last, m].any()]:
                if not ends[:, m].any():
                    free.insert(0, places.pop(m))
            places[s] = free.pop(0)
            self.stages.append(Stage(float(tableau.nodes[s]), weights, [0, *sources], places[s]))
        kept = [m for m in places if m == 0 or ends[:, m].any()]
        self.of = [0, *(places[m] for m in kept)]
        self.ends = np.hstack((np.zeros((3, 1)), ends[:, kept]))
        self.ends[1:, 1] = 0.0  # the first slope stays, and adds its share where it is needed
        self.slope = places[last - 1]
        rest = [places[m] for m in places if m not in (0, last - 1)] + free
        self.error, self.bend, self.end, *self.rest = rest
        used = [0, 1, self.error, self.bend, self.end, *(stage.out for stage in self.stages)]
        self.places = max(used) + 1
        self.rest = [place for place in self.rest if place < self.places]
        self.work = max(LEAST_WORK, self.places + 1)  # rows, with a spare one


class Explicit:
    """Steps of a tableau, with its error estimate and its interpolant.

    Where slopes may take the place of states, a stage is laid out where its slope goes, and the
    last of the rows is never written.
    """

    def __init__(self, equation: Equation, tableau: Tableau):
        self.equation, self.tableau, self.plan = equation, tableau, Plan(tableau)
        self.name, self.exponent = tableau.name, 1.0 / (tableau.error_order + 1)
        self.cost = len(tableau.nodes) - 1  # evaluations a step
        # two stages at one time are apart by what stiff directions make of them
        self.twins = tableau.nodes[-2] == tableau.nodes[-1]

    def attempt(self, t: float, h: float, rows: tuple[int, ...]) -> Attempt:
        """A step of size h from the state and slope in the first two rows."""
        f, plan = self.equation, self.plan
        y, k1, spare = rows[0], rows[1], rows[-1]
        for stage in plan.stages:
            out = rows[stage.out]
            at = out if f.in_place else spare
            weights = [1.0, *(h * weight for weight in stage.weights)]
            f.mix(at, weights, [rows[place] for place in stage.of])
            before = f.sample(at)
            f.slope(t + stage.node * h, at, out)
        y_new, error, bend = rows[plan.end], rows[plan.error], rows[plan.bend]
        slope = rows[plan.slope]
        ends = h * plan.ends
        ends[0, 0] = 1.0
        f.mix([y_new, error, bend], ends, [rows[place] for place in plan.of])
        slope_before = f.sample(slope)
        f.slope(t + h, y_new, slope)
        E = self.tableau.error
        size = f.error([h * E[0], 1.0, h * E[-1]], [k1, error, slope], y, y_new)
        stiffness = 0.0
        if self.twins:
            slopes = f.sample(slope), slope_before
            stiffness = h * f.ratio(slopes, (f.sample(y_new), before))
        rest = (*(rows[place] for place in plan.rest), *rows[plan.places :])
        return Attempt(t, h, size, (y_new, slope, error, bend, k1, y, *rest), stiffness)

    def interpolate(self, step: Attempt, t: float, out: int) -> int:
        """The state inside a step, in row `out`: one that nothing else needs."""
        y_new, k_new, _, bend, k1, y, *_ = step.rows
        x = (t - step.t) / step.h
        if x >= 1.0:
            return y_new
        D, quartic, h = self.tableau.dense, x * x * (1.0 - x) ** 2, step.h
        weights = [
            (1.0 - x) ** 2 * (1.0 + 2.0 * x),
            x * x * (3.0 - 2.0 * x),
            h * (x * (1.0 - x) ** 2 + quartic * D[0]),
            h * (quartic * D[-1] - x * x * (1.0 - x)),
            quartic,
        ]
        self.equation.mix(out, weights, [y, y_new, k1, k_new, bend])
        return out

    def stiff_direction(self, step: Attempt) -> int:
        """The row of a step's error, whole: nearly the stiffest direction where it is stiff."""
        _, k_new, error, _, k1, *_ = step.rows
        E = self.tableau.error
        self.equation.mix(error, [step.h * E[0], 1.0, step.h * E[-1]], [k1, error, k_new])
        return error
