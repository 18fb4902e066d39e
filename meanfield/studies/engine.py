"""Making a study's runs: what is missing goes to the executor, what comes back goes to disk."""

from __future__ import annotations

import os
import queue
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from dataclasses import replace
from typing import Any

from meanfield import checks
from meanfield.integrate import Status
from meanfield.integrate.interrupts import raising_on_sigterm, return_or_raise
from meanfield.studies.executors import SerialExecutor
from meanfield.studies.progress import Callback, watch
from meanfield.studies.results import StudyResults
from meanfield.studies.run import FAILED, MISSING, NOT_MADE, TAKEN, Record, Task, make_run
from meanfield.studies.specification import Run, Specification
from meanfield.studies.store import Store

IN_FLIGHT = 512  # runs in the hands of an executor that does not say how many it takes
PAUSE = 0.2  # seconds between looks at what others are making
RESTARTING = "; meanfield.studies.ProcessPool starts new workers where one has died"


@raising_on_sigterm()
def run_study(
    study: Specification,
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
    records = {run.key: Record(run.key, run.parameters, MISSING, NOT_MADE)
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
    runner = _Runner(engine, store, threads, again)
    interruption: KeyboardInterrupt | None = None
    with watch(study.name, total, total - len(missing), progress, callback) as report:
        try:
            for record in runner.make(missing, report.wait):
                records[record.key] = record
                report.run_ended(record)
        except KeyboardInterrupt as error:  # runs without a record stay those that are missing
            interruption = error
            getattr(engine, "interrupt", lambda: None)()
        except BrokenExecutor as error:
            advice = RESTARTING if isinstance(engine, ProcessPoolExecutor) else ""
            raise type(error)(f"{error}{advice}") from error
    results = StudyResults(study, tuple(records[run.key] for run in study.runs))
    if interruption is None:
        return results
    made = sum(record.status != MISSING for record in results.records)
    message = f"interrupted with {made} of {total} runs made"
    if store is not None:
        message += "; the same call makes the others"
    return return_or_raise(results, message, interruption)


class _Runner:
    """The runs of one call of `run_study`.

    What the machine does to a run, a worker lost or an executor shut down, is not the run's doing:
    it stays missing, and the next call of `run_study` makes it. If the executor has made no run at
    all, the last of these losses is raised at the end.

    Attributes
    ----------
    again : set of str
        Keys of runs that failed before and are made again, whatever the store holds.
    made : int
        How many runs the executor has made, those that failed among them.
    loss : exception or None
        What became of the last run that did not come back.
    """

    def __init__(
        self, executor: Executor, store: Store | None, threads: int | None, again: set[str]
    ):
        self.executor, self.store, self.threads, self.again = executor, store, threads, again
        self.made = 0
        self.loss: BaseException | None = None

    def make(self, runs: list[Run], wait: Callable[[list[str]], None]) -> Iterator[Record]:
        """Records as runs end, on disk before they are shown to anyone.

        Runs that another process has put into the store meanwhile are read, not made, unless they
        are to be made `again`. Those that another process is making are left to it, and tried again
        in the next round, which makes them if it has died; `wait` is told of them. So that
        processes on one folder do not make the same runs at the same time, each begins with another
        one, drawn at random.
        """
        first = random.randrange(len(runs)) if runs and self.store is not None else 0
        left = {run.key: run for run in runs[first:] + runs[:first]}
        while left:
            before = len(left)
            for record in self._round(list(left.values())):
                if record.status != TAKEN:
                    del left[record.key]
                    yield record
            if len(left) == before:
                wait(list(left))
                time.sleep(PAUSE)
        if self.loss is not None and not self.made:
            raise self.loss

    def _round(self, runs: list[Run]) -> Iterator[Record]:
        """Records of all runs: made and written, read, missing, or taken by another process."""
        store, found = self.store, []  # keys of runs that the store holds, which are read last

        def tasks() -> Iterator[Task]:
            for run in runs:
                key, again = run.key, run.key in self.again
                if store is None:
                    yield Task(key, run.parameters, None, self.threads)
                elif not again and store.holds(key):
                    found.append(key)
                else:
                    yield Task(key, run.parameters, store.checkpoint(key), self.threads,
                               store.claim(key), None if again else store.path(key))  # fmt: skip

        for task, future in as_they_finish(make_run, tasks(), self.executor):
            record = self._record(task, future)
            if record.status == Status.INTERRUPTED:  # where it was made, maybe by SIGTERM
                raise KeyboardInterrupt
            if store is not None and record.status not in (TAKEN, MISSING):
                if record.status == FAILED and task.key not in self.again and store.holds(task.key):
                    record = store.read(task.key)  # made by another process: it is not replaced
                else:
                    store.write(record)
            yield record
        if store is not None:
            yield from (store.read(key, same_version=True) for key in found)

    def _record(self, task: Task, future: Future[Record]) -> Record:
        """What a run returned, or a record that says why it returned nothing."""
        lost = Record(task.key, task.parameters, MISSING)
        try:
            record = future.result()
        except BrokenExecutor as error:
            self.loss = error
            return replace(
                lost, message=f"the worker died in the middle of the run, twice: {error}"
            )
        except (CancelledError, OSError) as error:
            self.loss = error
            return replace(lost, message=f"not brought back by its executor: {_named(error)}")
        except Exception as error:  # a result that cannot be sent
            if type(error).__name__ == "KilledWorker":  # Dask's, which need not be there
                self.loss = error
                return replace(lost, message=f"the worker died several times: {error}")
            record = replace(lost, status=FAILED, message=_named(error), traceback=_named(error))
        self.made += record.status != TAKEN
        return record


def as_they_finish(
    function: Callable[[Any], Any], tasks: Iterable[Any], executor: Executor
) -> Iterator[tuple[Any, Future[Any]]]:
    """Run a function over tasks; yield each task with its future as it finishes.

    The executor holds no more tasks at a time than its attribute `in_flight` says, `IN_FLIGHT` if
    it has none, and gets no new one before all that have finished are yielded. A task whose worker
    died is tried once more at the end, with nothing beside it, so that a second death is its own
    doing.

    Raises
    ------
    RuntimeError
        If the executor takes no more tasks, after those that it took have ended; among others
        `BrokenExecutor`.
    """
    finished: queue.SimpleQueue[tuple[Any, Future[Any]]] = queue.SimpleQueue()
    pending: set[Future[Any]] = set()
    retries: list[Any] = []
    refusal: RuntimeError | None = None
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(
            f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}"
        )
    limit = getattr(executor, "in_flight", IN_FLIGHT)

    def submit(task: Any) -> None:
        future = executor.submit(function, task)
        pending.add(future)
        future.add_done_callback(lambda f: finished.put((task, f)))

    def next_finished() -> tuple[Any, Future[Any]]:
        task, future = finished.get()
        pending.discard(future)
        return task, future

    waiting = iter(tasks)
    more = True
    try:
        while more or pending:
            while more and len(pending) < limit and finished.empty():
                for task in waiting:
                    try:
                        submit(task)
                    except RuntimeError as error:  # it has been shut down, or is broken
                        more, refusal = False, error
                    break
                else:
                    more = False
            if pending:
                task, future = next_finished()
                if not future.cancelled() and isinstance(future.exception(), BrokenExecutor):
                    retries.append(task)
                else:
                    yield task, future
        if refusal is not None:
            raise refusal
        for task in retries:
            submit(task)
            yield next_finished()
    except KeyboardInterrupt:
        getattr(executor, "interrupt", lambda: None)()
        raise
    finally:
        for future in pending:
            future.cancel()


def _named(error: BaseException) -> str:
    """An error in words, with its class."""
    return f"{type(error).__name__}: {error}"
