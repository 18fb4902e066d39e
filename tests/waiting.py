"""Waiting for what another process or thread does, on however busy a machine."""

import time

PATIENCE = 600.0  # seconds until somebody counts as stuck: nobody takes them where all is well


def wait_until(there, process=None):
    """Wait until there() is true; a process that should make it so must not have ended before."""
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < deadline, "nothing has happened for many minutes"
        if process is not None and process.poll() is not None:
            assert there(), process.communicate()
        time.sleep(0.01)
