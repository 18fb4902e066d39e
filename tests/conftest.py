"""What holds for all tests."""

import os
import signal

# Threads of a BLAS wait by spinning: with two beside each worker of pytest, tests took several
# times as long as with one. A BLAS asks for this when it is loaded, in processes that tests start
# too; `test_blas` sets other numbers.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

import meanfield as mf

# the same examples every time: a test goes red for a change of the code, not of a seed; nor does it
# for a busy machine, on which examples take longer
settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_is_heard():
    """A shell starts what it runs in the background with Ctrl-C off; tests send some."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupted_results():
    """A run that Ctrl-C cuts short is returned: what is in it is what a test is about."""
    with mf.return_on_interrupt():
        yield
