"""Random edits of a store: each equal, redone, or refused with the file's name.

    python -m benchmarks.hostile [--edits 1000] [--seed 0] [--sealed]

An edit changes bits, fields, types, the size or the name of a file. `read_results` may then find
the same results, or a run that is missing (the study makes it again), or refuse with the file's
name. Anything else is a failure, and so is a module that is imported. With `--sealed` an edit also
makes the seal anew, as only somebody who means to deceive does: a value as good as the one before
(a message, another finite array) then cannot be told from it, and is counted apart.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from meanfield.studies import read_results
from tests.studies.edits import edit
from tests.studies.small import same, small


def outcome(
    folder: Path, rng: random.Random, original: Path, *, sealed: bool = False
) -> tuple[str, str]:
    """What came of one edit, and what it was."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original, folder)
    said = edit(folder, rng, sealed=sealed)
    modules = set(sys.modules)
    try:
        results = read_results(folder)
        results.text()
        results.to_csv()
    except (ValueError, OSError) as error:
        named = str(folder) in str(error)
        return ("refused" if named else f"refused without a name: {error!r:.200}"), said
    except Exception as error:  # a failure is counted, whatever it is
        return f"crashed: {error!r:.200}", said
    if new := [name for name in set(sys.modules) - modules if not name.startswith("encodings")]:
        return f"imported {new}", said
    expected = read_results(original)
    try:
        return ("equal" if same(results, expected) else ""), said
    except AssertionError:
        pass
    if results.counts.get("missing"):
        return "missing", said
    return ("other, as whole as any" if sealed else "changed without a word"), said


def wrong(what: str) -> bool:
    """Whether an edit must not end like this."""
    return what.startswith(("crashed", "imported", "refused w", "changed"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sealed", action="store_true", help="edits that make the seal anew")
    options = parser.parse_args()
    rng, found = random.Random(options.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        original = Path(place) / "original"
        small(replicas=1).run(store=original)
        read_results(original).text()
        for _ in range(options.edits):
            what, said = outcome(Path(place) / "edited", rng, original, sealed=options.sealed)
            found[what.partition(":")[0]] += 1
            if wrong(what):
                print(f"{what}  after  {said}")
    print(", ".join(f"{count} {what}" for what, count in found.most_common()))
    return int(any(map(wrong, found)))


if __name__ == "__main__":
    sys.exit(main())
