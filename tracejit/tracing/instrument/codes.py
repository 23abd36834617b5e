"""Instrumented code: rewritten, compiled, with the hooks in it, and with a note of the code that it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType
from typing import Any

from tracejit._records import dataclass
from tracejit.tracing.instrument.lookup import PLACE_FLAGS, Source
from tracejit.tracing.instrument.names import PLACEHOLDER, PREFIX
from tracejit.tracing.instrument.refusal import refusal
from tracejit.tracing.instrument.scopes import Scopes
from tracejit.tracing.instrument.statements import Statements


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """The last constant of instrumented code: it needs no table, and lives as long as the code."""

    code: CodeType


def origin_of(code: CodeType) -> CodeType | None:
    """The code that instrumented code was made from; None for any other code."""
    last = code.co_consts[-1] if code.co_consts else None
    return last.code if isinstance(last, Origin) else None


def rewritten(source: Source) -> CodeType:
    """The code of the function with placeholders for the hooks. The syntax tree of `source` is used up."""
    code, file = source.code, source.code.co_filename
    _check_names(code)
    scopes = Scopes(code.co_freevars, source.class_name)
    Statements(scopes, file, source.defers_annotations).rewrite(source.function)
    new = source.compiled()
    _check_alike(new, code)
    return new


def with_hooks(code: CodeType, original: CodeType, hooks: object) -> CodeType:
    """Rewritten code, and all code inside it, that calls these hooks."""
    return _with_hooks(code, original, _inner(original), hooks)


def _with_hooks(
    code: CodeType, original: CodeType, inner: Iterator[CodeType], hooks: object
) -> CodeType:
    def constant(value: Any) -> Any:
        if isinstance(value, CodeType):
            if _is_helper(value):
                return _with_hooks(value, original, inner, hooks)
            return with_hooks(value, next(inner), hooks)
        return hooks if isinstance(value, str) and value == PLACEHOLDER else value

    constants = (*map(constant, code.co_consts), Origin(original))
    flags = code.co_flags if _is_helper(code) else original.co_flags
    return code.replace(co_consts=constants, co_qualname=original.co_qualname, co_flags=flags)


def _check_names(code: CodeType) -> None:
    """The function has nothing that the rewriting would take for its own."""
    names = (*code.co_varnames, *code.co_cellvars, *code.co_freevars, *code.co_names)
    if PLACEHOLDER in code.co_consts or any(name.startswith(PREFIX) for name in names):
        raise refusal("a name that tracejit uses itself", code.co_filename, code.co_firstlineno)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _check_names(constant)


def _check_alike(code: CodeType, original: CodeType) -> None:
    """Rewriting changes neither what a function takes and closes over, nor which functions are inside it."""
    inner, originals = list(_inner(code)), list(_inner(original))
    if len(inner) != len(originals) or _kind_of(code) != _kind_of(original):
        raise refusal("rewriting changes its kind", original.co_filename, original.co_firstlineno)
    for pair in zip(inner, originals):
        _check_alike(*pair)


def _kind_of(code: CodeType) -> tuple[object, ...]:
    arguments = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    flags = code.co_flags & ~PLACE_FLAGS
    return code.co_name, code.co_firstlineno, code.co_freevars, *arguments, flags


def _inner(code: CodeType) -> Iterator[CodeType]:
    """The user's functions and comprehensions right inside, in the order of the text."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _inner(constant) if _is_helper(constant) else (constant,)


def _is_helper(code: CodeType) -> bool:
    """Whether code is that of a lambda which rewriting has added."""
    return code.co_name == "<lambda>" and "".join(code.co_varnames[:1]).startswith(PREFIX)
