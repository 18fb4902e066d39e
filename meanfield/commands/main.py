"""The command line: `python -m meanfield` and its commands."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence

from meanfield.commands import concentration, studies, warmup
from meanfield.integrate.interrupts import Terminated, raising_on_sigterm

Command = Callable[[Sequence[str]], int]
COMMANDS: dict[str, Command] = {
    "study": studies.study,
    "report": studies.report,
    "warmup": warmup.run,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first word names, or else the concentration study.

    Returns
    -------
    int
        0 if all went well; 1 if runs failed, are not made, or could not be made here; 2 for
        unusable arguments or files; 130 after Ctrl-C and 143 after SIGTERM.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with raising_on_sigterm():
        try:
            if words and words[0] in COMMANDS:
                return COMMANDS[words[0]](words[1:])
            return concentration.run(words, COMMANDS)
        except KeyboardInterrupt as error:
            if (result := vars(error).get("result")) is not None:
                print(result.text(), flush=True)
            said = str(error).partition("; what was")[0]
            print(f"stopped: {said or 'interrupted'}", file=sys.stderr)
            number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
            return 128 + number
