"""Functions with instrumented code, and what is remembered of each code object."""

from __future__ import annotations

import os
import threading
import weakref
from types import CodeType, FunctionType
from typing import Any

from tracejit.tracing.instrument.codes import origin_of, rewritten, with_hooks
from tracejit.tracing.instrument.kept import keep, kept
from tracejit.tracing.instrument.lookup import source_of
from tracejit.tracing.instrument.refusal import NotInstrumentable

_SHARED = (
    "__dict__", "__doc__", "__kwdefaults__", "__module__", "__qualname__", "__type_params__",
)  # fmt: skip

_rewritten: dict[int, CodeType | str] = {}
"""Rewritten code, or why there is none, by the id of the code. Equal code is not enough: it may be of two files."""
_instrumented: weakref.WeakValueDictionary[tuple[int, int], CodeType] = (
    weakref.WeakValueDictionary()
)
"""Instrumented code by the ids of the code and of the hooks, both of which it keeps alive."""


def instrumented(function: FunctionType, hooks: object) -> FunctionType:
    """The function with hooks in its code: it shares all else with `function`, its closure and attributes included.

    `hooks` must be hashable; `tracejit.tracing.instrument.hooks.Hooks` says what it is called for. Raises NotInstrumentable.
    """
    code = origin_of(function.__code__) or function.__code__
    new = _code_with_hooks(code, function.__globals__, hooks)
    copy = FunctionType(
        new, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    for name in _SHARED:
        if hasattr(function, name):
            setattr(copy, name, getattr(function, name))
    _annotate(copy, function)
    return copy


def _annotate(copy: FunctionType, function: FunctionType) -> None:
    """Gives a copy the annotations of a function, which from Python 3.14 on code of the user's finds, when somebody asks."""
    name = "__annotations__" if getattr(function, "__annotate__", None) is None else "__annotate__"
    setattr(copy, name, getattr(function, name))


def is_instrumented(code: CodeType) -> bool:
    """Whether the code calls hooks: that of an instrumented function, or of one made inside it."""
    return origin_of(code) is not None


def original(code: CodeType) -> CodeType:
    """The code that instrumented code was made from."""
    origin = origin_of(code)
    if origin is None:
        raise ValueError(f"{code.co_qualname} has no hooks in it")
    return origin


def _code_with_hooks(code: CodeType, module_globals: dict[str, Any], hooks: object) -> CodeType:
    key = id(code), id(hooks)
    new = _instrumented.get(key)
    if new is None:
        new = with_hooks(_code_rewritten(code, module_globals), code, hooks)
        _instrumented[key] = new
    return new


def _code_rewritten(code: CodeType, module_globals: dict[str, Any]) -> CodeType:
    known = _rewritten.get(id(code))
    if known is None:
        known = _rewritten_or_reason(code, module_globals)
        _rewritten[id(code)] = known
        weakref.finalize(code, _rewritten.pop, id(code), None).atexit = False
    if isinstance(known, str):
        raise NotInstrumentable(known)
    return known


_lock = threading.RLock()
"""CPython counts how deep syntax trees are for all threads at once, so that two must not make one at the same time."""


def _renew_lock() -> None:
    """In a child process: whoever held the lock is a thread of the parent's."""
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


def _rewritten_or_reason(code: CodeType, module_globals: dict[str, Any]) -> CodeType | str:
    known = kept(code)
    if known is not None:
        return known
    try:
        with _lock:
            new = rewritten(source_of(code, module_globals))
        keep(code, new)
        return new
    except SystemError:  # not remembered: a thread of the user's has made a syntax tree, too
        raise NotInstrumentable(f"{code.co_qualname}: another thread compiles code") from None
    except NotInstrumentable as refusal:
        return str(refusal)
    except (SyntaxError, ValueError) as error:
        return f"{code.co_qualname} does not compile with hooks in it: {error}"
    except RecursionError:  # not remembered: the stack may have been nearly full already
        raise NotInstrumentable(f"{code.co_qualname} is nested too deep") from None
