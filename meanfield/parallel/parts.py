"""Starts of neurons that lie on several ranks, the same ones however many ranks there are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from meanfield import checks
from meanfield.parallel.ranks import Communicator
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure

MOST_LOTS, SMALLEST_LOT = 4096, 64


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
