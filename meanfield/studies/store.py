"""A study on disk: a folder with its specification and one file a run.

Files appear whole or not at all, under names that only their contents decide, so that any number of
processes may work on one folder, and any of them may die at any moment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from meanfield._version import __version__
from meanfield.storage import read_archive, remove_orphans, seal_of_text, write_archive, write_whole
from meanfield.studies.plain import digest
from meanfield.studies.problems import changed_functions
from meanfield.studies.schema import check_record, check_study
from meanfield.studies.specification import RUN_FORMAT, Run, Specification
from meanfield.studies.work import MISSING, NOT_MADE, Record

S = TypeVar("S", bound=Specification)

FORMAT, FORMAT_VERSION = "meanfield-study", 2  # 1 had no seal
RECORD_FORMAT = "meanfield-run"


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
        header = {
            name: getattr(record, name)
            for name in ("key", "status", "message", "stats", "traceback", "versions", "seconds")
        } | {"run": dict(record.parameters)}
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
        record = Record(
            header["key"], header["run"], header["status"], header["message"], arrays,
            header["stats"], header["traceback"], header["versions"], header["seconds"],
        )  # fmt: skip
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
