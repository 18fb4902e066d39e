"""Random edits of a store: bits, fields, types, sizes and names of its files.

A field is changed as a tool for zips and JSON would change it, or as this library would write it,
with a seal of its own: only then can anything but the seal find it out.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from meanfield.storage import HEADER, SEAL, seal_of_arrays, seal_of_text

ODD: list[Any] = [
    None, True, -1, 0, 10**30, 1e308, "", "missing", "../../x", "os:system", [], {}, [[1]],
    {"a": 1}, "x" * 5000,
]  # fmt: skip
SHAPES: list[Any] = [(0,), (1,), (3, 1), (2, 2, 2), ()]


def edit(folder: Path, rng: random.Random, *, sealed: bool = False) -> str:
    """Change one file of a store in one way, or a field and the seal; says what was done."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = rng.choice(files + [folder / "study.json"] * len(files))
    field = partial(_field, sealed=sealed)
    change: Callable[[Path, random.Random], str] = rng.choice([_bits, _size, _name, field, field])
    return f"{path.name}: {(field if sealed else change)(path, rng)}"


def _bits(path: Path, rng: random.Random) -> str:
    content = bytearray(path.read_bytes())
    for _ in range(count := rng.choice([1, 1, 20])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return f"{count} bits"


def _size(path: Path, rng: random.Random) -> str:
    content = path.read_bytes()
    at = rng.randrange(len(content))
    longer = rng.random() < 0.5
    path.write_bytes(content[:at] + content[: at // 2] * longer + content[at:] * longer)
    return f"{'longer' if longer else 'cut'} at {at}"


def _name(path: Path, rng: random.Random) -> str:
    others = [other for other in path.parent.glob("*") if other.is_file()]
    other = rng.choice([*others, path.with_name("other.npz"), path.with_suffix(".bak")])
    if other != path:
        rng.choice([shutil.copy, shutil.move])(path, other)
    return f"to {other.name}"


def _field(path: Path, rng: random.Random, sealed: bool) -> str:
    if path.suffix == ".json":
        described = json.loads(path.read_text())
        said = _changed(described, rng)
        if sealed:
            described.pop("seal", None)
            described["seal"] = seal_of_text(json.dumps(described, sort_keys=True))
        path.write_text(json.dumps(described))
        return said
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    seal = arrays.pop(SEAL)
    header = json.loads(bytes(arrays.pop(HEADER)))
    if rng.random() < 0.4:
        name = rng.choice(sorted(arrays))
        arrays[name] = rng.choice([
            np.zeros(rng.choice(SHAPES)), arrays[name].astype("S8"), arrays[name] > 0,
            np.full_like(arrays[name], np.nan), arrays[name][..., :1],
        ])  # fmt: skip
        if rng.random() < 0.2:
            del arrays[name]
        header["arrays"] = sorted(arrays)
        said = f"array {name}"
    else:
        said = _changed(header, rng)
    arrays[HEADER] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    if sealed:
        seal = np.frombuffer(bytes.fromhex(seal_of_arrays(arrays)), dtype=np.uint8)
    if sealed or rng.random() < 0.9:
        arrays[SEAL] = seal
    with path.open("wb") as stream:
        np.savez(stream, **arrays)
    return said


def _changed(values: dict[str, Any], rng: random.Random) -> str:
    """Descend at random, and put something odd there, or take away what is."""
    place: Any = values
    said = ""
    while True:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        said += f".{key}"
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.25:
            break
        place = inner
    if rng.random() < 0.2:
        del place[key]
        return f"{said} deleted"
    place[key] = rng.choice(ODD)
    return f"{said} = {place[key]!r:.40}"
