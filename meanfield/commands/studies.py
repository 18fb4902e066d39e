"""Studies from the command line: make the runs of a TOML file, report on a folder."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from meanfield.studies.concentration_analysis import analyse, is_concentration
from meanfield.studies.executors import ENGINES, open_executor
from meanfield.studies.plain_values import names_modules
from meanfield.studies.results import StudyResults
from meanfield.studies.study import Study, read_results

STDOUT = Path("-")  # as a file, the standard output


def add_running(parser: argparse.ArgumentParser, default: str) -> None:
    """Options of all commands that make runs: where, and what of those a folder holds."""
    add = parser.add_argument
    add("--executor", choices=ENGINES, default=default,
        help=f"where to run ({default}); mpi: under mpiexec, with at least two ranks")  # fmt: skip
    add("--workers", type=int, default=None, help="processes, or workers of Dask (one a core)")
    add("--scheduler", default=None, help="address of a Dask scheduler (a cluster here)")
    add("--threads", type=int, default=None, help="threads of each run (cores/workers)")
    add("--retry", action="store_true", help="make runs again that failed with an error")
    add("--extend", action="store_true", help="take over a folder that holds another study")


def threads_of(options: argparse.Namespace) -> int | None:
    """As asked for, or the cores shared out among the processes that were."""
    if options.threads is None and options.executor == "process" and options.workers:
        return max(1, (os.cpu_count() or 1) // options.workers)
    return None if options.threads is None else int(options.threads)


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
    add_running(parser, "process")
    options = parser.parse_args(arguments)
    specification = Study.from_toml(options.file)
    with open_executor(options.executor, options.workers, options.scheduler) as executor:
        if executor is None:
            return 0
        results = specification.run(
            executor, options.out, threads=threads_of(options), progress=True,
            retry=options.retry, extend=options.extend,
        )  # fmt: skip
    print(results.text())
    print(f"\nresults in {options.out.resolve()}  (read with mf.studies.read_results)")
    return 0 if results.complete else 1


def report(arguments: Sequence[str]) -> int:
    """`report DIR`: print the table of a study's folder and draw its figure."""
    parser = argparse.ArgumentParser(
        prog="python -m meanfield report",
        description="Print what a study found so far and draw it.",
    )
    add = parser.add_argument
    add("folder", type=Path, help="the study's folder")
    add("--csv", action="store_true", help="print one line a run, comma-separated, and no figure")
    add("--figure", type=Path, default=None, metavar="FILE",
        help="where to draw (DIR/study.png); - writes a PNG to the standard output, and the table "
        "to the standard error")  # fmt: skip
    add("--html", type=Path, nargs="?", const=True, default=None, metavar="FILE",
        help="write one page with everything, which can be sent (DIR/report.html); - writes it to "
        "the standard output")  # fmt: skip
    options = parser.parse_args(arguments)
    results = read_results(options.folder)
    if options.csv:
        print(results.to_csv(), end="")
    elif options.html is not None:
        html = options.folder / "report.html" if options.html is True else options.html
        _write_page(results, html)
    else:
        _show(results, options.folder, options.figure)
    return 0 if results.complete else 1


def _write_page(results: StudyResults, path: Path) -> None:
    from meanfield.plotting.page import page, save_report

    if path == STDOUT:
        print(page(results), end="")
    else:
        print(f"report  {save_report(results, path).resolve()}")


def _show(results: StudyResults, folder: Path, figure: Path | None) -> None:
    """Table and figure; of a concentration study its own, unless that means importing modules."""
    from meanfield.plotting import plot_concentration, plot_study

    # a picture on the standard output has it to itself
    say = partial(print, file=sys.stderr if figure == STDOUT else sys.stdout)
    say(results.text())
    if not results.names:
        return
    draw, name = partial(plot_study, results), "study.png"
    if is_concentration(results.study) and not names_modules(results.study.problem):
        try:
            study = analyse(results)
        except RuntimeError as error:  # nothing to be analysed yet
            say(f"\n{error}")
            return
        say("\n" + study.text())
        draw, name = partial(plot_concentration, study), "concentration.png"
    path = figure or folder / name
    try:
        where = sys.stdout.buffer if path == STDOUT else path
        draw().savefig(where, format="png" if path == STDOUT else None, dpi=150)
    except OSError as error:
        if figure is not None:  # asked for there
            raise
        say(f"\nno figure: {error}; --figure FILE draws it elsewhere")
        return
    if path != STDOUT:
        say(f"\nfigure  {path.resolve()}")
