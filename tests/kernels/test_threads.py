"""Tasks shared between threads: each is done once, whatever goes wrong."""

import gc
import multiprocessing
import threading

import numba
import numpy as np
import pytest

from meanfield.kernels.options import serial
from meanfield.kernels.threads import LEAST, share, thread_count, thread_limit
from tests.waiting import PATIENCE

LONG = 1000.0 * LEAST
THREADS = numba.config.NUMBA_NUM_THREADS


@pytest.mark.parametrize("tasks", [0, 1, 2, 3, 7, 100])
def test_each_task_is_done_once(tasks):
    done = np.zeros(tasks, int)

    def kernel(first, last, out):
        out[first:last] += 1

    share(kernel, lambda out: (len(out), LONG))(done)
    assert np.all(done == 1)


@pytest.mark.skipif(THREADS < 2, reason="one core")
@pytest.mark.parametrize(("nanoseconds", "threads"), [(1.9 * LEAST, 1), (LONG, 2)])
def test_little_work_wakes_nobody(nanoseconds, threads):
    seen, both = set(), threading.Barrier(threads)

    def kernel(first, last):
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            both.wait(PATIENCE)
            threading.Event().wait(0.05)  # time for others to come

    with thread_limit(2):
        share(kernel, lambda: (100, nanoseconds))()
    assert len(seen) == threads


@pytest.mark.skipif(THREADS < 2, reason="one core")
def test_who_comes_late_is_not_waited_for():
    came, free, left = threading.Event(), threading.Event(), threading.Event()
    done = np.zeros(100, int)

    def hold(first, last):
        if threading.current_thread().name == "meanfield":
            came.set()
            free.wait(60.0)  # to whoever waits for this thread it comes free all the same
            left.set()
        else:
            came.wait(PATIENCE)

    def kernel(first, last, out):
        out[first:last] += 1

    busy = threading.Thread(target=share(hold, lambda: (100, LONG)))
    busy.start()
    assert came.wait(PATIENCE)
    with thread_limit(2):
        share(kernel, lambda out: (len(out), LONG))(done)
    assert not left.is_set()
    free.set()
    busy.join()
    assert np.all(done == 1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.skipif(THREADS < 2, reason="one core")
def test_a_forked_process_has_threads_of_its_own():
    context = multiprocessing.get_context("fork")
    child = context.Process(target=test_little_work_wakes_nobody, args=(LONG, 2))
    test_little_work_wakes_nobody(LONG, 2)
    child.start()
    child.join(PATIENCE)
    assert child.exitcode == 0


def test_thread_limit_is_put_back():
    before = thread_count()

    def fail():
        with thread_limit(1):
            assert thread_count() == 1
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert thread_count() == before
    with thread_limit(None) as used:
        assert used == before
    with thread_limit(10**6) as used:
        assert used == THREADS


@pytest.mark.skipif(THREADS < 2, reason="one core")
def test_an_error_waits_for_the_other_threads():
    caller, running, began = threading.get_ident(), [], threading.Event()

    def kernel(first, last, count):
        if threading.get_ident() == caller:
            began.wait(PATIENCE)
            raise KeyboardInterrupt
        running.append(first)
        began.set()
        threading.Event().wait(0.05)
        running.pop()

    with pytest.raises(KeyboardInterrupt):
        share(kernel, lambda count: (count, LONG))(100)
    assert not running


@pytest.mark.skipif(THREADS < 2, reason="one core")
def test_an_error_of_another_thread_is_raised():
    caller, came = threading.get_ident(), threading.Event()

    def kernel(first, last, count):
        if threading.get_ident() != caller:
            came.set()
            raise ArithmeticError("there")
        came.wait(PATIENCE)

    with pytest.raises(ArithmeticError, match="there"):
        share(kernel, lambda count: (count, LONG))(100)


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
