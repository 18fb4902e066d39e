"""What numba does to a kernel, without what kernels do not need.

Two thirds of what a first call waits for is numba's work in Python, before LLVM's. A kernel has no
closures, no generators and no expressions of whole arrays, so the passes that look for them are
left out, and so are the checks and the timers between passes. And numba finds out anew what x + y
is at every place where it stands: it tries all it knows of +, which includes strings and sets. Here
the answer is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import typed_passes, types, untyped_passes
from numba.core.compiler import DefaultPassBuilder, Flags
from numba.core.compiler_machinery import PassManager, _pass_registry
from numba.core.targetconfig import ConfigStack
from numba.core.typing.context import Context

from meanfield.kernels import memory

NOT_NEEDED = {
    untyped_passes.FindLiterallyCalls,
    untyped_passes.InlineClosureLikes,
    untyped_passes.InlineInlinables,
    untyped_passes.LiteralPropagationSubPipelinePass,
    untyped_passes.LiteralUnroll,
    untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.WithLifting,
    typed_passes.DumpParforDiagnostics,
    typed_passes.InlineOverloads,
    typed_passes.NopythonRewrites,
}
OWN = {"empty": memory.empty, "zeros": memory.zeros}


class _Passes(PassManager):
    """Passes one after another, and nothing between them."""

    def run(self, state):
        for kind, _ in self.passes:
            one = _pass_registry.get(kind).pass_inst
            one.analysis = self._analysis
            one.run_initialization(state)
            one.run_pass(state)
            one.run_finalizer(state)


class _Flags(Flags):
    """Options that are equal if they are the same object: numba compares them at every call."""

    __slots__ = ()

    def __eq__(self, other):
        return self is other

    __hash__ = object.__hash__


class _Context(Context):
    """numba's own context of types, in which what a call was found to be is remembered.

    numba's functions inside kernels are compiled with `flags`, so that all kernels share them.
    """

    __slots__ = ("_flags", "_known")

    def __init__(self, context, flags):
        object.__setattr__(self, "__dict__", context.__dict__)  # what it learns is numba's too
        self._flags, self._known = flags, {}

    def resolve_getattr(self, typ, attr):
        """The type of an attribute; memory is taken by functions of our own."""
        if isinstance(typ, types.Module) and typ.pymod is np and attr in OWN:
            return self.resolve_value_type(OWN[attr])
        return super().resolve_getattr(typ, attr)

    def resolve_function_type(self, func, args, kws):
        """The signature of a call; kernels and methods keep their own, and are not remembered.

        Nor are names like "static_getitem", whose arguments are values: 1 is not True.
        """
        kept = isinstance(func, types.Function) or not isinstance(func, types.Type | str)
        if kws or not kept:
            return super().resolve_function_type(func, args, kws)
        key = func, tuple(args)
        if key not in self._known:
            with ConfigStack().enter(self._flags):
                found = super().resolve_function_type(func, args, kws)
            if found is None:
                return None
            self._known[key] = found
        return self._known[key]


_contexts: dict[Any, _Context] = {}


def _context(context: Any, flags: Flags) -> _Context:
    """The one context for kernels with these freedoms."""
    key = context, frozenset(flags.fastmath.flags), flags.error_model
    if key not in _contexts:
        own = _Flags()
        own.fastmath, own.error_model, own.nrt = flags.fastmath, flags.error_model, True
        _contexts[key] = _Context(context, own)
    return _contexts[key]


def passes(state: Any) -> list[PassManager]:
    """All that is done to one kernel, from its bytecode to machine code."""
    state.typingctx = _context(state.typingctx, state.flags)
    whole = DefaultPassBuilder.define_nopython_pipeline(state)
    needed = _Passes(whole.pipeline_name)
    for kind, description in whole.passes:
        if kind not in NOT_NEEDED:
            needed.add_pass(kind, description)
    needed.finalize()
    return [needed]
