"""Every kind of syntax has a rule, is known to read nothing, or is refused; one that a new Python brings is refused."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.tracing.instrument.plain import PLAIN
from tests.tracing.instrument.texts import function_from
from tracejit.tracing.instrument import NotInstrumentable, instrumented
from tracejit.tracing.instrument.patterns import PATTERNS
from tracejit.tracing.instrument.rewriter import NATIVE, REFUSED
from tracejit.tracing.instrument.statements import Statements

CASES = Path(__file__).parent / "cases"
RULES = {name.removeprefix("visit_") for name in dir(Statements) if name.startswith("visit_")}
RULES -= {"Constant"}  # of `ast.NodeVisitor` up to Python 3.13, for the classes of old
PARTS = {"comprehension", "withitem", "match_case", "TypeIgnore"}
"""Kinds that the rule of the syntax around them takes apart."""
OPERATORS = {
    name
    for base in (ast.boolop, ast.operator, ast.unaryop, ast.cmpop)
    for name in (kind.__name__ for kind in base.__subclasses__())
}
ROOTS = {"Module", "Interactive", "Expression", "FunctionType"}
TYPE_PARAMETERS = {"TypeVar", "ParamSpec", "TypeVarTuple"}
OLD = {
    "Num", "Str", "Bytes", "NameConstant", "Ellipsis", "Index", "ExtSlice", "Suite", "AugLoad", "AugStore", "Param", "slice",
}  # fmt: skip
"""Kinds that the parser does not make any more."""


def kinds(base: type[ast.AST] = ast.AST) -> set[str]:
    inner = base.__subclasses__()
    return set().union(*map(kinds, inner)) if inner else {base.__name__}


def test_every_kind_of_syntax_is_in_one_list() -> None:
    expressions = {kind.__name__ for kind in ast.expr.__subclasses__()}
    known = RULES | NATIVE | set(REFUSED) | PATTERNS | PARTS | OPERATORS | ROOTS | TYPE_PARAMETERS
    assert kinds() - OLD <= known
    assert not RULES & NATIVE
    assert RULES & set(REFUSED) == {"Attribute"}  # refused in a pattern only
    assert expressions - OLD <= RULES | NATIVE | set(REFUSED)


def test_the_cases_have_every_kind_of_syntax_that_is_rewritten() -> None:
    trees = [ast.parse(path.read_text()) for path in CASES.glob("*.py")]
    used = {type(node).__name__ for tree in trees for node in ast.walk(tree)}
    assert (RULES | NATIVE | PATTERNS | OPERATORS) - {"MatchSingleton"} <= used


def test_syntax_without_a_rule_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Statements, "visit_Assert")
    with pytest.raises(NotInstrumentable, match="syntax that tracejit does not know: Assert"):
        instrumented(function_from("assert x", "x"), PLAIN)
