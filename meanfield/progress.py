"""One progress bar: drawn in notebooks and terminals, silent elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec


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

    with bar:
        yield move
