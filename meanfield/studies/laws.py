"""The starts that a study knows by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from meanfield import starts
from meanfield.problem import Problem
from meanfield.states import Overlaps, ParticleMeasure, Weights

IN_WEIGHTS = 2.5  # a step in R^d costs p d/2.5 of one exact in law, p²
MOST_WEIGHTS = 2 * 10**7


def gaussian_network(
    problem: Problem, p: int, scale: float = 1.0, seed: int = 0
) -> Weights | Overlaps:
    """w ~ N(0, scale² I_d) in the description in which a step of SGD costs less."""
    d = problem.dim
    if p > problem.perpendicular_dim or (d < IN_WEIGHTS * p and p * d < MOST_WEIGHTS):
        return starts.gaussian_weights(problem, p, scale, seed)
    return starts.gaussian_overlaps(problem, p, scale, seed)


def given_measure(
    problem: Problem,
    a: Sequence[float],
    u: Sequence[Sequence[float]],
    r: Sequence[float],
    mass: Sequence[float] | None = None,
) -> ParticleMeasure:
    """The measure whose numbers are given, in every dimension."""
    return ParticleMeasure(a, u, r, mass, origin={"start": "given"})  # type: ignore[arg-type]


LAWS: dict[str, Callable[..., Any]] = {
    law.__name__: law
    for law in (
        starts.aligned_measure, starts.aligned_overlaps, starts.aligned_weights,
        starts.gaussian_measure, starts.gaussian_overlaps, starts.gaussian_weights,
        starts.spherical_measure, starts.spherical_overlaps, starts.spherical_weights,
        gaussian_network, given_measure,
    )
}  # fmt: skip
