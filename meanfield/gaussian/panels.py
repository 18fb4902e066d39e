"""Where a function of one number is steep or has kinks: panels on which it is a polynomial.

Intervals are halved until a Chebyshev sum of degree 16 holds the function to rounding on each.
Where this does not end there is a point, a kink of some order, which becomes an end of panels. The
idea of splitting is Chebfun's (Pachón, Platte & Trefethen 2010).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial.chebyshev import chebder, chebval
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

NEAR, FAR = 32.0, 2.0**14  # up to here panels start equal, and from there each twice as wide
WIDTH = 4.0  # of a panel to start from
# where no end of a panel falls on a number that people like: special points then lie inside panels,
# are closed in on, and none is overlooked for lying between two panels
SHIFT = (math.sqrt(5.0) - 1.0) / 2.0
DEGREE = 16
RELATIVE, ABSOLUTE = 1e-13, 1e-14  # left out: of the panel's own variation, and of that near 0
ROUNDING = 16.0 * np.finfo(np.float64).eps
LOOSER = 30.0  # between its nodes a sum may miss the function by this many times what is allowed
NARROWEST = 2.0**-44
# a kink is looked for among panels narrower than this, at most so many of them between wider ones;
# it is one if, with an end of panels there, those beside it become so many times wider
CLOSE, PLATEAU, WIDER = 2.0**-5, 6, 8.0
MOST = {FAR: 2**11, NEAR: 2**14}  # panels at work: more belong to a function that is rough
USEFUL = 256  # panels that a quadrature may have to visit
TURN = 1e-8  # jump of the slope, over the largest slope near 0, that counts as a kink
JUMP = 1e-5  # of the function itself, over its variation near 0
# distance to the nearest singularity over the width of a panel on which degree 16 leaves 1e-13:
# half the shorter axis of Bernstein's ellipse, whose semi-axes add up to 10^(13/16)
STRIP, NARROWEST_STRIP = 1.6, 2.0**-10
LOOK, LOOKS = 8.0, 2**12  # |x| up to which little wider than 0.01 is overlooked, points looked at

NODES = np.cos(math.pi * (np.arange(DEGREE, -1, -1) + 0.5) / (DEGREE + 1))
TO_SUM = np.cos(math.pi * np.outer(np.arange(DEGREE + 1), np.arange(DEGREE, -1, -1) + 0.5)
                / (DEGREE + 1)) * (2.0 / (DEGREE + 1))  # fmt: skip
TO_SUM[0] *= 0.5
ORDERS = np.arange(DEGREE + 1.0)
SIGNS = (-1.0) ** np.arange(DEGREE + 1)
BETWEEN = np.cos(math.pi * np.arange(DEGREE + 1, -1, -1) / (DEGREE + 1))  # and at both ends
BETWEEN_SUM = np.cos(np.outer(np.arange(DEGREE + 1), np.arccos(BETWEEN)))


@dataclass(frozen=True)
class Panels:
    """What was found.

    Attributes
    ----------
    edges : tuple of float
        Ends of panels, on each of which the function is a polynomial to rounding; the outer ones
        go on to infinity. Empty where there would be too many: a function that oscillates.
    points : tuple of float
        Ends of panels at which some derivative jumps.
    kinks : tuple of float
        Those at which the slope jumps.
    strip : float
        Width of the finest feature: the distance to the nearest complex singularity.
    jump : tuple of float, optional
        Where the function itself jumps, and its values on both sides.
    """

    edges: tuple[float, ...]
    points: tuple[float, ...]
    kinks: tuple[float, ...]
    strip: float
    jump: tuple[float, float, float] | None = None


@dataclass
class _Split:
    """Panels from left to right and the Chebyshev sums on them.

    `held` where that is enough; `halved` where a wider panel was not.
    """

    left: Array
    right: Array
    sums: Array
    held: NDArray[np.bool_]
    halved: NDArray[np.bool_]
    scale: float

    @property
    def width(self) -> Array:
        """Of each panel."""
        return self.right - self.left


def find_panels(function: Function, breaks: Sequence[float] = ()) -> Panels:
    """Panels of a function, which may be broken at the points given as well."""
    with np.errstate(all="ignore"):
        for far in (FAR, NEAR):
            first = _split(function, breaks, far)
            if first is not None:
                overlooked = _missed_points(function, first)
                if overlooked:
                    first = _split(function, sorted({*breaks, *overlooked}), far)
            if first is None:
                continue
            given = [at for at in breaks if -far < at < far]
            points = [_locate(function, *bracket, breaks) for bracket in _brackets_of_kinks(first)]
            again = _split(function, sorted({*given, *points}), far) if points else first
            if again is not None and points:
                points = [at for at in points if _widens_panels(at, first, again)]
                again = _split(function, sorted({*given, *points}), far)
            if again is not None:
                return _panels(function, again, sorted({*given, *points}), far)
    return Panels((), (), (), _strip_of_rough_function(function))


def _start(breaks: Sequence[float], far: float) -> tuple[Array, Array]:
    """Panels to begin with."""
    near = np.arange(-NEAR, NEAR + WIDTH, WIDTH)
    outside = NEAR * 2.0 ** np.arange(1.0, math.log2(far / NEAR) + 1.0)
    edges = np.concatenate((-outside, near, outside)) + SHIFT
    edges = np.unique(np.concatenate((edges, np.asarray(breaks, dtype=np.float64))))
    return edges[:-1], edges[1:]


def _values(function: Function, left: Array, right: Array, at: Array) -> Array:
    """The function at positions in (−1, 1) of each panel."""
    x = 0.5 * (left + right)[:, None] + 0.5 * (right - left)[:, None] * at
    x[:, 0], x[:, -1] = np.maximum(x[:, 0], left), np.minimum(x[:, -1], right)
    return np.asarray(function(x.ravel()), dtype=np.float64).reshape(x.shape)


def _sums(function: Function, left: Array, right: Array) -> Array:
    """Chebyshev coefficients on panels, (m, DEGREE + 1)."""
    return _values(function, left, right, NODES) @ TO_SUM.T


def _split(function: Function, breaks: Sequence[float], far: float) -> _Split | None:
    """Halve panels until all are held or too narrow; None if they are too many."""
    left, right = _start(breaks, far)
    done: list[tuple[Any, ...]] = []
    scale, total, first = 0.0, 0, True
    while len(left):
        sums = _sums(function, left, right)
        finite = np.isfinite(sums.sum(axis=1))
        size = np.abs(np.nan_to_num(sums, nan=0.0, posinf=0.0, neginf=0.0))
        variation, middle = size[:, 1:].max(axis=1), 0.5 * (left + right)
        if first:
            near = np.logical_and(left >= -2.0 * WIDTH, right <= 3.0 * WIDTH)
            scale = float(variation[near].max(initial=0.0)) or float(variation.max()) or 1.0
        # rounding of the values, and of what x loses on the way to them
        blur = size.max(axis=1) + DEGREE * np.abs(middle) * variation / (right - left)
        allowed = np.maximum(RELATIVE * variation, ABSOLUTE * scale)
        allowed = np.maximum(allowed, ROUNDING * blur)
        held = np.logical_and(finite, size[:, -3:].max(axis=1) <= allowed)
        some = np.flatnonzero(held)
        found = _values(function, left[some], right[some], BETWEEN)
        miss = np.abs(found - sums[some] @ BETWEEN_SUM).max(axis=1, initial=0.0)
        held[some] = miss <= LOOSER * allowed[some]
        narrow = right - left <= NARROWEST * (1.0 + np.abs(middle))
        ends = held | narrow | ~finite
        done.append((left[ends], right[ends], sums[ends], held[ends], ~held[ends] | (not first)))
        first = False
        total += int(ends.sum())
        left, middle, right = left[~ends], middle[~ends], right[~ends]
        if total + len(left) > MOST[far]:
            return None
        left, right = np.concatenate((left, middle)), np.concatenate((middle, right))
    parts = [np.concatenate(each) for each in zip(*done, strict=True)]
    order = np.argsort(parts[0])
    left, right, sums, held, halved = (part[order] for part in parts)
    return _Split(left, right, sums, held, halved, scale)


def _missed_points(function: Function, split: _Split) -> list[float]:
    """Where the function leaves its sums between all nodes of wide panels."""
    x = LOOK * (2.0 * np.sort(np.random.default_rng(0).random(LOOKS)) - 1.0)
    j = np.searchsorted(split.left, x, side="right") - 1
    t = (2.0 * x - split.left[j] - split.right[j]) / split.width[j]
    sums = chebval(t, split.sums[j].T, tensor=False)
    miss = np.abs(np.asarray(function(x)) - sums) - 1e3 * ROUNDING * np.abs(sums)
    wrong = np.flatnonzero(split.held[j] & (miss > 1e-9 * split.scale))
    groups = np.split(wrong, np.flatnonzero(np.diff(j[wrong])) + 1) if len(wrong) else []
    return [float(x[group[np.argmax(miss[group])]]) for group in groups]


def _brackets_of_kinks(split: _Split) -> list[tuple[float, float]]:
    """Where the halving closed in: a few narrow panels between wider ones."""
    level = np.rint(np.log2(split.width)).astype(int)
    found = []
    for run in np.split(np.arange(len(level)), np.flatnonzero(np.diff(level)) + 1):
        first, last = run[0], run[-1]
        if first > 0 and last < len(level) - 1 and len(run) <= PLATEAU:
            lowest = level[first] < min(level[first - 1], level[last + 1])
            if lowest and split.width[first] < CLOSE * (1.0 + abs(split.left[first])):
                found.append((float(split.left[first]), float(split.right[last])))
    return found


def _locate(function: Function, low: float, high: float, known: Sequence[float]) -> float:
    """The point in a bracket: a known one, 0, or where the sums on both sides meet, made plain."""
    for point in (*known, 0.0):
        if low <= point <= high:
            return float(point)
    width = max(2.0**-8, 16.0 * (high - low))
    below, above = _sums(function, np.array([low - width, high]), np.array([low, high + width]))
    middle = meeting = 0.5 * (low + high)
    for _ in range(4):  # Newton's method
        at = 1.0 + 2.0 * (meeting - low) / width, 2.0 * (meeting - high) / width - 1.0
        gap = chebval(at[1], above) - chebval(at[0], below)
        turn = 2.0 / width * (chebval(at[1], chebder(above)) - chebval(at[0], chebder(below)))
        if turn == 0.0 or not low <= meeting - gap / turn <= high:
            meeting = middle
            break
        meeting -= float(gap / turn)
    blur = 0.5 * (high - low) if meeting == middle else 1e-14 * (1.0 + abs(meeting))
    for digits in range(1, 13):
        plain = round(meeting, digits)
        if abs(plain - meeting) <= blur:
            return plain
    return meeting


def _widens_panels(point: float, before: _Split, after: _Split) -> bool:
    """Whether panels beside a point became much wider once it was an end of them."""
    j = int(np.searchsorted(after.left, point)) if point in after.left else 0
    i = int(np.searchsorted(before.left, point, side="right")) - 1
    narrow = before.width[max(i - 1, 0) : i + 2].min()
    if narrow <= 4.0 * NARROWEST * (1.0 + abs(point)):
        return True  # a jump, or a slope without bound
    return j > 0 and bool(min(after.width[j - 1 : j + 1]) > WIDER * narrow)


def _panels(function: Function, split: _Split, points: Sequence[float], far: float) -> Panels:
    left, right, sums = split.left, split.right, split.sums
    width, size = right - left, np.abs(sums).max(axis=1)
    start = -2.0 / width * ((sums * SIGNS) @ ORDERS**2)  # slopes at the ends
    end = 2.0 / width * (sums @ ORDERS**2)
    near = split.held & (np.abs(left) < 2.0 * WIDTH)
    steepest = max(float(np.abs(end[near]).max(initial=0.0)), 1e-300)
    # the end slope of a sum that is known to 1e-13 or to rounding
    blur = 1e3 * (ABSOLUTE * split.scale + ROUNDING * size) / width
    turns = np.abs(start[1:] - end[:-1]) > TURN * steepest + blur[1:] + blur[:-1]
    at_point = np.isin(left[1:], np.asarray(points))
    kinks = left[1:][at_point & split.held[:-1] & split.held[1:] & turns]
    held = width[split.halved & (np.abs(left) <= NEAR)]
    strip = max(STRIP * float(held.min(initial=WIDTH)), NARROWEST_STRIP)
    edges = tuple(left[1:].tolist())
    oscillates = far < FAR or min(width[0], width[-1]) < 0.2 * FAR
    if len(edges) > USEFUL or oscillates:
        edges = ()
    jump = _jump(function, split, points)
    return Panels(edges, tuple(points), tuple(kinks.tolist()), strip, jump)


def _jump(
    function: Function, split: _Split, points: Sequence[float]
) -> tuple[float, float, float] | None:
    """Where the function itself jumps, if it does, and its values there."""
    for point in points:
        side = 4.0 * NARROWEST * (1.0 + abs(point))
        below, above = np.asarray(function(np.array([point - side, point + side])))
        if abs(above - below) > JUMP * split.scale:
            return float(point), float(below), float(above)
    return None


def _strip_of_rough_function(function: Function) -> float:
    """Strip of a function with too many panels, from equal ones near 0."""
    width = WIDTH
    while width > 1e-3:
        width *= 0.5
        left = np.arange(-4.0, 4.0, width)
        size = np.abs(_sums(function, left, left + width))
        if size[:, -3:].max() <= RELATIVE * max(float(size[:, 1:].max()), 1e-300):
            break
    return STRIP * width
