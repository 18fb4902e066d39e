"""A zip of NumPy arrays and one JSON header in one file, written whole or not at all."""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

try:
    import fcntl
except ImportError:  # no such locks on this system
    fcntl = None  # type: ignore[assignment]

FORMAT_VERSION = 2  # 1 had no seal
HEADER, SEAL = "header", "seal"

PathLike = str | os.PathLike[str]


def write_archive(
    path: PathLike, kind: str, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> Path:
    """Write a header and arrays to `path` by way of a temporary file beside it."""
    target = Path(path)
    described = {"format": kind, "format_version": FORMAT_VERSION, "arrays": sorted(arrays)}
    text = json.dumps({**described, **header}, default=_plain)
    contents: dict[str, Any] = {HEADER: np.frombuffer(text.encode(), dtype=np.uint8), **arrays}
    contents[SEAL] = np.frombuffer(bytes.fromhex(seal_of_arrays(contents)), dtype=np.uint8)
    return write_whole(target, lambda stream: np.savez(stream, **contents))


def write_whole(path: PathLike, write: Callable[[BinaryIO], Any]) -> Path:
    """Let `write` fill a file that appears at `path` whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written (a full disk, a read-only folder); the message names the file.
    """
    target, temporary = Path(path), None
    try:
        handle, temporary = _temporary(target)
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            if fcntl is not None:  # as long as it is locked: nobody's orphan
                os.replace(temporary, target)
        if fcntl is None:  # where an open file cannot be moved
            os.replace(temporary, target)
    except BaseException as error:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            # the same error, about the file that was wanted
            raise OSError(error.errno, f"cannot write: {error.strerror}", str(target)) from error
        raise
    return target


def _temporary(target: Path) -> tuple[int, str]:
    """A file beside the target, locked as long as its writer lives (see `remove_orphans`)."""
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(FileNotFoundError):  # taken for an orphan before it was locked
            if os.path.samestat(os.fstat(handle), os.stat(name)):
                return handle, name
        os.close(handle)


def remove_orphans(folder: Path, name: str = "*") -> None:
    """Remove temporary files whose writers were killed, of one file or all; no clock is asked."""
    pattern = name if name == "*" else glob.escape(name)
    for path in folder.glob(f".{pattern}.????????"):
        with suppress(OSError), path.open("rb") as stream:
            if fcntl is not None:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def read_archive(path: PathLike, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `write_archive` wrote.

    The zip's checksums vouch for each part against damage, the seal for all of them together: no
    tool that edits a part, and leaves the zip in order, knows it.
    """
    with Path(path).open("rb") as stream:
        try:
            _check_sizes(stream)
            with np.load(stream, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            seal = arrays.pop(SEAL, None)
            found = None if seal is None else seal_of_arrays(arrays)
            header = json.loads(bytes(arrays.pop(HEADER)).decode())
        except Exception as error:  # damage may reach any branch of the zip and array readers
            raise ValueError(
                f"{path} is truncated, damaged or not a file of this library ({error})"
            ) from error
    if not isinstance(header, dict) or header.get("format") != kind:
        raise ValueError(f"{path} does not hold a {kind}")
    _check_version(path, header.get("format_version", 0), seal is not None)
    if seal is not None and seal.tobytes().hex() != found:
        raise ValueError(f"{path} is damaged or was edited: its seal is broken")
    # a damaged directory of the zip can hide an array without failing a checksum
    if header.get("arrays") != sorted(arrays):
        raise ValueError(f"{path} is damaged: it lacks some of the arrays that it lists")
    return header, arrays


def _check_version(path: PathLike, version: Any, sealed: bool) -> None:
    if not isinstance(version, int):
        raise ValueError(f"{path} is damaged: its format_version is no whole number")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{path} was written in format {version}, by a newer version of the "
            f"library; this one reads up to {FORMAT_VERSION}"
        )
    if version > 1 and not sealed:
        raise ValueError(f"{path} is damaged: it lacks its seal")


def seal_of_text(text: str) -> str:
    """A checksum of a text, SHA-256 in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def seal_of_arrays(contents: Mapping[str, NDArray[Any]]) -> str:
    """A checksum of all arrays: names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for name in sorted(contents):
        array = np.asarray(contents[name])
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _check_sizes(stream: BinaryIO) -> None:
    """Refuse what would take more memory than the file has bytes: `np.savez` packs nothing."""
    size = stream.seek(0, os.SEEK_END)
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("its parts are larger than the file")
        for entry in entries:
            with archive.open(entry) as part:
                version = np.lib.format.read_magic(part)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = read(part)
                promised = math.prod(shape) * dtype.itemsize
                if promised != entry.file_size - part.tell():
                    raise ValueError(f"{entry.filename} is not as large as its shape")
    stream.seek(0)


def _plain(value: Any) -> Any:
    """What JSON does not know: NumPy scalars and arrays."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"cannot store {type(value).__name__} in a header")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
