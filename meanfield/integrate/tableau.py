"""Runge-Kutta methods as values: coefficients and orders, no loop."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction as F

import numpy as np
from numpy.typing import NDArray


def _array(*rows: list[F | int]) -> NDArray[np.float64]:
    width = max(len(row) for row in rows)
    return np.array([[float(x) for x in row] + [0.0] * (width - len(row)) for row in rows])


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
    stages=_array(
        [0],
        [F(1, 5)],
        [F(3, 40), F(9, 40)],
        [F(44, 45), F(-56, 15), F(32, 9)],
        [F(19372, 6561), F(-25360, 2187), F(64448, 6561), F(-212, 729)],
        [F(9017, 3168), F(-355, 33), F(46732, 5247), F(49, 176), F(-5103, 18656)],
        [F(35, 384), 0, F(500, 1113), F(125, 192), F(-2187, 6784), F(11, 84)],
    ),
    error=_array(
        [F(71, 57600), 0, F(-71, 16695), F(71, 1920), F(-17253, 339200), F(22, 525), F(-1, 40)]
    )[0],
    dense=_array(
        [
            F(-12715105075, 11282082432),
            0,
            F(87487479700, 32700410799),
            F(-10690763975, 1880347072),
            F(701980252875, 199316789632),
            F(-1453857185, 822651844),
            F(69997945, 29380423),
        ]
    )[0],
    order=5,
    error_order=4,
)

# Bogacki & Shampine 1989; the cubic through both ends is of its order
BOGACKI_SHAMPINE = Tableau(
    name="Bogacki-Shampine 3(2)",
    nodes=np.array([0.0, 1 / 2, 3 / 4, 1.0]),
    stages=_array([0], [F(1, 2)], [0, F(3, 4)], [F(2, 9), F(1, 3), F(4, 9)]),
    error=_array([F(-5, 72), F(1, 12), F(1, 9), F(-1, 8)])[0],
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
