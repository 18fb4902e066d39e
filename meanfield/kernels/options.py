"""The one owner of the jit options.

`fastmath=True` would let the compiler delete NaN checks, so the flags are listed; `nnan` and `ninf`
are left out. numba's own parallel loops (`parallel=True`) are not used; see `threads`.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import numba

from meanfield.kernels.freshness import follow_sources
from meanfield.kernels.threads import share

NEWEST = 0, 68  # the last version of numba whose insides `pieces` was tried with

if numba.version_info.short <= NEWEST:
    from meanfield.kernels.pieces import FINISHED, kernel
else:  # as numba itself compiles kernels: a first call waits two or three times as long
    FINISHED = {}

    def kernel(entry: dict[str, Any], shared: dict[str, Any]) -> Any:
        """See `pieces.kernel`."""
        return numba.njit(forceinline=True, **entry, **shared)


def _ensure_cache() -> None:
    """Where no folder takes compiled code, one for as long as this process lasts does."""
    try:
        numba.njit(cache=True)(_ensure_cache)  # looks for a folder; compiles nothing
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="meanfield-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        numba.config.CACHE_DIR = folder
        warnings.warn(
            "neither the library's folder nor a cache of the user can be written to: code compiled "
            "now is lost when this process ends; set NUMBA_CACHE_DIR to a folder that lasts",
            RuntimeWarning,
            stacklevel=2,
        )


_ensure_cache()

FAST = {"reassoc", "contract", "nsz", "arcp", "afn"}

_SHARED: dict[str, Any] = {"error_model": "numpy", "fastmath": FAST}

# No freedom for the compiler, where an operation is worth more than its vectorisation: what it made
# of sums over arcsines was seen to differ between a function just compiled and one from the cache.
_STRICT: dict[str, Any] = {"error_model": "numpy"}

# A kernel's own kernels are always put in place. Called, they would exist once in their own module
# and once, compiled with what the caller knows, in the caller's; which of the two runs depends on
# what a process has compiled before it, and they differ in the last bit.
_piece_strict = kernel({"cache": True}, _STRICT)
_piece = kernel({"cache": True}, _SHARED)


def serial(function: Callable[..., Any]) -> Any:
    """A decorator for kernels that run on one thread."""
    return follow_sources(_piece(function))


def serial_strict(function: Callable[..., Any]) -> Any:
    """The same without freedom for the compiler."""
    return follow_sources(_piece_strict(function))


def shared(size: Callable[..., tuple[int, float]]) -> Any:
    """A decorator for loops f(first, last, *args): f(*args) shares its tasks; see `share`."""
    return lambda function: share(follow_sources(_loop(function)), size)


def shared_strict(size: Callable[..., tuple[int, float]]) -> Any:
    """The same without freedom for the compiler."""
    return lambda function: share(follow_sources(_strict_loop(function)), size)


_loop = numba.njit(cache=True, nogil=True, **FINISHED, **_SHARED)
_strict_loop = numba.njit(cache=True, nogil=True, **FINISHED, **_STRICT)
# users' own functions: as they wrote them, and never cached, for a cache could not see them change
own = numba.njit(error_model="numpy")
