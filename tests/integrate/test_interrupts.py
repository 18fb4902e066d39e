"""A Ctrl-C that comes at a bad moment is heard a moment later, and not lost."""

import signal
import threading

import pytest

from meanfield.integrate.interrupts import deferring_interrupts


def test_a_ctrl_c_waits_for_the_end():
    done, before = [], signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        with deferring_interrupts():
            signal.raise_signal(signal.SIGINT)
            done.append("rest")
        done.append("not reached")
    assert done == ["rest"]
    assert signal.getsignal(signal.SIGINT) is before


def test_nothing_happens_without_one():
    before = signal.getsignal(signal.SIGINT)
    with deferring_interrupts():
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_inside_comes_out_and_the_handler_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), deferring_interrupts():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_run_as_they_are():
    done = []

    def work():
        with deferring_interrupts():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGINT)]
