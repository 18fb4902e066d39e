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
from numba.core import ir, typed_passes, types, untyped_passes
from numba.core.compiler import DefaultPassBuilder, Flags
from numba.core.compiler_machinery import (
    AnalysisPass,
    PassManager,
    _pass_registry,
    register_pass,
)
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


@register_pass(mutates_CFG=False, analysis_only=True)
class _WithoutCounts(AnalysisPass):
    """A kernel that takes no memory and hands none on counts no references.

    Its arrays, and the rows and parts it takes of them, live as long as those of its caller do. A
    count is an atomic operation behind a call; where thousands of rows are taken they were a tenth
    of a step of SGD, for numba removes only those that it sees to cancel.
    """

    _name = "without_counts"

    def __init__(self):
        super().__init__()

    def run_pass(self, state):
        """The code that follows is made for a target without counted memory."""
        if not _counts(state):
            state.targetctx = state.targetctx.subtarget(enable_nrt=False)
        return False


# operations whose result is a part of their operands, or a tuple of them
PARTS = {"getitem", "static_getitem", "getattr", "cast", "build_tuple", "exhaust_iter"}


def _counts(state: Any) -> bool:
    """Whether memory may be taken, or an array comes out of what is called or is returned."""

    def holds(variable):
        return _holds_memory(state.typemap[variable.name])

    if _holds_memory(state.return_type):
        return True
    for block in state.func_ir.blocks.values():
        for instruction in block.body:
            match instruction:
                case ir.Assign(target=target, value=ir.Expr() as value):
                    if value.op not in PARTS and holds(target):
                        return True
                    if value.op == "getitem" and holds(value.index):
                        return True  # not a part, but a selection
                case ir.SetItem(value=value) | ir.StaticSetItem(value=value):
                    if holds(value):
                        return True  # which is copied first where the two overlap
                case ir.Raise() | ir.StaticRaise() | ir.DynamicRaise():
                    return True
    return False


def _holds_memory(kind: Any) -> bool:
    """Whether values of this type are arrays, hold some, or are of a kind that is not known."""
    if isinstance(kind, types.BaseTuple):
        return any(_holds_memory(part) for part in kind)
    plain = types.Number, types.Boolean, types.NoneType, types.RangeType, types.RangeIteratorType
    return not isinstance(kind, (*plain, types.Opaque, types.Pair, types.SliceType, types.Callable))


def passes(state: Any, *, piece: bool = False) -> list[PassManager]:
    """All that is done to one kernel, from its bytecode to machine code."""
    state.typingctx = _context(state.typingctx, state.flags)
    whole = DefaultPassBuilder.define_nopython_pipeline(state)
    needed = _Passes(whole.pipeline_name)
    for kind, description in whole.passes:
        if kind not in NOT_NEEDED:
            needed.add_pass(kind, description)
        if piece and kind is typed_passes.NopythonTypeInference:
            needed.add_pass(_WithoutCounts, "without counts of references")
    needed.finalize()
    return [needed]
