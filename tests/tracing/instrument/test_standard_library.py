"""Real code: nearly all of the standard library's functions can be instrumented, and then give what they gave."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import pytest

from tests.tracing.instrument.library import USES
from tests.tracing.instrument.plain import PLAIN, Plain
from tracejit.tracing.instrument import NotInstrumentable, instrumented, is_instrumented
from tracejit.tracing.instrument.lookup import source_of
from tracejit.tracing.instrument.scopes import Scopes, function_scope

MODULES = """
    argparse ast bisect calendar cmd configparser csv dataclasses difflib enum fractions heapq inspect json.decoder
    json.encoder json.scanner posixpath queue random shlex statistics string textwrap tokenize
    tracejit.nn.activation tracejit.nn.container tracejit.nn.dropout tracejit.nn.functional tracejit.nn.init
    tracejit.nn.linear tracejit.nn.loss tracejit.nn.module tracejit.nn.normalization tracejit.nn.parameter
    tracejit.optim.adam tracejit.optim.lr_scheduler tracejit.optim.optimizer tracejit.optim.sgd
""".split()  # fmt: skip


REASONS = (
    "reads the frame", "a class statement", "async", "a class in a pattern", "a starred element", "no source text",
)  # fmt: skip


def functions_in(thing: Any, module: ModuleType, seen: set[int]) -> Iterator[FunctionType]:
    if id(thing) in seen or getattr(thing, "__module__", module.__name__) != module.__name__:
        return
    seen.add(id(thing))
    match thing:
        case staticmethod() | classmethod():
            yield from functions_in(thing.__func__, module, seen)
        case property():
            for function in (thing.fget, thing.fset, thing.fdel):
                yield from functions_in(function, module, seen)
        case FunctionType():
            yield thing
        case ModuleType() | type():
            for name, value in list(vars(thing).items()):
                # From Python 3.14 on annotations are functions without a `def`.
                if not isinstance(value, ModuleType) and name != "__annotate_func__":
                    yield from functions_in(value, module, seen)


@pytest.fixture(scope="module")
def functions() -> list[FunctionType]:
    modules = map(importlib.import_module, MODULES)
    return [function for module in modules for function in functions_in(module, module, set())]


def test_at_least_95_percent_of_the_functions_are_instrumented(
    functions: list[FunctionType],
) -> None:
    refusals = list(filter(None, map(refusal, functions)))
    assert len(functions) > 1000
    assert len(refusals) < 0.05 * len(functions)
    assert [text for text in refusals if not any(reason in text for reason in REASONS)] == []


def test_local_variables_are_the_ones_that_the_compiler_finds(
    functions: list[FunctionType],
) -> None:
    for function in functions:
        code = function.__code__
        try:
            source = source_of(code, function.__globals__)
        except NotInstrumentable:
            continue
        scopes = Scopes(code.co_freevars, source.class_name)
        names = set(map(scopes.mangled, function_scope(source.function).local))
        assert names <= {*code.co_varnames, *code.co_cellvars}, function
        assert not names & set(code.co_freevars), function


def refusal(function: FunctionType) -> str | None:
    try:
        instrumented(function, PLAIN)
    except NotInstrumentable as error:
        return str(error)
    return None


class Everywhere(Plain):
    """Plain hooks under which the Python functions that are called, and those they call, are instrumented as well."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def callee(self, function: Any) -> Any:
        if isinstance(function, type(self.callee)):
            inner = self.callee(function.__func__)
            return (
                type(function)(inner, function.__self__)
                if inner is not function.__func__
                else function
            )
        if type(function) is not FunctionType or is_instrumented(function.__code__):
            return function
        try:
            new = instrumented(function, self)
        except NotInstrumentable:
            return function
        self.names.add(function.__qualname__)
        return new


@pytest.mark.parametrize("name", USES)
def test_a_module_gives_what_it_gave(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(name)
    use = USES[name]
    expected = use(module)
    hooks = Everywhere()
    replace_methods(module, hooks, monkeypatch)
    assert hooks.callee(use)(module) == expected
    assert hooks.names


def replace_methods(module: ModuleType, hooks: Everywhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods of a module that Python calls itself, such as `__init__`, are instrumented too."""
    for kind in vars(module).values():
        if isinstance(kind, type) and kind.__module__ == module.__name__:
            for name, value in list(vars(kind).items()):
                if type(value) is FunctionType:
                    monkeypatch.setattr(kind, name, hooks.callee(value))
