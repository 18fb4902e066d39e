"""What people see while they wait: a progress bar, and a word when kernels are compiled.

A first call compiles its kernels, which takes seconds. The bar says so in place of its description;
if none is drawn, one line on the standard error does. Where nobody looks, in neither a notebook nor
a terminal, there is neither.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from numba.core import event

COMPILING = "compiling, once"
LINE = "meanfield: compiling, once; the next call, and the next process, find it done\n"
APART = 10.0  # seconds between the end of one compilation and a new line for the next


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


def can_draw() -> bool:
    """Whether someone looks: a notebook or a terminal."""
    return _in_notebook() or sys.stderr.isatty()


@contextmanager
def progress_bar(total: float, description: str, show: bool) -> Iterator[Callable[[float], None]]:
    """Yield a function that moves the bar to an absolute position in [0, total]."""
    if not show:
        yield lambda position: None
        return
    notebook = _in_notebook()
    if notebook and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm
    else:  # tqdm.auto would warn in a notebook without widgets; the plain bar does there
        from tqdm.std import tqdm

    layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    bar = tqdm(
        total=total,
        desc=description,
        bar_format=layout,
        # tqdm's own test asks for a terminal and would hide the bar in a notebook
        disable=not can_draw(),
    )

    def move(position: float) -> None:
        bar.update(min(position, total) - bar.n)

    with bar, _announcer.on(bar, description):
        yield move


class _Announcer(event.Listener):
    """Says that the library's kernels are compiled, from events of the compiler."""

    def __init__(self) -> None:
        self.bars: list[tuple[Any, str]] = []
        self.depth, self.began, self.ended = 0, 0.0, -APART

    @contextmanager
    def on(self, bar: Any, description: str) -> Iterator[None]:
        """Say it on a bar while it is drawn, unless one inside says it."""
        self.bars.append((bar, description))
        try:
            yield
        finally:
            self.bars.remove((bar, description))

    def on_start(self, event: event.Event) -> None:
        if not _is_ours(event):
            return
        self.depth += 1
        if self.depth == 1:
            self.began = time.monotonic()
            with suppress(OSError, ValueError):  # a stream that is closed stops no compilation
                self._say()

    def on_end(self, event: event.Event) -> None:
        if not _is_ours(event):
            return
        self.depth -= 1
        if self.depth == 0:
            self.ended = time.monotonic()
            for bar, description in self.bars[-1:]:
                with suppress(OSError, ValueError, AttributeError):  # hidden bars have no clock
                    bar.set_description_str(description)
                    bar.start_t += self.ended - self.began  # not counted in the time remaining

    def _say(self) -> None:
        if self.bars:
            self.bars[-1][0].set_description_str(COMPILING)
        elif multiprocessing.parent_process() is not None:
            return  # a worker leaves the terminal to the process that started it
        elif self.began - self.ended >= APART and can_draw():
            sys.stderr.write(LINE)
            sys.stderr.flush()


def _is_ours(event: event.Event) -> bool:
    """Whether a kernel of the library is compiled; users' functions take a moment, each time."""
    return str(event.data["dispatcher"].py_func.__module__).startswith("meanfield.kernels.")


_announcer = _Announcer()
event.register("numba:compile", _announcer)
