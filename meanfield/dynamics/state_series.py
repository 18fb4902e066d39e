"""States along a run, kept as stacked arrays and built one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from meanfield.states import Overlaps
from meanfield.states.base import KINDS

Kept = TypeVar("Kept", covariant=True)  # what is at one index: a state, or the series of one run


class StateSeries(Generic[Kept]):
    """A sequence of states (or a sequence of sequences: runs, then times).

    Parameters
    ----------
    kind : str
        ``"ParticleMeasure"``, ``"Overlaps"`` or ``"Weights"``.
    varying : mapping of str to ndarray
        Fields of the state with the leading axes of the series in front.
    fixed : mapping of str to ndarray
        Fields that are the same in all states, stored once.
    shape : tuple of int
        Leading axes: (T,), or (runs, T).
    origin : mapping
        How the start was made; every state carries it.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=20), 1.0, save_at=5)
    >>> len(run.states), len(run.states[1:3]), run.states[0].u.shape
    (5, 2, (20, 1))
    """

    def __init__(
        self,
        kind: str,
        varying: Mapping[str, NDArray[np.float64]],
        fixed: Mapping[str, NDArray[np.float64]],
        shape: tuple[int, ...],
        origin: Mapping[str, Any],
    ):
        self.kind, self.shape = kind, tuple(shape)
        self.varying, self.fixed, self.origin = dict(varying), dict(fixed), dict(origin)

    @classmethod
    def of_records(
        cls,
        kind: str,
        records: Sequence[dict[str, Any]],
        shapes: Mapping[str, tuple[int, ...]],
        fixed: Mapping[str, NDArray[np.float64]],
        origin: Mapping[str, Any],
        runs: int | None = None,
    ) -> StateSeries:
        """The states in a run's records, which lose them: they are not in memory twice.

        Parameters
        ----------
        kind, fixed, origin
            See the class.
        records : sequence of dict
            Those with all fields hold a state.
        shapes : mapping of str to tuple
            The fields that vary, with their shapes at one moment.
        runs : int, optional
            The first axis of each field, where runs lie side by side; it comes before time.
        """
        kept = [record for record in records if shapes and shapes.keys() <= record.keys()]
        varying = {}
        for name, shape in shapes.items():
            stacked = np.empty(
                (len(kept), *shape) if runs is None else (runs, len(kept), *shape[1:])
            )
            for i, record in enumerate(kept):
                stacked[i if runs is None else (slice(None), i)] = record.pop(name)
            varying[name] = stacked
        axes = (len(kept),) if runs is None else (runs, len(kept))
        return cls(kind, varying, fixed, axes, origin)

    @classmethod
    def of_overlaps(
        cls, records: Sequence[dict[str, Any]], start: Overlaps, P: Any, *, moving: bool
    ) -> StateSeries:
        """The overlaps in a run's records; a second layer that does not move is that of the start.

        Parameters
        ----------
        records
            See `of_records`.
        start : Overlaps
        P : array_like, shape (k, k)
            The target's Gram matrix.
        moving : bool
            Whether the second layer is in the records.
        """
        shapes = {name: np.shape(getattr(start, name)) for name in ("Q", "M", "a")}
        fixed = {"P": np.asarray(P)}
        if not moving:
            fixed["a"] = np.asarray(start.a)
            del shapes["a"]
        return cls.of_records("Overlaps", records, shapes, fixed, start.origin)

    def over_time(self, name: str) -> NDArray[np.float64]:
        """A field with the axes of the series in front, repeated without a copy where it is fixed.

        A field that the states do not have raises an AttributeError that names those they have.
        """
        if name in self.varying:
            return self.varying[name]
        if name in self.fixed:
            return np.broadcast_to(self.fixed[name], (*self.shape, *self.fixed[name].shape))
        known = ", ".join(sorted({*self.varying, *self.fixed}))
        raise AttributeError(f"states of kind {self.kind} have no {name}, only {known}")

    def __len__(self) -> int:
        return self.shape[0]

    @overload
    def __getitem__(self, index: int) -> Kept: ...

    @overload
    def __getitem__(self, index: slice) -> StateSeries[Kept]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            part = {name: array[index] for name, array in self.varying.items()}
            shape = (len(range(len(self))[index]), *self.shape[1:])
            return StateSeries(self.kind, part, self.fixed, shape, self.origin)
        i = range(len(self))[index]
        varying = {name: array[i] for name, array in self.varying.items()}
        if len(self.shape) > 1:
            return StateSeries(self.kind, varying, self.fixed, self.shape[1:], self.origin)
        return KINDS[self.kind](**varying, **self.fixed, origin=self.origin)

    def __iter__(self) -> Iterator[Kept]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<{' × '.join(map(str, self.shape))} {self.kind} states>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StateSeries):
            return NotImplemented
        mine, theirs = ({**s.varying, **s.fixed} for s in (self, other))
        return (
            (self.kind, self.shape) == (other.kind, other.shape)
            and mine.keys() == theirs.keys()
            and all(np.array_equal(mine[name], theirs[name], equal_nan=True) for name in mine)
        )

    __hash__ = None  # type: ignore[assignment]


def last_states(states: StateSeries[Any]) -> StateSeries[Any]:
    """The last state of each of several runs, a series with one for each."""
    varying = {name: array[:, -1] for name, array in states.varying.items()}
    return StateSeries(states.kind, varying, states.fixed, states.shape[:1], states.origin)


def at_times(states: StateSeries[Any], part: slice) -> StateSeries[Any]:
    """The states of some of the times, the last axis of a series."""
    behind = (slice(None),) * (len(states.shape) - 1)
    varying = {name: array[(*behind, part)] for name, array in states.varying.items()}
    count = len(range(states.shape[-1])[part])
    return StateSeries(
        states.kind, varying, states.fixed, (*states.shape[:-1], count), states.origin
    )


def joined_states(before: StateSeries[Any], after: StateSeries[Any]) -> StateSeries[Any]:
    """One series after the other in time; what is not the same in both varies."""
    axis = len(before.shape) - 1
    fixed, varying = {}, {}
    for name in before.varying | before.fixed:
        still = name not in before.varying | after.varying
        if still and np.array_equal(before.fixed[name], after.fixed[name]):
            fixed[name] = before.fixed[name]
            continue
        varying[name] = np.concatenate([each.over_time(name) for each in (before, after)], axis)
    shape = (*before.shape[:-1], before.shape[-1] + after.shape[-1])
    return StateSeries(before.kind, varying, fixed, shape, before.origin)
