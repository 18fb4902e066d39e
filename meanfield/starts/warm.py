"""Starts from states: where another run ended, or any state with its opposite beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from meanfield import checks
from meanfield.problem import Problem
from meanfield.states import Overlaps, ParticleMeasure, Weights
from meanfield.targets import has_gram

AnyState = TypeVar("AnyState", ParticleMeasure, Overlaps, Weights)
KINDS = {"measure": ParticleMeasure, "overlaps": Overlaps, "weights": Weights}


def antisymmetric(state: AnyState) -> AnyState:
    """Every neuron of a state beside its opposite: the same first layer, and −a. f = 0 exactly.

    Parameters
    ----------
    state : ParticleMeasure, Overlaps or Weights

    Returns
    -------
    The same kind of state
        Of twice as many neurons.

    Raises
    ------
    TypeError
        If the state is none of these.

    Notes
    -----
    With a trained second layer or a start of a = ±1 the pairs part; it is how Chizat & Bach (2018)
    start from the function 0.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=50)
    >>> start = mf.antisymmetric(mf.gaussian_measure(problem, n=10))
    >>> risk = mf.population_risk(problem, start)
    >>> round(risk - problem.target.second_moment() / 2, 12) + 0.0
    0.0
    """
    _refuse_other_states(state)
    a = np.concatenate((state.a, -state.a))
    origin = {"start": "antisymmetric", "from": dict(state.origin)}
    changes: dict[str, Any]
    if isinstance(state, ParticleMeasure):
        mass = None if state.mass is None else np.tile(state.mass / 2, 2)
        changes = {"u": np.tile(state.u, (2, 1)), "r": np.tile(state.r, 2), "mass": mass}
    elif isinstance(state, Overlaps):
        changes = {"Q": np.tile(state.Q, (2, 2)), "M": np.tile(state.M, (2, 1))}
    else:
        changes = {"W": np.tile(state.W, (2, 1))}
    return replace(state, a=a, origin=origin, **changes)


def warm_start(
    source: Any, problem: Problem, kind: str | None = None, n: int | None = None, seed: int = 0
) -> ParticleMeasure | Overlaps | Weights:
    """A start for one problem from a state of another: other d, target, width or description.

    What both problems have is kept: a, u, and lengths; the angles between neurons outside the
    principal subspace too, where both kinds have them and the width stays. What a kind leaves open
    is drawn, see `ParticleMeasure.overlaps`.

    Parameters
    ----------
    source : ParticleMeasure, Overlaps, Weights or Solution
        A solution stands for its final state. (A run of SGD has one a run: pass one of them.)
    problem : Problem
        The problem to start. Its principal subspace must have the dimension of the state's; a
        target of another Gram matrix sees the same u.
    kind : str, optional
        ``"measure"``, ``"overlaps"`` or ``"weights"``; by default that of the state.
    n : int, optional
        Number of neurons; by default as many as the state has. Another number is resampled from
        their law, with new directions outside the principal subspace.
    seed : int
        Seed of what is drawn, ≥ 0.

    Returns
    -------
    ParticleMeasure, Overlaps or Weights

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the state cannot start the problem.

    Examples
    --------
    >>> import meanfield as mf
    >>> low, high = (mf.Problem(mf.CommitteeTarget(k=1), dim=d) for d in (30, 10**6))
    >>> first = mf.solve_mean_field(low, mf.gaussian_measure(low, n=50), t_end=1.0)
    >>> second = mf.solve_overlaps(high, mf.warm_start(first, high, "overlaps", n=8), t_end=1.0)
    >>> bool(second.risk[-1] < first.risk[0])
    True
    """
    state = getattr(source, "final", source)
    if isinstance(state, list):
        raise TypeError("source has one final state a run: pass one of source.final")
    _refuse_other_states(state, "source")
    checks.instance(problem, "problem", Problem)
    kinds = {type_: name for name, type_ in KINDS.items()}
    kind = kinds[type(state)] if kind is None else checks.option(kind, "kind", KINDS)
    n = None if n is None else checks.integer(n, "n")
    seed = checks.integer(seed, "seed", minimum=0)
    made = _convert(state, problem, kind, n, seed)
    return replace(made, origin={"start": "warm", "from": dict(state.origin), "seed": seed})


def _convert(
    state: ParticleMeasure | Overlaps | Weights,
    problem: Problem,
    kind: str,
    n: int | None,
    seed: int,
) -> ParticleMeasure | Overlaps | Weights:
    """The state as one of the kind, for the problem."""
    count = len(state.a)
    n = count if n is None else n
    if kind == "measure" or n != count or isinstance(state, ParticleMeasure):
        measure = state if isinstance(state, ParticleMeasure) else state.measure()
        _refuse_other_rank(measure.k, problem)
        if kind == "measure":
            return measure if n == count else measure.resampled(n, seed)
        return (
            measure.overlaps(problem, n, seed)
            if kind == "overlaps"
            else measure.weights(problem, n, seed)
        )
    if isinstance(state, Weights):
        P = state.W_star @ state.W_star.T / state.dim
        if kind == "weights" and state.dim == problem.dim and has_gram(problem.target, P):
            return state
        state = state.overlaps()
    moved = _for_target(state, problem)
    return moved if kind == "overlaps" else moved.weights(problem, seed)


def _for_target(state: Overlaps, problem: Problem) -> Overlaps:
    """Overlaps with the directions of another target in the same principal subspace."""
    P = np.asarray(problem.target.gram)
    if P.shape == state.P.shape and np.array_equal(P, state.P):
        return state
    u = state.measure().u
    _refuse_other_rank(u.shape[1], problem)
    return Overlaps(state.Q, u @ problem.target.basis.T, P, state.a)


def _refuse_other_rank(k: int, problem: Problem) -> None:
    if k != problem.subspace_dim:
        raise ValueError(
            f"problem must have a principal subspace of dimension {k}, as the state has, got "
            f"{problem.subspace_dim}"
        )


def _refuse_other_states(state: Any, name: str = "state") -> None:
    if not isinstance(state, ParticleMeasure | Overlaps | Weights):
        raise TypeError(
            f"{name} must be a ParticleMeasure, Overlaps or Weights, got {type(state).__name__}"
        )
