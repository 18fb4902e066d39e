"""A study: a specification that makes its runs, or finds those that a folder holds."""

from __future__ import annotations

import os
import tomllib
from concurrent.futures import Executor
from pathlib import Path
from typing import Self

from meanfield.studies.engine import run_study
from meanfield.studies.progress import Callback
from meanfield.studies.results import StudyResults
from meanfield.studies.specification import Specification
from meanfield.studies.store import Store


class Study(Specification):
    """Runs over a grid of problems, starts and solvers, as one frozen specification.

    All fields hold plain values, so that a study can be written down, hashed and sent; `from_toml`
    reads the same words from a file.

    Parameters
    ----------
    problem : Problem or mapping
        A problem, or what `Problem` takes, with the target as a mapping
        ``{"kind": "committee", "k": 2, ...}``.
    start : mapping
        ``"law"``: the name of a start such as ``"gaussian_measure"``, or ``"module:function"``
        of your own ``function(problem, ..., seed=)``; beside it the start's parameters.
    solver : mapping
        ``"description"``: ``"mean_field"``, ``"overlaps"`` or ``"sgd"``; beside it the solver's
        settings. ``"save_at"`` may also be a mapping with ``"spacing"`` (``"linear"`` or
        ``"logarithmic"``), ``"count"`` and ``"first"``.
    observables : sequence of str or callable
        What to keep at each saved time, by name (see `meanfield.studies.OBSERVABLES`), and
        functions ``function(solution)`` that reduce a whole run to a number, an array or a mapping
        of them, given as ``"module:function"`` or, if other processes can import it, itself.
    grid : mapping of str to sequence
        The axes. A key is a place in the above, such as ``"problem.dim"``, with the values it takes
        (``"problem"`` itself takes problems). Any other word names an axis whose values are
        mappings from places to values, which then change together; ``"replicas"`` may be among
        those places, where fewer will do.
    replicas : int
        Runs at every point of the grid, with seeds of their own.
    seed : int
        From which the replicas' seeds are spawned. Replica i has the same seeds at every point of
        the grid (common random numbers), and in every study with this seed: differences between
        points are free of what their draws share, and their errors are not independent.
    independent : bool
        Whether points of the grid have seeds of their own instead, which depend on the point's
        problem, start and solver, and not on its place: errors at different points are independent.
    phases : sequence of mappings
        How runs go on after ``solver.t_end`` under other problems: each with ``"t_end"`` on the
        clock of the whole run and, if they are to be, ``"problem"`` (what changes of it),
        ``"save_at"`` and ``"until"``. The risk under the problem of each phase is kept all along
        the run, as ``"risk_1"``, ``"risk_2"`` and so on. A place in the grid is
        ``"phases.0.problem.learning_rate"``.
    name : str
        For people; not part of the hash.

    Attributes
    ----------
    runs : tuple of Run
        All runs, in order of the grid, replicas innermost.
    hash : str
        SHA-256 over the keys of the runs: independent of the order of keys, of the process and of
        the platform, and the same from Python as from a file.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it, as in ``start.n``.

    Examples
    --------
    >>> import math, meanfield as mf
    >>> study = mf.Study(
    ...     problem=mf.Problem(mf.CommitteeTarget(k=1)),
    ...     start={"law": "gaussian_measure", "n": 50},
    ...     solver={"description": "mean_field", "t_end": 1.0, "save_at": 3},
    ...     grid={"problem.dim": [10, 100, math.inf]},
    ... )
    >>> results = study.run()
    >>> results.array("risk").shape  # dimensions, replicas, times
    (3, 1, 3)
    """

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Self:
        """Read a study from a TOML file, with the arguments of `Study` as its keys.

        Raises
        ------
        OSError
            If there is no such file, or it cannot be read.
        ValueError
            If it is no TOML, or not a study; the message names the file and the key.
        """
        try:
            with Path(path).open("rb") as stream:
                return cls.from_parameters(tomllib.load(stream))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error

    def run(
        self,
        executor: Executor | None = None,
        store: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        progress: bool = False,
        retry: bool = False,
        extend: bool = False,
        callback: Callback | None = None,
    ) -> StudyResults:
        """Make the runs that are not in the store yet, and return the results of all.

        Parameters
        ----------
        executor : concurrent.futures.Executor, optional
            Where to run: see `meanfield.studies.ProcessPool`, Dask's ``client.get_executor()``,
            mpi4py's pools; None: here, one run after another.
        store : path, optional
            A folder. Every finished run is written there at once, whole or not at all, and long
            runs leave checkpoints; the same call after an interruption, however abrupt, goes on
            from there and ends with the same results to the last bit.
        threads : int, optional
            Threads of each run; all here, one under an executor. Results do not depend on it.
        progress : bool
            A bar in terminals and notebooks, lines on the standard error elsewhere.
        retry : bool
            Make again the runs that failed with an error before.
        extend : bool
            Let this study take over a store that holds another: runs that both have are kept.
        callback : callable, optional
            ``callback(step)`` after each run, see `meanfield.studies.Step`.

        Returns
        -------
        StudyResults
            A run that raised an error is there with its traceback. Runs that the machine failed are
            missing; the next call makes them.

        Raises
        ------
        OSError
            If the store cannot be written (full, read-only); the message names the file.
        ValueError
            If the store holds another study, or a damaged or foreign file; the message names it.
        RuntimeError
            If the executor takes no runs, or loses all of them.
        KeyboardInterrupt
            After Ctrl-C; its ``result`` is what was made. See `meanfield.return_on_interrupt`.
        """
        whole = "problem" in self.runs[0].parameters  # or as a store remembers it
        study = self if whole else self.from_parameters(self.parameters())
        return run_study(study, executor, store, threads, progress, retry, extend, callback)


def read_results(folder: str | os.PathLike[str]) -> StudyResults:
    """Read what a study has put into its store so far, without making any run.

    Parameters
    ----------
    folder : path
        The store.

    Returns
    -------
    StudyResults
        Runs not made yet are missing.

    Raises
    ------
    OSError
        If there is no such folder, or no study in it.
    ValueError
        If a file is damaged or foreign; the message names it.

    Examples
    --------
    >>> import tempfile, meanfield as mf
    >>> study = mf.Study(
    ...     problem=mf.Problem(mf.CommitteeTarget(k=1)),
    ...     start={"law": "gaussian_measure", "n": 50},
    ...     solver={"description": "mean_field", "t_end": 1.0},
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = study.run(store=folder)
    ...     mf.studies.read_results(folder).complete
    True
    """
    store = Store(folder)
    study = store.read_study(Study)
    return StudyResults(study, tuple(store.read_or_missing(run) for run in study.runs))
