"""Which hooks each piece of syntax calls, with what text, in what order."""

from __future__ import annotations

import contextlib
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tracing.instrument.plain import Noting
from tests.tracing.instrument.texts import function_from, module_from
from tracejit.tracing.instrument import instrumented
from tracejit.tracing.instrument.hooks import Hooks

READ_BY_DEF = "" if sys.version_info >= (3, 14) else "read_attribute x, "
"""Of an annotation, which a `def` runs up to Python 3.13."""
EXPRESSIONS = {
    "a + b * c": "binary Mult, binary Add",
    "-a ** ~b": "unary Invert, binary Pow, unary USub",
    "1 + 2 * -3": "",
    "not a": "truth",
    "a < b": "compare Lt",
    "a is not b": "compare IsNot",
    "a in items": "compare In",
    "a < b < c": "compare Lt, truth, compare Lt",
    "c < b < a": "compare Lt, truth",
    "a and b and c": "truth, truth",
    "a or b": "truth",
    "a and not b": "truth, truth",
    "a if b else c": "truth",
    "a if b < c else c": "compare Lt, truth",
    "a if b and c else a": "truth, truth",
    "a if True else b": "",
    "0 < a < b": "compare Lt, truth, compare Lt",
    "[x for x in items[:1] if 0 < (y := x) < 5]": "read_item, iterate, compare Lt, truth, compare Lt, truth",
    "o.x.real": "read_attribute x, read_attribute real",
    "items[a]": "read_item",
    "items[:a]": "read_item",
    "max(a, b)": "read_global max, callee",
    "o.f(a)": "read_attribute f, callee",
    "max(*items)": "read_global max, callee, iterate",
    "dict(**{'k': a})": "read_global dict, callee, iterate",
    "{a: b, 'k': c, (1, 'x'): c}": "key",
    "{a, 'k'}": "key",
    "{**{}}": "iterate",
    "[a, *items], (b,)": "iterate",
    "f'{a:{b}}'": "formatted  , joined 2, formatted  2, joined  1",
    "[x for x in items if a if x < b]": "iterate, truth, compare Lt, truth, truth, compare Lt, truth",
    "[x + y for x, y in [items]]": "iterate_unpacked, binary Add",
    "[x for x, (y, z) in [(a, items)]]": "iterate_unpacked, unpack",
    "{x for x in items}": "iterate, key, key",
    "{x: a for x in items}": "iterate, key, key",
    "[x and y for x in [a] for y in [b]]": "iterate, iterate, truth",
    "lambda x=a.real: x": "read_attribute real, made_function",
    "(lambda: a)()": "made_function, callee",
    "(y := a)": "",
}
STATEMENTS = {
    "x = y = a": "",
    "x, y = items": "unpack",
    "x, y = a, b": "",
    "x, *y = a, b": "unpack",
    "x, (y, z) = a, items": "unpack",
    "x, y = z = items": "unpack",
    "o.x = a": "write_attribute x",
    "o.x, items[0] = items": "unpack, write_attribute x, write_item",
    "x = o.x = a": "write_attribute x",
    "o.x += a": "read_attribute x, in_place Add, write_attribute x",
    "items[a] *= 2": "read_part, in_place Mult, write_item",
    "x = a; x -= 1": "in_place Sub",
    "items[0] = a": "write_item",
    "del items[0], o.x, a": "delete_item, delete_attribute x",
    "global g; g = a": "wrote_global g",
    "global g; g, x = items": "unpack, wrote_global g",
    "global g; g = a; g += 1": "wrote_global g, read_global g, in_place Add, wrote_global g",
    "import os.path, math as m": "imported os.path , imported math ",
    "from math import pi, tau": "imported math pi, imported math tau",
    "global math; import math": "wrote_global math, imported math ",
    "if a: pass\nelif b: pass": "truth",
    "assert a, b": "truth",
    "try: assert not a, b\nexcept AssertionError: pass": "truth, asserted, read_global AssertionError, exception_class",
    "for x in items: pass": "iterate",
    "for x, y in [items]: pass": "iterate_unpacked",
    "for x, (y, z) in [(a, items)]: pass": "iterate, unpack, unpack",
    "for o.x in [a]: pass": "iterate, write_attribute x",
    "with context as x: pass": "context",
    "with context as o.x, context: pass": "context, write_attribute x, context",
    "with context as (x, y): pass": "context, unpack",
    "try: raise KeyError\nexcept KeyError as e: pass": "read_global KeyError, raised, read_global KeyError, exception_class",
    "while a > 0: a -= 1": (
        "loop_entered, loop_head a b c context items o, compare Gt, truth, loop_tested, in_place Sub, "
        "loop_head a b c context items o, compare Gt, truth, loop_tested"
    ),
    "while a: break\nelse: pass": "loop_entered, loop_head a b c context items o, truth, loop_tested",
    "while a:\n while a: break\n else: break\n break": (
        "loop_entered, loop_head a b c context items o, truth, loop_tested, truth"
    ),
    "for x in range(a): pass": (
        "read_global range, counter, loop_head a b c context items o _tj_2, goes_on, loop_tested, counted, "
        "loop_head a b c context items o _tj_2 x, goes_on, loop_tested"
    ),
    "for a in range(a): break\nelse: pass": (
        "read_global range, counter, loop_head a b c context items o _tj_2, goes_on, loop_tested, counted"
    ),
    "for o.x in range(a): pass": "read_global range, callee, iterate, write_attribute x",
    "for x in range(*items[:1]): break": "read_global range, callee, read_item, iterate, iterate",
    "match a:\n case 5: pass\n case [x]: pass": "matched",
    "match a:\n case o.x | o.y: pass": "matched, read_attribute x, compare Eq, truth",
    "def g(): return a": "made_function",
    "@o.f\ndef g(x: o.x = a): pass": f"read_attribute f, callee, {READ_BY_DEF}made_function",
    "def g(): yield from items\nlist(g())": "made_function, read_global list, callee, callee, iterate",
}  # fmt: skip
CLOSURES = {
    "return cell": "read_cell",
    "return [cell for _ in ()]": "iterate",
    "return (lambda: cell)()": "made_function, callee, read_cell",
    "nonlocal cell; cell = 1": "wrote_cell",
    "nonlocal cell; cell += 1": "read_cell, in_place Add, wrote_cell",
    "nonlocal cell\ndef cell(): pass": "made_function, wrote_cell",
}


