"""What decides a function of a user: its code, and the values that it captures.

A compiled function keeps the globals and closure cells that it was compiled with, so it is known by
their values and not by the function object, whose arrays and cells may change under it.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import pickle
import sys
import types
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))
# code of these is told by its name: it does not change while a program runs
LIBRARIES = frozenset({"meanfield", "numpy", "scipy", "numba", "llvmlite"})
LIBRARIES |= sys.stdlib_module_names
# fingerprints are comparable where this is the same: byte code is one Python version's
SCHEME = f"1 of Python {sys.version_info[0]}.{sys.version_info[1]}"


class Fingerprint(NamedTuple):
    """Digests of the code and of the captured values of a function."""

    code: str
    captured: str


def fingerprint(function: Any) -> Fingerprint:
    """What a function is at this moment, called functions of the user included.

    Byte code does not know comments, layout or the names of local variables; it does depend on the
    version of Python.
    """
    reader = _Reader()
    reader.value(function, frozenset())
    return Fingerprint(reader.code.hexdigest(), reader.captured.hexdigest())


class _Names(NamedTuple):
    """The names that some code looks up: globals, and attributes of whatever."""

    globals: tuple[str, ...]
    attributes: frozenset[str]


@lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> _Names:
    """Those of some code, and of the functions that it defines."""
    found: list[str] = []
    attributes: set[str] = set()
    for instruction in dis.get_instructions(code):
        name = str(instruction.argval)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            found.append(name)
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes.add(name)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = _names(constant)
            found.extend(inner.globals)
            attributes |= inner.attributes
    return _Names(tuple(dict.fromkeys(found)), frozenset(attributes))


class _Reader:
    """Walks through a function and what it captures, each thing once, into two digests.

    `attributes` are names that the code looks up on anything: of a module or a class only these
    can matter to it.
    """

    def __init__(self) -> None:
        self.code, self.captured = hashlib.sha256(), hashlib.sha256()
        self.seen: dict[int, Any] = {}  # kept alive, so that no address comes twice

    def note(self, *parts: Any) -> None:
        """Take a value, or the name of one, into account."""
        self.captured.update("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass") + b"\n")

    def value(self, value: Any, attributes: frozenset[str]) -> None:
        """A captured value; of a module or class only the attributes that the code names."""
        if isinstance(value, PLAIN):
            self.note(type(value).__name__, repr(value))
        elif isinstance(value, np.ndarray | np.generic) and value.dtype.kind != "O":
            array = np.ascontiguousarray(value)
            self.note(type(value).__name__, array.dtype.str, value.shape)
            self.captured.update(array.tobytes())
        elif isinstance(value, np.dtype):
            self.note("dtype", value.str)
        elif id(value) in self.seen:
            self.note("again")
        else:
            self.seen[id(value)] = value
            self.compound(value, attributes)

    def compound(self, value: Any, attributes: frozenset[str]) -> None:
        """What holds other values."""
        self.note(type(value).__module__, type(value).__qualname__)
        if isinstance(value, types.FunctionType):
            self.function(value)
        elif isinstance(value, types.ModuleType | type):
            self.namespace(value, attributes)
        elif isinstance(value, types.MethodType):
            self.value(value.__func__, attributes)
            self.value(value.__self__, attributes)
        elif isinstance(value, functools.partial):
            for part in (value.func, value.args, value.keywords):
                self.value(part, attributes)
        elif isinstance(getattr(value, "py_func", None), types.FunctionType):
            self.function(value.py_func)  # compiled by the user
        elif isinstance(value, dict):
            for key, item in value.items():
                self.value(key, attributes)
                self.value(item, attributes)
        elif isinstance(value, set | frozenset):
            self.note(*sorted(map(repr, value)))
        elif isinstance(value, list | tuple):
            for item in value:
                self.value(item, attributes)
        elif isinstance(value, np.ndarray):
            self.value(value.tolist(), attributes)
        else:
            self.thing(value, attributes)

    def function(self, function: types.FunctionType) -> None:
        """Code, defaults, closure cells, and the globals that the code names."""
        code = function.__code__
        names = _names(code)
        if _is_library(function.__module__):
            self.note(function.__module__, function.__qualname__)
            names = names._replace(globals=())
        else:
            self.read_code(code, function.__doc__)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                contents = cell.cell_contents
            except ValueError:  # not filled yet
                contents = None
            self.note("cell", name)
            self.value(contents, names.attributes)
        for name in names.globals:
            if name in function.__globals__:
                self.note("global", name)
                self.value(function.__globals__[name], names.attributes)
        self.value(function.__defaults__, names.attributes)
        self.value(function.__kwdefaults__, names.attributes)

    def read_code(self, code: types.CodeType, doc: str | None) -> None:
        """Byte code and constants."""
        shape = (code.co_argcount, code.co_kwonlyargcount, code.co_names)
        self.code.update(repr(shape).encode() + code.co_code)
        for i, constant in enumerate(code.co_consts):
            if isinstance(constant, types.CodeType):
                self.read_code(constant, None)
            elif isinstance(constant, frozenset):
                self.code.update(repr(sorted(map(repr, constant))).encode())
            elif i > 0 or constant not in (None, doc):  # the first may be a docstring
                self.code.update(repr(constant).encode())

    def namespace(self, owner: Any, attributes: frozenset[str]) -> None:
        """A module or a class: its name, and the attributes that the code looks up."""
        self.note(getattr(owner, "__module__", ""), owner.__name__)
        if _is_library(getattr(owner, "__module__", None) or owner.__name__):
            return
        for name in sorted(attributes & vars(owner).keys()):
            self.note(name)
            self.value(vars(owner)[name], attributes)

    def thing(self, value: Any, attributes: frozenset[str]) -> None:
        """An instance: what of its class the code uses, its `__call__` included, and its values."""
        call = vars(type(value)).get("__call__")
        if isinstance(call, types.FunctionType):
            self.value(call, attributes)
            attributes = attributes | _names(call.__code__).attributes
        self.value(type(value), attributes)
        if isinstance(value, types.BuiltinFunctionType | np.ufunc):
            self.note(getattr(value, "__module__", ""), value.__name__)
        elif type(value).__module__.startswith("numba"):
            self.note("unknown")
        elif hasattr(value, "__dict__"):
            self.value(vars(value), attributes)
        else:
            try:
                self.captured.update(pickle.dumps(value, protocol=4))
            except Exception:  # then only its class is known
                self.note("unknown")


def _is_library(module: str | None) -> bool:
    return (module or "").partition(".")[0] in LIBRARIES
