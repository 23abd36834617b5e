"""An instrumented function shares with the original all but its code, which knows what it was made from."""

from __future__ import annotations

import gc
import sys
import weakref
from types import CodeType, FunctionType
from typing import Any

import pytest

from tests.tracing.instrument.plain import PLAIN, Noting, Plain
from tests.tracing.instrument.texts import function_from, module_from
from tracejit.tracing.instrument import NotInstrumentable, instrumented, is_instrumented, original


def codes(code: CodeType) -> list[CodeType]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return [code, *(each for found in inner for each in codes(found))]


def made() -> FunctionType:
    text = '''
def around(count):
    def f(a: int, b=[], *, c=1, **d) -> str:
        """Says what it is."""
        nonlocal count
        count += 1
        return count, a, b, c, d
    return f
'''
    function: FunctionType = module_from(text)["around"](0)
    return function


def test_all_but_the_code_is_shared() -> None:
    function = made()
    function.note = [1]
    function.__kwdefaults__["c"] = 7
    copy = instrumented(function, PLAIN)
    annotations = "__annotate__" if sys.version_info >= (3, 14) else "__annotations__"
    for name in ("__globals__", "__defaults__", "__kwdefaults__", "__dict__", annotations):
        assert getattr(copy, name) is getattr(function, name)
    assert copy.__annotations__ == function.__annotations__ != {}
    function.__annotations__ = {"a": [int]}
    assert instrumented(function, PLAIN).__annotations__ is function.__annotations__
    for name in ("__name__", "__qualname__", "__doc__", "__module__", "__closure__"):
        assert getattr(copy, name) == getattr(function, name)
    for name in (
        "co_filename",
        "co_firstlineno",
        "co_name",
        "co_qualname",
        "co_freevars",
        "co_flags",
    ):
        assert getattr(copy.__code__, name) == getattr(function.__code__, name)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="up to Python 3.13 a `def` runs them")
def test_annotations_are_not_run() -> None:
    text = (
        "seen = []\ndef f(x: seen.append(1)) -> Later:\n def g(y: Never): return y\n return g(x)\n"
    )
    variables = module_from(text)
    assert instrumented(variables["f"], PLAIN)(3) == 3
    assert not variables["seen"]
    with pytest.raises(NameError, match="Later"):
        variables["f"].__annotations__


def test_closure_cells_are_the_same_cells() -> None:
    function = made()
    copy = instrumented(function, PLAIN)
    assert function(0)[0] == 1
    assert copy(0)[0] == 2
    assert function(0)[0] == 3


def test_code_inside_is_instrumented_and_knows_its_original() -> None:
    text = """
def f(xs):
    def g(x, k=lambda: 1):
        return [(y or (lambda z: z)) for y in xs], (lambda: x), (lambda: k)
    return g, {y: (lambda: y) for y in xs if 0 < y < (lambda: 9)()}
"""
    function = module_from(text)["f"]
    copy = instrumented(function, PLAIN)
    assert original(copy.__code__) is function.__code__
    assert all(map(is_instrumented, codes(copy.__code__)))
    assert not any(map(is_instrumented, codes(function.__code__)))
    assert {id(original(code)) for code in codes(copy.__code__)} == set(
        map(id, codes(function.__code__))
    )
    for code in codes(copy.__code__):
        assert code.co_qualname == original(code).co_qualname


def test_functions_made_inside_can_be_had_without_hooks() -> None:
    text = "def f(x):\n def g(y):\n  return x + y\n return g\n"
    inner = instrumented(module_from(text)["f"], PLAIN)(1)
    plain = FunctionType(original(inner.__code__), inner.__globals__, "g", None, inner.__closure__)
    assert plain(2) == inner(2) == 3
    noting = Noting()
    assert instrumented(inner, noting)(2) == 3
    assert noting.notes == ["read_cell", "binary Add"]


def test_code_without_hooks_has_no_original() -> None:
    assert not is_instrumented(made().__code__)
    with pytest.raises(ValueError, match="has no hooks"):
        original(made().__code__)


def test_each_hooks_object_has_code_of_its_own_which_is_kept() -> None:
    function = function_from("return x + x", "x")
    one, two = Noting(), Noting()
    first = instrumented(function, one)
    assert instrumented(function, one).__code__ is first.__code__
    assert instrumented(function, two).__code__ is not first.__code__
    assert instrumented(function, two)(1) == first(1) == 2
    assert one.notes == two.notes == ["binary Add"]


def test_an_instrumented_function_is_not_instrumented_twice() -> None:
    function = function_from("return x + x", "x")
    one, two = Noting(), Noting()
    assert instrumented(instrumented(function, one), two)(1) == 2
    assert (one.notes, two.notes) == ([], ["binary Add"])


def test_what_the_user_writes_as_text_stays_text() -> None:
    function = function_from("return 'tracejit: the hooks', '_tj_1'")
    assert instrumented(function, PLAIN)() == ("tracejit: the hooks", "_tj_1")


def test_neither_code_nor_hooks_are_kept_alive() -> None:
    hooks = Plain()
    function = function_from("return [x, lambda: x]", "x")
    refused = function_from("return locals()")
    with pytest.raises(NotInstrumentable):
        instrumented(refused, hooks)
    instrumented(function, hooks)(1)
    left: list[Any] = [weakref.ref(each) for each in (function.__code__, refused.__code__, hooks)]
    del function, refused, hooks
    gc.collect()
    assert [reference() for reference in left] == [None] * 3
