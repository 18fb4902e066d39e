"""Studies from the command line: make the runs of a TOML file, report on a folder."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from meanfield.studies.engines import ENGINES, open_executor
from meanfield.studies.results import StudyResults, read_results
from meanfield.studies.specification import Study


def study(arguments: Sequence[str]) -> int:
    """`study FILE.toml --out DIR`: make the runs that are not in the folder yet."""
    parser = argparse.ArgumentParser(
        prog="python -m meanfield study",
        description="Make the runs of a study that are not in its folder yet. Stopped in any way, "
        "the same command goes on where it was.",
    )
    add = parser.add_argument
    add("file", type=Path, help="the study, in TOML")
    add("--out", type=Path, required=True, help="its folder")
    add("--executor", choices=ENGINES, default="process",
        help="where to run (process); mpi: under mpiexec, with at least two ranks")  # fmt: skip
    add("--workers", type=int, default=None, help="processes, or workers of Dask (one a core)")
    add("--scheduler", default=None, help="address of a Dask scheduler (a cluster here)")
    add("--threads", type=int, default=None, help="threads of each run (cores/workers)")
    add("--retry", action="store_true", help="make runs again that failed with an error")
    add("--extend", action="store_true", help="take over a folder that holds another study")
    options = parser.parse_args(arguments)
    threads = options.threads
    if threads is None and options.executor == "process" and options.workers:
        threads = max(1, (os.cpu_count() or 1) // options.workers)
    try:
        specification = Study.from_toml(options.file)
        with open_executor(options.executor, options.workers, options.scheduler) as executor:
            if executor is None:
                return 0
            results = specification.run(
                executor, options.out, threads=threads, progress=True, retry=options.retry,
                extend=options.extend,
            )  # fmt: skip
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(results.text())
    print(f"\nresults in {options.out.resolve()}  (read with mf.studies.read_results)")
    return _verdict(results)


def report(arguments: Sequence[str]) -> int:
    """`report DIR`: print the table of a study's folder and draw its figure."""
    parser = argparse.ArgumentParser(
        prog="python -m meanfield report",
        description="Print what a study found so far and draw it.",
    )
    add = parser.add_argument
    add("folder", type=Path, help="the study's folder")
    add("--csv", action="store_true", help="print one line a run, comma-separated, and no figure")
    add("--figure", type=Path, default=None, help="where to draw (DIR/study.png)")
    options = parser.parse_args(arguments)
    try:
        results = read_results(options.folder)
        if options.csv:
            print(results.to_csv(), end="")
            return _verdict(results)
        print(results.text())
        if results.names:
            from meanfield.plotting import plot_study

            figure = options.figure or options.folder / "study.png"
            plot_study(results, figure)
            print(f"\nfigure  {figure.resolve()}")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return _verdict(results)


def _verdict(results: StudyResults) -> int:
    return 0 if results.complete else 1
