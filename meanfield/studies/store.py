"""A study on disk: a folder with its specification and one file a run.

Files appear whole or not at all, under names that only their contents decide, so that any number of
processes may work on one folder, and any of them may die at any moment. What they hold is checked
before anything is made of it: a folder may come from elsewhere, and a number in it must not decide
how much memory is taken, nor a word which file is opened.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from meanfield._version import __version__
from meanfield.integrate import Status
from meanfield.storage import read_archive, remove_orphans, seal_of_text, write_archive, write_whole
from meanfield.studies.observables import ERROR, RISK, TIME, named
from meanfield.studies.plain_values import changed_functions, digest
from meanfield.studies.run import MISSING, NOT_MADE, Record
from meanfield.studies.specification import RUN_FORMAT, Run, Specification

S = TypeVar("S", bound=Specification)

FORMAT, FORMAT_VERSION = "meanfield-study", 2  # 1 had no seal
RECORD_FORMAT = "meanfield-run"
KEPT = ("key", "status", "message", "stats", "traceback", "versions", "seconds")
Types = Mapping[str, type | tuple[type, ...]]
STUDY: Types = {
    "problem": dict, "start": dict, "solver": dict, "observables": list, "grid": dict,
    "replicas": int, "seed": int, "name": str,
}  # fmt: skip
RUN: Types = {"index": list, "seeds": list, "key": str}
RECORD: Types = {
    "key": str, "run": dict, "status": str, "message": str, "stats": dict, "traceback": str,
    "versions": dict, "seconds": (int, float),
}  # fmt: skip
PARAMETERS: Types = {
    "problem": dict, "start": dict, "solver": dict, "observables": list, "seeds": list,
}  # fmt: skip
KEY = re.compile(r"[0-9a-f]{64}")
STATUSES = {str(status) for status in Status} - {str(Status.INTERRUPTED)} | {"failed"}


class Store:
    """The folder of a study.

    Parameters
    ----------
    folder : path
        ``study.json``, ``runs/``, ``checkpoints/`` and ``claims/`` lie in it.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder).absolute()  # wherever workers are, and after a change of folder
        self.specification = self.folder / "study.json"
        self.runs, self.checkpoints = self.folder / "runs", self.folder / "checkpoints"
        self.claims = self.folder / "claims"

    def open(self, study: Specification, extend: bool) -> None:
        """Make the folder ready for a study: it must be writable, and hold no other."""
        known = self.read_study(Specification) if self.specification.exists() else None
        if known is not None and known != study and not extend:
            raise ValueError(
                f"{self.folder} holds another study, {known.name!r} ({known.hash[:12]}), not "
                f"{study.name!r} ({study.hash[:12]}); choose another folder, or let this study "
                "take it over with extend"
            )
        for folder in (self.runs, self.checkpoints, self.claims):
            folder.mkdir(parents=True, exist_ok=True)
            remove_orphans(folder)
        remove_orphans(self.folder, self.specification.name)
        if known is None or known.parameters() != study.parameters():
            runs = [
                {"index": r.index, "seeds": r.parameters["seeds"], "key": r.key} for r in study.runs
            ]
            described = {
                "format": FORMAT, "format_version": FORMAT_VERSION, "version": __version__,
                "hash": study.hash, "study": study.parameters(), "runs": runs,
            }  # fmt: skip
            text = json.dumps(described | {"seal": _seal(described)}, indent=1)
            write_whole(self.specification, lambda stream: stream.write(text.encode()))
        else:  # a folder that cannot be written to must be known before the first run is made
            write_whole(self.runs / ".writable", lambda stream: stream.write(b"yes"))
            with suppress(OSError):
                (self.runs / ".writable").unlink()

    def read_study(self, kind: type[S]) -> S:
        """The study whose folder this is; nothing that the file names is imported."""
        text = self.specification.read_bytes()
        try:
            described = json.loads(text)
            if not isinstance(described, dict) or described.get("format") != FORMAT:
                raise ValueError("it is of another kind")
            version = described.get("format_version")
            if not isinstance(version, int) or version > FORMAT_VERSION:
                raise ValueError(f"it was written by version {described.get('version')}")
            if (version > 1 or "seal" in described) and described.get("seal") != _seal(described):
                raise ValueError("its seal is broken, so it was edited")
            check_study(described)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{self.specification} is damaged or not the study of a store: {error}"
            ) from error
        return kind.recorded(described["study"], described["runs"])

    def path(self, key: str) -> Path:
        """The file of a run."""
        return self.runs / f"{key[:32]}.npz"

    def checkpoint(self, key: str) -> Path:
        """Where a run leaves its state while it is made; no version goes on from another's."""
        return self.checkpoints / f"{key[:32]}-{__version__}"

    def claim(self, key: str) -> Path:
        """The file that whoever makes a run holds."""
        return self.claims / key[:32]

    def holds(self, key: str) -> bool:
        """Whether there is a file for the run."""
        return self.path(key).exists()

    def write(self, record: Record) -> None:
        """Put a run on disk; it replaces one that failed."""
        header = {name: getattr(record, name) for name in KEPT} | {"run": dict(record.parameters)}
        try:
            write_archive(self.path(record.key), RECORD_FORMAT, header, record.arrays)
            if record.made:  # a run that failed may have hours in its checkpoint
                for path in self.checkpoints.glob(f"{self.checkpoint(record.key).name}*"):
                    if ".damaged-" not in path.name:
                        path.unlink(missing_ok=True)
        finally:
            self.claim(record.key).unlink(missing_ok=True)

    def read(self, key: str, *, same_version: bool = False) -> Record:
        """Read a run.

        Raises
        ------
        ValueError
            If the file is damaged or of another run, or `same_version` and another version of the
            library made it.
        """
        path = self.path(key)
        advice = "remove it and the run will be made again"
        try:
            header, arrays = read_archive(path, RECORD_FORMAT)
            check_record(header, arrays)
            if header["key"] != key or digest({"format": RUN_FORMAT, **header["run"]}) != key:
                raise ValueError("it holds another run")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"cannot use {path}; {advice}: {error}") from error
        kept = {name: header[name] for name in KEPT}
        record = Record(**kept, parameters=header["run"], arrays=arrays)
        version = record.versions.get("meanfield")
        if same_version and version != __version__:
            raise ValueError(
                f"{path} was made by version {version} of the library, this is {__version__}: "
                "results of two versions are not mixed; choose another folder"
            )
        # a run that failed has no numbers to mix, and a function may be mended to make it again
        mixes = same_version and record.made
        if mixes and (changed := changed_functions(record.versions, record.parameters)):
            raise ValueError(
                f"{path} was made when the {' and the '.join(changed)} was another: results of two "
                "functions are not mixed; remove it and the run will be made again, or choose "
                "another folder"
            )
        return record

    def read_or_missing(self, run: Run, *, same_version: bool = False) -> Record:
        """The record of a run, or one that says it is missing."""
        if not self.holds(run.key):
            return Record(run.key, run.parameters, MISSING, NOT_MADE)
        return self.read(run.key, same_version=same_version)


