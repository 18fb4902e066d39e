"""A checkpoint of a solve on several ranks: a file each, of which all go on from the same step."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.checkpoint import CheckpointFile, PathLike
from meanfield.integrate.records import Snapshot
from meanfield.parallel.ranks import Ranks
from meanfield.states import ParticleMeasure
from meanfield.storage import remove_orphans

Array = NDArray[Any]
# odd numbers of the hash splitmix64
MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], dtype=np.uint64)


class RankCheckpoint(CheckpointFile):
    """The file of this rank, and while all ranks write their next one, that beside it.

    No rank gives up its last snapshot before all have written the next: whenever and however often
    ranks are killed, one step is on all of them. Where other numbers of ranks have left files that
    reach further, neurons are dealt out anew from those.

    Parameters
    ----------
    path, call, outside, restore
        See `CheckpointFile`.
    ranks : Ranks
    part : ParticleMeasure
        This rank's neurons at the start.
    """

    def __init__(
        self,
        path: PathLike,
        call: Mapping[str, str],
        outside: Callable[[], dict[str, Any]],
        restore: Callable[[dict[str, Any]], None],
        *,
        ranks: Ranks,
        part: ParticleMeasure,
    ):
        # how the start is dealt out to ranks is no part of what the call is
        whole = {name: text for name, text in call.items() if not name.startswith("start's ")}
        whole["start"] = fingerprint(part, ranks)
        super().__init__(_file(path, ranks.rank, ranks.size), whole, outside, restore)
        self.ranks, self.name = ranks, path
        self.count, self.k = part.n, part.k
        self.pending = _pending_path(self.path)

    def load(self) -> Snapshot | None:
        """The latest snapshot that all ranks have, of this or another number of them."""
        for path in (self.path, self.pending):
            remove_orphans(path.parent, path.name)
        mine = self._steps(self.path)
        common = set.intersection(*map(set, self.ranks.gathered(list(mine))))
        other = self._latest_of_other_sizes() if self.ranks.rank == 0 else (-1, 0)
        steps, size = self.ranks.gathered(other)[0]
        if steps > max(common, default=-1):
            return self._redistributed(steps, size)
        if not common:
            return None
        snapshot = self.read(mine[max(common)])
        if mine[max(common)] == self.pending:
            os.replace(self.pending, self.path)
        self.pending.unlink(missing_ok=True)
        return snapshot

    def _steps(self, path: Path) -> dict[int, Path]:
        """At which steps there is a snapshot of a rank, and where."""
        found = {}
        for each in (path, _pending_path(path)):
            if (snapshot := self.read(each)) is not None:
                found[int(snapshot.header["now"]["steps"])] = each
        return found

    def _latest_of_other_sizes(self) -> tuple[int, int]:
        """The latest step that all of another number of ranks have, and this number."""
        found = (-1, 0)
        for size in set(self._files().values()) - {self.ranks.size}:
            steps = [set(self._steps(_file(self.name, rank, size))) for rank in range(size)]
            found = max(found, (max(set.intersection(*steps), default=-1), size))
        return found

    def _files(self) -> dict[Path, int]:
        """All files of this checkpoint, and of how many ranks each is one."""
        whole = Path(self.name)
        pattern = re.compile(re.escape(whole.name) + r"\.\d+-of-(\d+)(\.new)?")
        matches = ((path, pattern.fullmatch(path.name)) for path in whole.parent.iterdir())
        return {path: int(match[1]) for path, match in matches if match}

    def _redistributed(self, steps: int, size: int) -> Snapshot:
        """The share of this rank in what `size` ranks left at a step."""
        counts = self.ranks.gathered(self.count)
        first = sum(counts[: self.ranks.rank])
        parts: dict[str, list[Array]] = {}
        begin, header = 0, {}
        for rank in range(size):
            snapshot = self.read(self._steps(_file(self.name, rank, size))[steps])
            assert snapshot is not None
            header, n = snapshot.header, int(snapshot.header["neurons"])
            # of this file's neurons, begin to begin + n of all, those that are dealt to this rank
            mine = slice(*(min(max(i - begin, 0), n) for i in (first, first + self.count)))
            begin += n
            for name, array in snapshot.arrays.items():
                shared = _is_per_neuron(name)
                parts.setdefault(name, []).append(
                    _rows(array, n, self.k)[..., mine, :] if shared else array
                )
        arrays = {name: each[0] for name, each in parts.items()}
        for name in filter(_is_per_neuron, parts):
            arrays[name] = _vector(np.concatenate(parts[name], axis=-2), self.k)
        return Snapshot(header, arrays)

    def due(self) -> bool:
        """Whether it is time on any rank."""
        return self.ranks.largest(float(super().due()))[0] > 0.0

    def save(self, snapshot: Snapshot) -> None:
        """Write a snapshot beside the last one; it takes its place once all ranks have theirs."""
        counted = Snapshot(snapshot.header | {"neurons": self.count}, snapshot.arrays)
        written = self.write(self.pending, counted)
        if self.ranks.largest(float(not written))[0] > 0.0:
            self.pending.unlink(missing_ok=True)
        else:
            os.replace(self.pending, self.path)

    def remove(self) -> None:
        """See `CheckpointFile`; what other numbers of ranks have left is done with as well."""
        for path in (self.path, self.pending, *(self._files() if self.ranks.rank == 0 else ())):
            path.unlink(missing_ok=True)


def fingerprint(part: ParticleMeasure, ranks: Ranks) -> str:
    """Of all neurons in the order of ranks, the same however they are dealt out to them.

    Each neuron's place and values are hashed to one number, and a sum does not depend on who adds.
    """
    counts = ranks.gathered(part.n)
    first = sum(counts[: ranks.rank])
    with np.errstate(over="ignore"):
        mixed = np.arange(first, first + part.n, dtype=np.uint64) * MIX[0]
        for column in np.column_stack(part.arrays()).T:
            mixed = (mixed ^ np.ascontiguousarray(column).view(np.uint64)) * MIX[1]
            mixed = (mixed ^ (mixed >> np.uint64(31))) * MIX[2]
    return f"{sum(ranks.gathered(int(mixed.sum()))) % 2**64:016x}"


def _file(path: PathLike, rank: int, size: int) -> Path:
    return Path(f"{os.fspath(path)}.{rank}-of-{size}")


def _pending_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _is_per_neuron(name: str) -> bool:
    """Whether an array of a snapshot holds vectors of the state, or what all ranks have alike."""
    return name == "values.state" or not name.startswith(("values.", "where."))


def _rows(vectors: Array, n: int, k: int) -> Array:
    """Vectors of n neurons with a row for each, (…, n, k + 1), or k + 2 where a moves."""
    first = vectors.shape[-1] - n * (k + 1)  # a, then u, then r
    a, u, r = np.split(vectors, [first, first + n * k], axis=-1)
    parts = [u.reshape(*u.shape[:-1], n, k), r[..., None]]
    return np.concatenate([a[..., None], *parts] if first else parts, axis=-1)


def _vector(rows: Array, k: int) -> Array:
    """The inverse of `_rows`."""
    a, u, r = np.split(rows, [rows.shape[-1] - k - 1, rows.shape[-1] - 1], axis=-1)
    flat = [part.reshape(*part.shape[:-2], -1) for part in (a, u, r)]
    return np.concatenate(flat, axis=-1)
