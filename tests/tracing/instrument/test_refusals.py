"""What is refused, and what the refusal says."""

from __future__ import annotations

import sys

import pytest

from tests.tracing.instrument.plain import PLAIN
from tests.tracing.instrument.texts import function_from, module_from
from tracejit.tracing.instrument import NotInstrumentable, instrumented

BODIES = {
    "return locals()": ":2: locals\\(\\) reads the frame",
    "x = eval('1')": "eval\\(\\) reads the frame",
    "exec('')": "exec\\(\\) reads the frame",
    "return vars()": "vars\\(\\) reads the frame",
    "return [dir() for x in a]": "dir\\(\\) reads the frame",
    "g = breakpoint": "breakpoint\\(\\) reads the frame",
    "class C: pass": ":2: a class statement inside a function",
    "def g():\n  async def h(): pass": ":3: async",
    "return (x async for x in a)": "async",
    "try: pass\nexcept* KeyError: pass": "except\\*",
    "global g; del g": "del of a name from outside",
    "global g; (g := 1)": "`:=` to a name from outside",
    "global g\ntry: pass\nexcept KeyError as g: pass": "except ... as g, a name from outside",
    "global g\nmatch a:\n  case g: pass": "g, a name from outside, as the target of a pattern",
    "match a:\n  case int(): pass": "a class in a pattern",
    "match a:\n  case [a.b]: pass": "a dotted name or class inside a pattern",
    "match a:\n  case {a.b: 1}: pass": "a dotted name or class inside a pattern",
    "return {1, *a}": "a starred element of a set",
    "return [0 for a.b in a]": "an attribute or item as a target inside a comprehension",
    "return [(a and (b := x)) for x in a]": "`:=`, `yield` or `super` in a condition inside",
    "return list(x for x in (a and (yield a)))": "`:=`, `yield` or `super` in a condition",
    "_tj_1 = a": "a name that tracejit uses itself",
    "return '\\0tracejit: the hooks'": "a name that tracejit uses itself",
    "return " + "a + " * 600 + "a": "f is nested too deep",
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:40])
def test_is_refused_with_a_reason(body: str) -> None:
    function = function_from(body, "a")
    for _ in range(2):  # as found, and as remembered
        with pytest.raises(NotInstrumentable, match=BODIES[body]):
            instrumented(function, PLAIN)


def test_a_local_variable_may_have_the_name_of_what_reads_the_frame() -> None:
    function = function_from("vars = dir\nreturn vars", "dir")
    assert instrumented(function, PLAIN)(3) == 3


def test_async_functions_are_refused() -> None:
    variables = module_from("async def f(): pass\nasync def g(): yield 1\n")
    for name in "fg":
        with pytest.raises(NotInstrumentable, match="an async function"):
            instrumented(variables[name], PLAIN)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("type T = int", "a type statement"),
        ("def g[T](x: T): pass", "a function with type parameters"),
    ],
)
def test_type_parameters_are_refused(body: str, reason: str) -> None:
    with pytest.raises(NotInstrumentable, match=reason):
        instrumented(function_from(body), PLAIN)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="syntax of Python 3.14")
@pytest.mark.parametrize("body", ["return t'{a}'", "return [t'a {b!r:>3}' for b in a]"])
def test_template_strings_are_refused(body: str) -> None:
    with pytest.raises(NotInstrumentable, match=":2: a template string"):
        instrumented(function_from(body, "a"), PLAIN)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
def test_type_parameters_of_the_function_itself_are_not_its_code() -> None:
    variables = module_from(
        "def f[T](x: T) -> T:\n  return T, x\nclass C[S]:\n  def f(self): return S\n"
    )
    assert instrumented(variables["f"], PLAIN)(1) == variables["f"](1)
    assert instrumented(variables["C"].f, PLAIN)(1) == variables["C"].f(1)