def _seal(described: Mapping[str, Any]) -> str:
    """A checksum of a specification as it is written, whatever its layout and its order."""
    words = {name: value for name, value in described.items() if name != "seal"}
    return seal_of_text(json.dumps(words, sort_keys=True))


def check_study(described: Mapping[str, Any]) -> None:
    """Refuse what is no description of a study; the message names the entry."""
    _typed(described, {"study": dict, "runs": list}, "")
    study, runs = described["study"], described["runs"]
    _typed(study, STUDY, "study.")
    if not isinstance(study.get("independent", False), bool):
        raise ValueError("study.independent must be a bool")
    _words(study["observables"], "study.observables")
    sizes = []
    for axis, values in study["grid"].items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"study.grid.{axis} must be a list of at least one value")
        sizes.append(len(values))
    if not 1 <= study["replicas"] <= len(runs):
        raise ValueError(f"study.replicas must be from 1 to the number of runs, {len(runs)}")
    sizes.append(study["replicas"])
    points = set()
    for i, run in enumerate(runs):
        if not isinstance(run, dict):
            raise ValueError(f"runs[{i}] must be a dict")
        _check_run(run, sizes, f"runs[{i}].")
        points.add(tuple(run["index"][:-1]))
    if len(points) != math.prod(sizes[:-1]):
        raise ValueError("runs must hold one at least for every point of study.grid")
    if len({tuple(run["index"]) for run in runs}) < len(runs):
        raise ValueError("runs must differ in their index")


def _check_run(run: Mapping[str, Any], sizes: list[int], place: str) -> None:
    _typed(run, RUN, place)
    index = run["index"]
    if len(index) != len(sizes) or not all(
        _whole(i) and i < size for i, size in zip(index, sizes, strict=True)
    ):
        raise ValueError(f"{place}index must be a place in study.grid, got {index!r:.60}")
    _check_seeds(run["seeds"], f"{place}seeds")
    if not KEY.fullmatch(run["key"]):
        raise ValueError(f"{place}key must be 64 hexadecimal digits, got {run['key']!r:.80}")


def check_record(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse what is no record of a run; the message names the entry."""
    _typed(header, RECORD, "")
    if header["status"] not in STATUSES:
        raise ValueError(f"status must be how a run ended, got {header['status']!r:.40}")
    _typed(header["run"], PARAMETERS, "run.")
    for place in ("problem", "start", "solver"):
        if not header["run"][place]:
            raise ValueError(f"run.{place} must not be empty")
    _words(header["run"]["observables"], "run.observables")
    _check_seeds(header["run"]["seeds"], "run.seeds")
    _words(list(header["versions"].values()), "versions")
    if arrays and (TIME not in arrays or arrays[TIME].ndim != 1):
        raise ValueError("the times must be an array with one axis")
    for name, value in header["stats"].items():
        if name.endswith(ERROR) and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"stats.{name} must be a number, got {value!r:.40}")
    for name, array in arrays.items():
        _check_array(name, array, len(arrays[TIME]))


def _check_array(name: str, array: NDArray[Any], times: int) -> None:
    """Numbers, and of what the library measures one for each time."""
    if array.dtype.kind not in "biufc":
        raise ValueError(f"{name} must hold numbers, got {np.dtype(array.dtype)}")
    observable = named(name)
    if observable is not None or name == RISK:
        behind = 0 if observable is None else len(observable.dims)
        if array.ndim <= behind or array.shape[array.ndim - 1 - behind] != times:
            raise ValueError(f"{name} must have {times} times, got the shape {array.shape}")


def _typed(values: Mapping[str, Any], types: Types, place: str) -> None:
    for name, kind in types.items():
        if name not in values:
            raise ValueError(f"{place}{name} is missing")
        value = values[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{place}{name} must not be a {type(value).__name__}")


def _words(values: Any, place: str) -> None:
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{place} must hold words")


def _check_seeds(values: Any, place: str) -> None:
    if len(values) != 2 or not all(_whole(value) and value < 2**63 for value in values):
        raise ValueError(f"{place} must be two whole numbers, got {values!r:.60}")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
