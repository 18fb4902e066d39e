"""Ctrl-C and SIGTERM: deferred, or raised in the middle of a run with what was computed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
_returned: ContextVar[bool] = ContextVar("interrupted results are returned", default=False)
_terminated = [False]  # whether the present outermost `raising_on_sigterm` has received SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM, on its way from the middle of a run to the outermost call."""


@contextmanager
def return_on_interrupt() -> Iterator[None]:
    """Let calls that Ctrl-C cuts short return what they have, in place of raising.

    Without it Ctrl-C ends a program, a cell of a notebook or a loop, as anywhere in Python: a
    checkpoint is left first, if one was asked for, and the error's ``result`` is what was computed.
    SIGTERM, by which a batch system asks a program to end, ends it inside as well.

    Returns
    -------
    context manager
        Inside it, the solution or the results of a study have the status ``"interrupted"`` instead.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1))
    >>> with mf.return_on_interrupt():
    ...     sol = mf.solve_mean_field(problem, mf.gaussian_measure(problem, 20), t_end=1.0)
    >>> sol.status is mf.Status.INTERRUPTED
    False
    """
    token = _returned.set(True)
    try:
        yield
    finally:
        _returned.reset(token)


def return_or_raise(result: T, message: str, error: KeyboardInterrupt | None = None) -> T:
    """Return what a call that was cut short has, or raise with it as `result`.

    It is a plain `KeyboardInterrupt` that is raised, for which alone Python ends a program as the
    shell expects it (130), so that a loop around the program ends too.
    """
    terminated = _terminated[0] or isinstance(error, Terminated)
    if _returned.get() and not terminated:
        return result
    kind = Terminated if terminated else KeyboardInterrupt
    raised = kind(f"{message}; what was computed is this error's `result`")
    vars(raised)["result"] = result
    raise raised


def terminate() -> NoReturn:
    """Raise what SIGTERM raises, for a handler that only took note of it."""
    _terminated[0] = True
    raise Terminated


@contextmanager
def raising_on_sigterm() -> Iterator[None]:
    """SIGTERM, where it would end the process at once, raises `Terminated` in the middle.

    So everything that Ctrl-C leaves behind is left. The outermost block ends with `SystemExit`,
    code 143. A program's own handler stays, and other threads than the main one handle nothing.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def handle(number: int, frame: Any) -> None:
        if not _terminated[0]:  # once: what is written now must not be cut short
            terminate()

    _terminated[0] = False
    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    except Terminated as error:
        ended = SystemExit(128 + signal.SIGTERM)
        vars(ended).update(vars(error))
        raise ended from error
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _terminated[0] = False


@contextmanager
def deferring_interrupts() -> Iterator[None]:
    """Ctrl-C or SIGTERM inside the block is raised at its end.

    Threads other than the main one never receive them, and a program that handles them elsewhere
    than in Python keeps its handler.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handled = [number for number, handler in before.items() if callable(handler)]
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[tuple[int, Any]] = []
    for number in handled:
        signal.signal(number, lambda number, frame: received.append((number, frame)))
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
    for which, frame in received:
        handler = before[signal.Signals(which)]
        assert callable(handler)
        handler(which, frame)
