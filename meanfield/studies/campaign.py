"""Making a study's runs: what is missing goes to the executor, what comes back goes to disk."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import replace

from meanfield import checks
from meanfield.integrate import Status
from meanfield.studies.executors import SerialExecutor, as_they_finish
from meanfield.studies.results import StudyResults
from meanfield.studies.specification import Run, Study
from meanfield.studies.store import Store
from meanfield.studies.watch import Callback, watch
from meanfield.studies.work import FAILED, MISSING, TAKEN, Record, Task, make_run

PAUSE = 0.2  # seconds between looks at what others are making


def run_study(
    study: Study,
    executor: Executor | None,
    folder: str | os.PathLike[str] | None,
    threads: int | None,
    progress: bool,
    retry: bool,
    extend: bool,
    callback: Callback | None,
) -> StudyResults:
    """See `Study.run`."""
    threads = checks.thread_count(threads)
    if threads is None and executor is not None:
        threads = 1
    store = None if folder is None else Store(folder)
    records = {run.key: Record(run.key, run.parameters, MISSING, "not made yet")
               for run in study.runs}  # fmt: skip
    if store is not None:
        store.open(study, extend)
        for run in study.runs:
            records[run.key] = store.read_or_missing(run, same_version=True)
    missing = [
        run for run in study.runs
        if records[run.key].status == MISSING or (retry and records[run.key].status == FAILED)
    ]  # fmt: skip
    again = {run.key for run in missing if records[run.key].status == FAILED}
    engine = SerialExecutor() if executor is None else executor
    total = len(study.runs)
    with watch(study.name, total, total - len(missing), progress, callback) as tell:
        try:
            for record in _make(missing, engine, store, threads, again):
                records[record.key] = record
                tell(record)
        except KeyboardInterrupt:  # what is not there is missing
            getattr(engine, "interrupt", lambda: None)()
    return StudyResults(study, tuple(records[run.key] for run in study.runs))


def _make(
    runs: list[Run], executor: Executor, store: Store | None, threads: int | None, again: set[str]
) -> Iterator[Record]:
    """Records as runs end, on disk before they are shown to anyone.

    Runs that another process has put into the store meanwhile are read, not made, unless they are
    to be made `again`; those that another one is at are left to it, and made when it dies. So that
    processes on one folder do not go in step, each starts elsewhere.
    """
    if store is None:
        tasks = (Task(run.key, run.parameters, None, threads) for run in runs)
        for task, future in as_they_finish(make_run, tasks, executor):
            yield _uninterrupted(_record(task, future))
        return
    first = random.randrange(len(runs)) if runs else 0
    left = {run.key: run for run in runs[first:] + runs[:first]}
    while left:
        before = len(left)
        for record in _round(list(left.values()), executor, store, threads, again):
            if record.status != TAKEN:
                del left[record.key]
                yield record
        if len(left) == before:
            time.sleep(PAUSE)


def _round(
    runs: list[Run], executor: Executor, store: Store, threads: int | None, again: set[str]
) -> Iterator[Record]:
    """Each run once: made and written, read, or found to be taken by another process."""
    found: list[str] = []

    def tasks() -> Iterator[Task]:
        for run in runs:
            key = run.key
            if key not in again and store.holds(key):
                found.append(key)
            else:
                made = None if key in again else store.path(key)
                yield Task(
                    key, run.parameters, store.checkpoint(key), threads, store.claim(key), made
                )

    for task, future in as_they_finish(make_run, tasks(), executor):
        record = _uninterrupted(_record(task, future))
        if record.status == FAILED and task.key not in again and store.holds(task.key):
            record = store.read(task.key)  # another process made it: no reason to spoil it
        elif record.status != TAKEN:
            store.write(record)
        yield record
    yield from (store.read(key, same_version=True) for key in found)


def _uninterrupted(record: Record) -> Record:
    if record.status == Status.INTERRUPTED:
        raise KeyboardInterrupt
    return record


def _record(task: Task, future: Future[Record]) -> Record:
    """What a run returned; an engine that lost it is a failure like others."""
    try:
        return future.result()
    except (BrokenExecutor, CancelledError) as error:
        message = f"the worker died in the middle of the run, twice: {error}"
    except Exception as error:  # a result that cannot be sent, a worker that cannot start
        message = f"{type(error).__name__}: {error}"
    return replace(Record(task.key, task.parameters, FAILED), message=message, traceback=message)
