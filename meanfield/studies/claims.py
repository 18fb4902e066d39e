"""Who makes a run: a lock that the operating system takes back when its holder dies.

A claim is a file under an advisory lock. Unlike a file whose mere presence counts, it leaves
nothing to judge by process number or by hours of silence: a killed process holds no lock, on
whatever machine. Where files have no locks, on some network file systems, everyone goes on as if
alone: runs may then be made twice, with the same results.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks on this system
    fcntl = None  # type: ignore[assignment]

GRACE = 1.0  # seconds that a run, once made, may take to its place on disk
# When a claim of a run that is made was first seen here, by this process's own clock: the file's
# time is that of another machine's.
_first_seen: dict[tuple[str, int, int], float] = {}


class Claim:
    """What the holder of a claim has; without a descriptor, the right to go on unlocked."""

    def __init__(self, descriptor: int | None):
        self.descriptor = descriptor
        self.kept = False

    def keep(self) -> None:
        """Leave the file: the run is made, and for a moment it counts as claimed still."""
        if self.descriptor is not None:
            with suppress(OSError):
                os.write(self.descriptor, b"made")
                self.kept = True


@contextmanager
def claimed(path: Path | None) -> Iterator[Claim | None]:
    """Hold the claim at a path for the time of a `with` block; None if someone else holds it."""
    try:
        claim = Claim(None if path is None or fcntl is None else _locked(path))
    except BlockingIOError:
        yield None
        return
    except OSError:  # no locks here, or no such folder on this machine
        claim = Claim(None)
    try:
        yield claim
    finally:
        if claim.descriptor is not None and path is not None:
            if not claim.kept:
                with suppress(OSError):
                    path.unlink()  # while it is still locked: whoever waits looks again
            os.close(claim.descriptor)


def _locked(path: Path) -> int:
    """An open file with the lock, which is the one that the path leads to."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            opened = os.fstat(descriptor)
            if os.path.samestat(opened, path.stat()):
                if opened.st_size:
                    seen = (str(path), opened.st_ino, opened.st_mtime_ns)
                    now = time.monotonic()
                    if now - _first_seen.setdefault(seen, now) < GRACE:
                        raise BlockingIOError("the run is made, and on its way to the disk")
                    del _first_seen[seen]
                os.ftruncate(descriptor, 0)
                return descriptor
        except FileNotFoundError:  # its holder has just let go of it
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
