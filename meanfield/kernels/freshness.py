"""When compiled code on disk is out of date: once any kernel that it took in was changed.

numba looks at the file of the compiled function alone. A kernel is put in place in its callers, so
code of a caller whose own file stayed the same would go on with the kernel as it was.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

KERNELS = __name__.rpartition(".")[0]
IMPORTED = re.compile(
    rf"^(?:from|import) ({re.escape(KERNELS)}[\w.]*)(?: import (\w+))?", re.MULTILINE
)


def follow_sources(compiled: Any) -> Any:
    """Have a function compiled again when a module of kernels changes that its own is made of."""
    file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if file is not None:  # it has none where caching is off
        file._source_stamp = file._source_stamp, sources(compiled.py_func.__module__)
    return compiled


@cache
def sources(module: str) -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of all modules of kernels that one of them imports, itself included."""
    found, left = set(), [module]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += imported(name)
    return tuple((name, *_stamp(name)) for name in sorted(found))


@cache
def imported(module: str) -> tuple[str, ...]:
    """The modules of kernels that a module names in its imports."""
    path = _path(module)
    if path is None:
        return ()
    names = IMPORTED.findall(path.read_text(encoding="utf-8"))
    inside = (f"{package}.{name}" for package, name in names)
    return tuple({*(package for package, _ in names), *(n for n in inside if n in sys.modules)})


@cache
def _stamp(module: str) -> tuple[int, int]:
    path = _path(module)
    status = path.stat() if path else None
    return (status.st_mtime_ns, status.st_size) if status else (0, 0)


def _path(module: str) -> Path | None:
    path = Path(getattr(sys.modules.get(module), "__file__", None) or "")
    return path if path.suffix == ".py" and path.exists() else None
