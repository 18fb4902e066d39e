"""A solve that waits for a signal: `python -m tests.dynamics.signalled CASE FOLDER`.

It leaves a sign in the folder, ``begun``, once it waits: at the third saved time, or, with a third
word, before the solver has done anything.
"""

import sys
import time
from pathlib import Path

from meanfield.dynamics.run import Request
from tests.dynamics.test_signals import call, norm
from tests.waiting import PATIENCE


def wait(folder):
    (folder / "begun").touch()
    time.sleep(2 * PATIENCE)  # whoever sends it has lost patience by then


def third_time(folder):
    asked = []

    def observable(t, state):
        asked.append(t)
        if len(asked) == 3:
            wait(folder)
        return norm(t, state)

    return observable


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    if sys.argv[3:]:
        Request.checked = lambda *arguments, **options: wait(folder)
    call(sys.argv[1], folder / "run.part", third_time(folder))
