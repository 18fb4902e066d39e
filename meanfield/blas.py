"""One thread for linear algebra: its last digits do not depend on the machine, and nothing spins.

Threads of a BLAS wait by spinning. Where other threads want the cores as well, the small products
and factorisations of a layout were seen to take forty times as long with two of them as with one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401  a second BLAS, found only once it is loaded
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS on one thread inside, in the whole process, and afterwards as it was."""
    with _controller().limit(limits=1, user_api="blas"):
        yield
