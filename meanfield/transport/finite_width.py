"""Networks of finite width against a law: what is fluctuation, and what is bias."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.states import Overlaps, ParticleMeasure, Weights
from meanfield.transport.exact import cloud_of, distances, network_simplex

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FiniteWidth:
    """How far networks are from a law, split into two parts: total² = fluctuation² + bias².

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
        total² − fluctuation²; negative by chance where there is no bias.
    bias_squared_error : float
        Its standard error, by leaving out one network or draw at a time; NaN from fewer than
        three of either.
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

        bias² = E W²(network, draws) − ½ E W²(network, network') − ½ E W²(draws, draws').

    Exact for a translation; otherwise to higher order in the distance over the spacing.

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
    across = np.array([[_squared(m, s) for s in samples] for m in measures])
    runs, drawn = _between(measures), _between(samples)
    bias_squared = _bias_squared(across, runs, drawn)
    fluctuation = 0.5 * (_mean_pair(runs) + _mean_pair(drawn))
    return FiniteWidth(
        total=math.sqrt(float(across.mean())),
        fluctuation=math.sqrt(fluctuation),
        bias=math.sqrt(max(bias_squared, 0.0)),
        bias_squared=bias_squared,
        bias_squared_error=_jackknife(across, runs, drawn),
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


def _squared(one: ParticleMeasure, two: ParticleMeasure) -> float:
    first, second = cloud_of(one), cloud_of(two)
    cost = distances(first.points, second.points, 2)
    return network_simplex(first.masses, second.masses, cost)[0]


def _between(measures: list[ParticleMeasure]) -> Array:
    """Squared distances between all pairs, symmetric, NaN on the diagonal."""
    found = np.full((len(measures), len(measures)), math.nan)
    for i, j in itertools.combinations(range(len(measures)), 2):
        found[i, j] = found[j, i] = _squared(measures[i], measures[j])
    return found


def _mean_pair(squared: Array) -> float:
    return float(np.nanmean(squared))


def _bias_squared(across: Array, runs: Array, drawn: Array) -> float:
    return float(across.mean()) - 0.5 * (_mean_pair(runs) + _mean_pair(drawn))


def _jackknife(across: Array, runs: Array, drawn: Array) -> float:
    """Standard error from leaving out one network, and one draw, at a time."""
    variance = 0.0
    for axis, own in ((0, runs), (1, drawn)):
        n = across.shape[axis]
        if n < 3:
            return math.nan
        left = []
        for i in range(n):
            kept = np.delete(np.delete(own, i, 0), i, 1)
            parts = (kept, drawn) if axis == 0 else (runs, kept)
            left.append(_bias_squared(np.delete(across, i, axis), *parts))
        variance += (n - 1) / n * float(((np.array(left) - np.mean(left)) ** 2).sum())
    return math.sqrt(variance)
