"""Tasks shared between threads: each is done once, whatever goes wrong."""

import gc
import threading

import numba
import numpy as np
import pytest

from meanfield.kernels.options import serial
from meanfield.kernels.threads import share

THREADS = numba.config.NUMBA_NUM_THREADS


@pytest.mark.parametrize("tasks", [0, 1, 2, 3, 7, 100])
def test_each_task_is_done_once(tasks):
    done = np.zeros(tasks, int)

    def kernel(first, last, out):
        out[first:last] += 1

    share(kernel, len)(done)
    assert np.all(done == 1)


@pytest.mark.skipif(THREADS < 2, reason="one core")
def test_an_error_waits_for_the_other_threads():
    caller, running, began = threading.get_ident(), [], threading.Event()

    def kernel(first, last, count):
        if threading.get_ident() == caller:
            began.wait(5.0)
            raise KeyboardInterrupt
        running.append(first)
        began.set()
        threading.Event().wait(0.05)
        running.pop()

    with pytest.raises(KeyboardInterrupt):
        share(kernel, lambda count: count)(100)
    assert not running


@pytest.mark.skipif(THREADS < 2, reason="one core")
def test_an_error_of_another_thread_is_raised():
    caller = threading.get_ident()

    def kernel(first, last, count):
        if threading.get_ident() != caller:
            raise ArithmeticError("there")
        threading.Event().wait(0.05)

    with pytest.raises(ArithmeticError, match="there"):
        share(kernel, lambda count: count)(100)


def test_a_kernel_gives_python_and_kernels_the_same():
    @serial
    def inner(x):
        return x * x + 1.0

    @serial
    def outer(x):
        return 2.0 * inner(x)

    assert inner(3.0) == 10.0
    assert outer(3.0) == 20.0
    assert gc.isenabled()
