"""A checkpoint of a solve on several ranks: a file each, of which all go on from the same step."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from meanfield.dynamics.checkpoint import CheckpointFile, PathLike
from meanfield.integrate.records import Snapshot
from meanfield.parallel.ranks import Ranks


class RankCheckpoint(CheckpointFile):
    """The file of this rank, and the one before it.

    No rank can be more than one snapshot ahead of another, because it would have needed the other's
    part of a sum; so of the last two on each rank one is on all, whenever they are killed.
    """

    def __init__(
        self,
        path: PathLike,
        call: Mapping[str, str],
        outside: Callable[[], dict[str, Any]],
        restore: Callable[[dict[str, Any]], None],
        *,
        ranks: Ranks,
    ):
        mine = f"{os.fspath(path)}.{ranks.rank}-of-{ranks.size}"
        super().__init__(mine, call, outside, restore)
        self.ranks = ranks
        self.before = Path(f"{mine}.before")

    def load(self) -> Snapshot | None:
        """The latest snapshot that all ranks have; an error on one is an error on all."""
        found: dict[int, Snapshot] = {}
        trouble = ""
        try:
            for path in (self.path, self.before):
                snapshot = self.read(path)
                if snapshot is not None:
                    found[snapshot.header["now"]["steps"]] = snapshot
        except (OSError, ValueError) as error:
            trouble = str(error)
        troubles, steps = zip(*self.ranks.everyones((trouble, list(found))), strict=True)
        for text in filter(None, troubles):
            raise ValueError(text)
        common = set.intersection(*map(set, steps))
        return found[max(common)] if common else None

    def due(self) -> bool:
        """Whether it is time on any rank."""
        return self.ranks.largest(float(super().due()))[0] > 0.0

    def save(self, snapshot: Snapshot) -> None:
        """Put a snapshot beside the last one, which replaces the one before."""
        if self.path.exists():
            os.replace(self.path, self.before)
        super().save(snapshot)

    def remove(self) -> None:
        """See `CheckpointFile`."""
        super().remove()
        self.before.unlink(missing_ok=True)
