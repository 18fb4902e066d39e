"""Kernels that only other kernels call, compiled as the parts of their callers that they are.

numba makes of every compiled function a finished library: optimised, turned into machine code, kept
on disk. A kernel that is always put in place in its callers is optimised and turned into machine
code there once more, so for it all this is lost work, most of what a first call waited for. Here it
ends as unoptimised code that callers take in; only what Python calls is finished.
"""

from __future__ import annotations

import gc
from typing import Any

from llvmlite.binding import Linkage
from numba import njit, types
from numba.core import event, sigutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher

from meanfield.kernels.passes import passes


class _Codegen:
    """A code generator that does not look for the environment of code that is never run."""

    def __init__(self, codegen):
        self._codegen = codegen

    def __getattr__(self, name):
        return getattr(self._codegen, name)

    def set_env(self, name, environment):
        """Nothing: kernels use no Python objects, and the code has no address."""


class _Unpolished(JITCodeLibrary):
    """Code whose functions are optimised together, when all is there, and not one by one before."""

    _linking_libraries: list[Any]
    _shared_module: Any

    def _optimize_functions(self, module):
        module.data_layout = self._codegen._data_layout


class _Piece(_Unpolished):
    """Code to be taken in by that of callers, who optimise it with their own."""

    @property
    def codegen(self):
        return _Codegen(self._codegen)

    def finalize(self):
        """Nothing is optimised, nor linked to the pieces that it calls: see `_Finished`."""
        self._finalize_dynamic_globals()
        self._finalized = True

    def _get_module_for_linking(self):
        self._ensure_finalized()
        if self._shared_module is None:
            for function in self._final_module.functions:
                if not function.is_declaration and function.linkage == Linkage.external:
                    function.linkage = "linkonce_odr"
            self._shared_module = self._final_module
        return self._shared_module

    def get_pointer_to_function(self, name):
        self._ensure_finalized()
        return 0


class _Finished(_Unpolished):
    """Code that Python calls, with that of all pieces below it, each linked once."""

    def finalize(self):
        found: dict[Any, None] = {}
        for library in self._linking_libraries:
            _add_with_callees(library, found)
        # a function that nobody calls yet would not be taken in, so callers come first
        self._linking_libraries = list(reversed(found))
        super().finalize()

    def _verify_declare_only_symbols(self):
        for function in self._final_module.functions:
            if function.is_declaration and function.name.startswith("_ZN"):
                raise AssertionError(f"{function.name} is called and not there")


def _add_with_callees(library: Any, found: dict[Any, None]) -> None:
    """Append a library to those found, behind all that it calls."""
    if library in found:
        return
    if isinstance(library, _Piece):
        for callee in library._linking_libraries:
            _add_with_callees(callee, found)
    found[library] = None


class FinishedCompiler(CompilerBase):
    """For kernels that Python calls."""

    def define_pipelines(self):
        """As numba's own, into another library."""
        state = self.state
        state.library = _Finished(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return passes(state)


class _PieceCompiler(CompilerBase):
    def define_pipelines(self):
        state = self.state
        state.library = _Piece(state.targetctx.codegen(), state.func_id.func_qualname)
        return passes(state, piece=True)


# nothing in C calls a kernel
FINISHED: dict[str, Any] = {"no_cfunc_wrapper": True, "pipeline_class": FinishedCompiler}


class _Kernel(CPUDispatcher):
    """What Python calls; kernels that call it see its piece."""

    @property
    def _numba_type_(self):
        return types.Dispatcher(self.piece)


class _PieceDispatcher(CPUDispatcher):
    """Only called by kernels: no cache, and none of the timers that numba stacks up."""

    def compile(self, sig):
        with global_compiler_lock:
            args, _ = sigutils.normalize_signature(sig)
            if tuple(args) not in self.overloads:
                self.add_overload(self._compiler.compile(args, None))
            return self.overloads[tuple(args)].entry_point


def kernel(entry: dict[str, Any], shared: dict[str, Any]) -> Any:
    """A decorator: called from Python a finished function, from kernels a piece of the caller.

    `shared` are numba's options for both, `entry` those of the finished function alone.
    """

    def decorate(function):
        finished = njit(**FINISHED, **entry, **shared)(function)
        finished.__class__ = _Kernel
        finished.piece = njit(
            forceinline=True,
            no_cpython_wrapper=True,
            no_cfunc_wrapper=True,
            pipeline_class=_PieceCompiler,
            **shared,
        )(function)
        finished.piece.__class__ = _PieceDispatcher
        return finished

    return decorate


class _Pause(event.Listener):
    """No collection of garbage while code is compiled: it frees little, and takes a tenth."""

    def __init__(self):
        self._depth, self._was_on = 0, False

    def on_start(self, event):
        if self._depth == 0:
            self._was_on = gc.isenabled()
            gc.disable()
        self._depth += 1

    def on_end(self, event):
        self._depth -= 1
        if self._depth == 0 and self._was_on:
            gc.enable()


event.register("numba:compile", _Pause())
