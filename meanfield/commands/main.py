"""The command line: `python -m meanfield` and its commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from meanfield.commands import concentration, studies, warmup

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
        0 if all went well, 1 if a run failed or was cut short, 2 for unusable arguments.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in COMMANDS:
        return COMMANDS[words[0]](words[1:])
    return concentration.run(words, COMMANDS)