def notes_of(body: str) -> str:
    function = function_from(body, "a, b, c, o, items, context")
    noting = Noting()
    things = SimpleNamespace(x=1, y=2, f=lambda x: x)
    context = contextlib.nullcontext([1, 2])
    instrumented(function, noting)(1, 2, 3, things, [4, 5], context)
    return ", ".join(noting.notes)


def notes_of_closure(body: str) -> str:
    lines = body.replace("\n", "\n  ").replace("; ", "\n  ")
    text = f"def around(cell):\n def f():\n  {lines}\n return f\n"
    noting = Noting()
    instrumented(module_from(text)["around"](0), noting)()
    return ", ".join(noting.notes)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expressions_call(text: str) -> None:
    assert notes_of(f"return {text}") == EXPRESSIONS[text]


@pytest.mark.parametrize("text", STATEMENTS)
def test_statements_call(text: str) -> None:
    assert notes_of(text) == STATEMENTS[text]


@pytest.mark.parametrize("text", CLOSURES)
def test_variables_of_functions_around_call(text: str) -> None:
    assert notes_of_closure(text) == CLOSURES[text]


def test_every_hook_is_called_by_some_syntax_and_no_other() -> None:
    tables = (EXPRESSIONS, STATEMENTS, CLOSURES)
    notes = ", ".join(text for table in tables for text in table.values() if text)
    called = {note.split()[0] for note in notes.split(", ")}
    assert called == {name for name in vars(Hooks) if not name.startswith("_")}


LOOPS = {
    "while a: break": "a",
    "x = 1; (y, *z), w = [(1, 2), 3]\nwhile a: break": "a w x y z",
    "if a: x = 1\nwhile a: break": "a",
    "if a: x = y = 1\nelse: x = 2\nwhile a: break": "a x",
    "x = 1; del x\nwhile a: break": "a",
    "x = 1\nwhile a:\n  del x\n  break": "a",
    "for x in [1]:\n  y = 2\n  while a: break": "a x y",
    "for x in [1]: y = 2\nwhile a: break": "a",
    "with o as x, o as y:\n  while a: break": "a o x y",
    "try: x = 1\nfinally: y = 2\nwhile a: break": "a y",
    "try: x = 1\nexcept ValueError as e: pass\nwhile a: break": "a",
    "import os.path, math as m\ndef g(): pass\nwhile a: break": "a g m os",
    "x: int = 1; y: int\nwhile a: break": "a x",
    "global x; x = 1\nwhile a: break": "a",
    "x = a\nx += 1\nwhile (y := a): break": "a x",
    "x = [y for y in [1]]\nwhile a: break": "a x",
}


@pytest.mark.parametrize("text", LOOPS)
def test_the_head_of_a_loop_has_the_names_that_are_certainly_bound(text: str) -> None:
    needs_context = "with o" in text
    function = function_from(text, "a, o" if needs_context else "a")
    noting = Noting()
    instrumented(function, noting)(1, *[contextlib.nullcontext()] * needs_context)
    (head,) = [note for note in noting.notes if note.startswith("loop_head")]
    assert head == f"loop_head {LOOPS[text]}"


def test_loops_are_numbered_and_their_heads_may_change_variables() -> None:
    class Widening(Noting):
        def loop_head(self, number: int, names: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
            self.notes.append(f"loop {number}: {names}")
            return tuple(value + 10 for value in values)

    body = """
while n < 30:
    pass
k = [(n := n + 1) for _ in range(2)][0]
while n < 50:
    k += 1
return n, k
"""
    hooks = Widening()
    assert instrumented(function_from(body, "n"), hooks)(0) == (52, 52)
    heads = [note for note in hooks.notes if note.startswith("loop ")]
    assert heads == ["loop 1: n"] * 3 + ["loop 2: k n"] * 2


def test_private_names_are_told_as_the_compiler_writes_them() -> None:
    text = """
class _Box:
    def f(self, __a):
        global __g
        __g = self.__x = __a
        while __a:
            __a -= self.__x
        return __g
"""
    noting = Noting()
    box = module_from(text)["_Box"]
    assert instrumented(box.f, noting)(SimpleNamespace(), 1) == 1
    names = [note.split()[1] for note in noting.notes if "_Box" in note]
    assert names == ["_Box__g", "_Box__x", "_Box__a", "_Box__x", "_Box__a", "_Box__g"]
