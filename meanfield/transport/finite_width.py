"""Networks of finite width against a law: what is fluctuation, and what is bias."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.states import Overlaps, ParticleMeasure, Weights
from meanfield.transport.distance import wasserstein

Array = NDArray[np.float64]

STEEPEST = 5.0  # φ(p)/(φ(p/2) − φ(p)): one for p^−1, three for p^−2/5, as in five coordinates


@dataclass(frozen=True)
class FiniteWidth:
    """How far networks are from a law: total² = fluctuation² + bias² − correction.

    Attributes
    ----------
    total : float
        Root mean square distance between a network of p neurons and p independent draws of the
        law.
    fluctuation : float
        What of it p neurons show about any law: root mean square distance between two draws,
        averaged over draws of the law and over pairs of networks, over √2 each.
    bias : float
        The distance between the law of the networks and the law; 0 if `bias_squared` is negative.
    bias_squared : float
        total² − fluctuation² + correction; negative by chance where there is no bias.
    bias_squared_error : float
        Its standard error, by leaving out one network or draw at a time; NaN from fewer than
        three of either.
    correction : float
        What the fluctuation hides of the bias, from halves of the networks; 0 at width one.
    width, runs, draws, order : int

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> law = mf.gaussian_measure(problem, n=1000)
    >>> networks = [mf.gaussian_weights(problem, p=20, seed=i).measure() for i in range(4)]
    >>> split = mf.transport.finite_width(networks, law)
    >>> split.width, split.total > split.bias
    (20, True)
    """

    total: float
    fluctuation: float
    bias: float
    bias_squared: float
    bias_squared_error: float
    correction: float
    width: int
    runs: int
    draws: int
    order: int

    @property
    def bias_interval(self) -> tuple[float, float]:
        """Bias within two standard errors of its square."""
        slack = 2.0 * self.bias_squared_error
        low, high = (max(self.bias_squared + sign * slack, 0.0) for sign in (-1, 1))
        return math.sqrt(low), math.sqrt(high)


def finite_width(
    networks: Sequence[Weights | Overlaps | ParticleMeasure],
    law: ParticleMeasure,
    *,
    draws: int | None = None,
    seed: int = 0,
) -> FiniteWidth:
    """Compare replicas of a network with a law of neurons, in the distance W2.

    p neurons are 1/√p away from their own law, as any p draws are. That part is measured on the
    networks and on draws of the law, and taken off the squared distance between them, as in the
    debiased divergences of Genevay, Peyré & Cuturi (2018):

        b(p) = E W²(network, draws) − ½ E W²(network, network') − ½ E W²(draws, draws').

    For a translation this is the bias², exactly. For a scaling of the law it is the bias² times
    1 − φ(p)/E|x − E x|², φ the fluctuation²: neurons matched across the spacing hide a part of the
    map that grows with the spacing. So the same is done with halves of the networks, and both are
    extrapolated to a spacing of zero, linearly in φ.

    Parameters
    ----------
    networks : sequence of Weights, Overlaps or ParticleMeasure
        Two or more independent runs of one width p, for example ``simulate_sgd(...).final``.
    law : ParticleMeasure
        For example the final state of `solve_mean_field`.
    draws : int, optional
        Samples of p neurons from the law, ≥ 2; by default as many as networks. Each pair of
        samples is an exact problem of p × p.
    seed : int
        Seed of the draws, ≥ 0.

    Returns
    -------
    FiniteWidth

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> law = mf.gaussian_measure(problem, n=1000)
    >>> starts = [mf.gaussian_weights(problem, p=50, seed=s) for s in range(4)]
    >>> apart = mf.transport.finite_width(starts, law)
    >>> apart.bias < apart.fluctuation
    True
    """
    measures = _measures(networks, law)
    p = measures[0].n
    count = len(measures) if draws is None else checks.integer(draws, "draws", minimum=2)
    rng = np.random.default_rng(checks.integer(seed, "seed", minimum=0))
    samples = [_draw(law, p, rng) for _ in range(count)]
    whole = _compared(measures, samples)
    half = _mean_of(
        [_compared(*parts) for parts in zip(_halves(measures), _halves(samples), strict=True)]
    )
    hidden = _hidden(whole, half)
    bias_squared = _debiased(whole) + hidden
    return FiniteWidth(
        total=math.sqrt(float(whole.across.mean())),
        fluctuation=math.sqrt(_fluctuation(whole)),
        bias=math.sqrt(max(bias_squared, 0.0)),
        bias_squared=bias_squared,
        bias_squared_error=_jackknife(whole, half),
        correction=hidden,
        width=p, runs=len(measures), draws=count, order=2,
    )  # fmt: skip


def _measures(networks: Any, law: ParticleMeasure) -> list[ParticleMeasure]:
    checks.instance(law, "law", ParticleMeasure)
    found = []
    for state in networks:
        if isinstance(state, Weights):
            state = state.overlaps()
        if isinstance(state, Overlaps):
            state = state.measure()
        found.append(checks.instance(state, "networks", ParticleMeasure))
        if state.mass is not None:
            raise ValueError("networks must have neurons of equal mass")
        if state.k != law.k:
            raise ValueError(f"networks must have the k of the law, {law.k}, got {state.k}")
    if len(found) < 2:
        raise ValueError(f"networks must hold at least two runs, got {len(found)}")
    if len({measure.n for measure in found}) > 1:
        raise ValueError("networks must all have the same width")
    return found


def _draw(law: ParticleMeasure, p: int, rng: np.random.Generator) -> ParticleMeasure:
    chosen = rng.choice(law.n, size=p, p=law.masses)
    return ParticleMeasure(law.a[chosen], law.u[chosen], law.r[chosen])


class _Squared(NamedTuple):
    """Squared distances between networks and draws, and within both, NaN on their diagonals."""

    across: Array
    runs: Array
    draws: Array

    def without(self, axis: int, i: int) -> _Squared:
        """Without one network (axis 0) or one draw (axis 1)."""
        runs, draws = self.runs, self.draws
        if axis == 0:
            runs = np.delete(np.delete(runs, i, 0), i, 1)
        else:
            draws = np.delete(np.delete(draws, i, 0), i, 1)
        return _Squared(np.delete(self.across, i, axis), runs, draws)


def _compared(runs: list[ParticleMeasure], draws: list[ParticleMeasure]) -> _Squared:
    across = np.array([[_squared(one, two) for two in draws] for one in runs])
    return _Squared(across, _between(runs), _between(draws))


def _mean_of(several: list[_Squared]) -> _Squared:
    return _Squared(*(np.mean(parts, axis=0) for parts in zip(*several, strict=True)))


def _halves(measures: list[ParticleMeasure]) -> Iterator[list[ParticleMeasure]]:
    """The first half of the neurons of each, and the last."""
    count = max(measures[0].n // 2, 1)
    for part in (slice(None, count), slice(-count, None)):
        yield [ParticleMeasure(m.a[part], m.u[part], m.r[part]) for m in measures]


def _squared(one: ParticleMeasure, two: ParticleMeasure) -> float:
    return float(wasserstein(one, two, method="exact")) ** 2


def _between(measures: list[ParticleMeasure]) -> Array:
    """Squared distances between all pairs, symmetric, NaN on the diagonal."""
    found = np.full((len(measures), len(measures)), math.nan)
    for i, j in itertools.combinations(range(len(measures)), 2):
        found[i, j] = found[j, i] = _squared(measures[i], measures[j])
    return found


def _fluctuation(squared: _Squared) -> float:
    return 0.5 * float(np.nanmean(squared.runs) + np.nanmean(squared.draws))


def _debiased(squared: _Squared) -> float:
    return float(squared.across.mean()) - _fluctuation(squared)


def _hidden(whole: _Squared, half: _Squared) -> float:
    """What extrapolation to no fluctuation adds; halves fluctuate more, but for chance."""
    more = _fluctuation(half) - _fluctuation(whole)
    if more <= 0.0:
        return 0.0
    return min(_fluctuation(whole) / more, STEEPEST) * (_debiased(whole) - _debiased(half))


def _jackknife(whole: _Squared, half: _Squared) -> float:
    """Standard error from leaving out one network, and one draw, at a time."""
    variance = 0.0
    for axis in (0, 1):
        n = whole.across.shape[axis]
        if n < 3:
            return math.nan
        left = []
        for i in range(n):
            kept = whole.without(axis, i)
            left.append(_debiased(kept) + _hidden(kept, half.without(axis, i)))
        variance += (n - 1) / n * float(((np.array(left) - np.mean(left)) ** 2).sum())
    return math.sqrt(variance)
