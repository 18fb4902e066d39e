"""Whether stated errors hold: random problems against the slow twin, mean field and overlaps.

What is asked of them, and what errors are relative to, stands in `tests.reference.calibration`.

    python -m benchmarks.calibration [--first 0] [--count 200] [--step 1] [--only KIND]
        [--store FOLDER] [--results FILE]

The twin takes about a second a problem; with a store it is asked once for each. A problem that
takes too long is left, and counted. The histogram in docs/numerics.md is drawn by docs/pictures.py
from docs/calibration.json, which `--results docs/calibration.json` writes.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import signal
import time
from pathlib import Path

import numpy as np

from tests.reference.calibration import (
    ALLOWED,
    CHECKS,
    NEVER,
    noise_record,
    ratio,
    reference,
    unsaid,
)
from tests.reference.problems import Case, draw

PATIENCE = 20.0  # seconds of the processor for one description of a problem
EDGES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 1.5, 3.0, 10.0, math.inf)


def stored_reference(seed: int, case: Case, store: Path | None) -> dict:
    """The twin's numbers, from the store if the same problem is there."""
    path = None if store is None else store / f"{seed}.pickle"
    if path is not None and path.exists():
        label, found = pickle.loads(path.read_bytes())
        if label == case.label:
            return found
    found = reference(case)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps((case.label, found)))
    return found


class TooLong(BaseException):  # no library's `except Exception` swallows it
    """A problem took more than its time."""


def _stop(*_):
    raise TooLong


def check(seed: int, store: Path | None = None, only: str | None = None) -> list[dict]:
    """The records of a problem, one for each description, or for one of them."""
    case, records = draw(seed), []
    found = stored_reference(seed, case, store)
    for kind, checked in CHECKS.items():
        if only not in (None, kind):
            continue
        start = time.process_time()
        previous = signal.signal(signal.SIGVTALRM, _stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
        try:
            with np.errstate(all="ignore"):
                record = checked(case, found)
        except (Exception, TooLong) as error:  # a refusal is an answer, and counted apart
            record = {"raised": f"{type(error).__name__}: {str(error)[:200]}"}
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
            signal.signal(signal.SIGVTALRM, previous)
        seconds = time.process_time() - start
        records.append({"seed": seed, "kind": kind, "seconds": round(seconds, 1)} | record)
        records[-1]["label"] = case.label
    return records


def line(record: dict) -> str:
    """One problem on one line."""
    head = f"{record['seed']:4d} {record['kind']:10} {record['seconds']:6.1f}s "
    if "raised" in record:
        return f"{head} {record['raised']} | {record['label']}"
    return (
        f"{head} {record['field']:11} {record['status']:10} stated {record['stated']:7.0e} "
        f"true {record['true']:7.0e} in {record['in']:4} (twin {record['known']:.0e}) "
        f"ratio {ratio(record):8.2g} | {record['label']}"
    )


def summary(records: list[dict]) -> dict:
    """Counts of the histogram and of what is required."""
    answers = [record for record in records if "raised" not in record]
    ratios = np.array([ratio(record) for record in answers])
    counts = np.histogram(ratios[np.isfinite(ratios)], [*EDGES[:-1], 1e300])[0]
    counts[-1] += int(np.isinf(ratios).sum())
    return {
        "problems": len(records),
        "raised": len(records) - len(answers),
        "inaccurate": sum(record["status"] != "success" for record in answers),
        "edges": [f"{edge:g}" for edge in EDGES],
        "counts": counts.tolist(),
        "beyond_1.5": int((ratios > ALLOWED).sum()),
        "beyond_10": int((ratios > NEVER).sum()),
        "worst": float(ratios.max(initial=0.0)),
        "largest_unsaid": max((unsaid(record) for record in answers), default=0.0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--only", choices=tuple(CHECKS))
    parser.add_argument("--store", type=Path)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    records: list[dict] = []
    last = arguments.first + arguments.count
    for seed in range(arguments.first, last, arguments.step):
        for record in check(seed, arguments.store, arguments.only):
            records.append(record)
            print(line(record), flush=True)
        if "noise" in records[-1]:
            print(line(noise_record(records[-1])), flush=True)
    found = {}
    for kind in CHECKS:
        found[kind] = summary([record for record in records if record["kind"] == kind])
    found["γ/p term"] = summary([noise_record(record) for record in records if "noise" in record])
    for kind, numbers in found.items():
        print(f"\n{kind}: {json.dumps(numbers, ensure_ascii=False)}")
    if arguments.results:
        arguments.results.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
