"""The neurons of several ranks: starts that are the same on any number of them, and their field."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from meanfield import checks
from meanfield.fields.base import Array, LinearField, Task, reach_of, sample_neurons
from meanfield.fields.choose import EVALUATORS, make_field
from meanfield.parallel.ranks import Communicator, Ranks
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure

MOST_LOTS, SMALLEST_LOT = 4096, 64
PART = 20_000  # neurons of all ranks that layouts are planned and held to account with
LINEAR = tuple(
    name
    for name, kind in EVALUATORS.items()
    if isinstance(kind, type) and issubclass(kind, LinearField)
)


def draw(
    law: Callable[..., ParticleMeasure],
    problem: Problem,
    n: int,
    seed: int = 0,
    comm: Communicator | None = None,
    **parameters: Any,
) -> ParticleMeasure:
    """Draw the share that this rank has of n neurons, in lots with seeds of their own.

    Which lots there are depends on n alone, so that the neurons of all ranks together are the same
    on any number of ranks. Each lot is a draw by itself: antithetic pairs and the even spread of a
    Sobol sequence hold within lots.

    Parameters
    ----------
    law : callable
        ``law(problem, n, seed=..., **parameters)``, such as `gaussian_measure`.
    problem : Problem
    n : int
        Neurons on all ranks together; at least 64 a rank.
    seed : int
        From which the lots' seeds are spawned.
    comm : mpi4py communicator, optional
        None: all neurons are this process's.
    **parameters
        Of the law.

    Returns
    -------
    ParticleMeasure
        The neurons of this rank, with equal masses.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> mf.parallel.draw(mf.gaussian_measure, problem, 1000, sampling="antithetic").n
    1000
    """
    checks.instance(problem, "problem", Problem)
    n, seed = checks.integer(n, "n"), checks.integer(seed, "seed", minimum=0)
    rank, size = (0, 1) if comm is None else (comm.rank, comm.size)
    lots = min(MOST_LOTS, max(1, n // SMALLEST_LOT))
    if lots < size:
        raise ValueError(f"n must be at least {SMALLEST_LOT * size} on {size} ranks, got {n}")
    # even sizes, so that antithetic laws give as many neurons as they are asked for
    edges = [2 * math.floor(n / 2 * i / lots) for i in range(lots)] + [n]
    seeds = np.random.SeedSequence(seed).spawn(lots)
    mine = range(lots * rank // size, lots * (rank + 1) // size)
    parts = [
        law(problem, edges[i + 1] - edges[i], seed=int(seeds[i].generate_state(1)[0]), **parameters)
        for i in mine
    ]
    for part in parts:
        if not isinstance(part, ParticleMeasure) or part.mass is not None:
            raise TypeError("law must draw a ParticleMeasure of equal masses")
    a, u, r = (np.concatenate(arrays) for arrays in zip(*(m.arrays() for m in parts), strict=True))
    origin = {**parts[0].origin, "seed": seed, "lots": lots, "neurons": n}
    return ParticleMeasure(a, u, r, origin=origin)


class SharedField:
    """A linear-time field of which this rank holds a share of the neurons.

    Sums over neurons are completed by one reduction; what they do to a neuron is that rank's alone.
    Layouts and errors rest on a part of the neurons that all ranks know, with those that reach
    furthest among them: every rank plans the same.

    Parameters
    ----------
    problem : Problem
    ranks : Ranks
    n : int
        Neurons of all ranks.
    part : ParticleMeasure
        Those of this rank.
    evaluator : str
        Its name, or "auto".
    """

    def __init__(
        self, problem: Problem, ranks: Ranks, n: int, part: ParticleMeasure, evaluator: str
    ):
        self.ranks, self.share = ranks, part.n / n
        self.mass: Array | None = None
        furthest, longest = ranks.largest(*reach_of(part.u, part.r))
        values = problem.second_layer_rate > 0.0
        task = Task(problem, n, furthest, longest, many_values=values)
        field = make_field(task, evaluator, LINEAR)
        assert isinstance(field, LinearField)
        self.field = field
        self.name, self.tolerance = field.name, field.tolerance
        self.in_place = getattr(field, "in_place", False)
        self.prepare(part)

    def _known(self, a: Array, u: Array, r: Array) -> ParticleMeasure:
        """Neurons of all ranks that every rank knows."""
        count = min(len(a), math.ceil(PART * self.share))
        even = np.linspace(0, len(a) - 1, count).astype(np.int64)
        furthest = np.argmax(np.einsum("ix,ix->i", u, u))
        chosen = np.unique(np.concatenate((even, sample_neurons(u, r, a), [furthest])))
        a, u, r = self.ranks.concatenated(a[chosen], u[chosen], r[chosen])
        return ParticleMeasure(a, u, r)

    def prepare(self, measure: ParticleMeasure, *, still: bool = False) -> None:
        """See `Field`."""
        self.field.prepare(self._known(*measure.arrays()), still=still)

    def error_estimate(self, measure: ParticleMeasure) -> float:
        """See `Field`: of the neurons that all ranks know, as a measure by themselves."""
        return self.field.error_estimate(self._known(*measure.arrays()))

    def outgrown(self, a: Array, u: Array, r: Array) -> bool:
        """See `Field`: on any rank."""
        sums = self._total(self.field.gather(a, u, r)) if self.field.grows_by_sums else None
        grown = float(self.field.outgrown(a, u, r, sums))
        # asked after each step: here all ranks can end together
        grown, number = self.ranks.largest(grown, float(self.ranks.signal))
        self.ranks.raise_signal(number)
        return grown > 0.0

    def grow(self, a: Array, u: Array, r: Array) -> bool:
        """See `Field`."""
        return self.field.grow(*self._known(a, u, np.abs(r)).arrays())

    def _total(self, sums: Array) -> Array:
        """Averages over all neurons, of averages over each rank's."""
        return self.ranks.total(self.share * sums)

    def velocity(
        self, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """See `Field`."""
        self.field.scatter(self._total(self.field.gather(a, u, r)), a, u, r, out_a, out_u, out_r)

    def risk(self, a: Array, u: Array, r: Array) -> float:
        """See `Field`."""
        return self.field.risk_of(self._total(self.field.gather_risk(a, u, r)))

    def variance_parts(self, a: Array, u: Array, r: Array) -> tuple[float, float]:
        """See `Field`."""
        return self.field.variance_parts_of(self._total(self.field.gather(a, u, r)))

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        return self.field.description()

    def layout_state(self) -> dict[str, Any]:
        """See `Field`."""
        return self.field.layout_state()

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""
        self.field.restore(state)
