"""Rules for `match`: patterns are compared natively with a value that a hook has seen, and look nothing up."""

from __future__ import annotations

import ast

from tracejit.tracing.instrument.rewriter import load, store
from tracejit.tracing.instrument.stores import Stores

PATTERNS = frozenset("""
    MatchValue MatchSingleton MatchSequence MatchMapping MatchStar MatchAs MatchOr
    Constant UnaryOp BinOp Add Sub USub Load
""".split())  # fmt: skip
"""Kinds of syntax that a pattern may be made of."""


class Patterns(Stores):
    def visit_Match(self, node: ast.Match) -> ast.stmt:
        subject = self.temporary()
        value = self.hook(node.subject, "matched", self.visit(node.subject))
        node.subject = ast.copy_location(ast.NamedExpr(store(subject), value), node.subject)
        for case in node.cases:
            self._rewrite_case(case, subject)
        return node

    def _rewrite_case(self, case: ast.match_case, subject: str) -> None:
        tests: list[ast.expr] = []
        if _has_dotted_names(case.pattern):
            tests.append(self._equal(case.pattern, subject))
            case.pattern = ast.copy_location(ast.MatchAs(), case.pattern)
        self._check_pattern(case.pattern)
        if case.guard:
            tests.append(self.test(case.guard))
        case.guard = _joined(ast.And(), tests) if tests else None
        case.body = self.block(case.body)

    def _equal(self, pattern: ast.pattern, subject: str) -> ast.expr:
        """The test of `case A.x | A.y`: nothing is looked up inside a pattern, where no hook can stand."""
        tests: list[ast.expr] = []
        for part in pattern.patterns if isinstance(pattern, ast.MatchOr) else [pattern]:
            if not isinstance(part, ast.MatchValue):
                raise self.refusal(part, "a dotted name or class inside a pattern")
            is_equal = ast.Compare(load(subject), [ast.Eq()], [part.value])
            tests.append(self.test(ast.copy_location(is_equal, part)))
        return _joined(ast.Or(), tests)

    def _check_pattern(self, pattern: ast.pattern) -> None:
        for part in ast.walk(pattern):
            if type(part).__name__ not in PATTERNS:
                raise self.without_rule(part)
            for name in (getattr(part, "name", None), getattr(part, "rest", None)):
                if name and not self.is_local(name):
                    raise self.refusal(
                        pattern, f"{name}, a name from outside, as the target of a pattern"
                    )


def _joined(op: ast.boolop, tests: list[ast.expr]) -> ast.expr:
    return ast.BoolOp(op, tests) if len(tests) > 1 else tests[0]


def _has_dotted_names(pattern: ast.pattern) -> bool:
    return any(isinstance(part, ast.Attribute) for part in ast.walk(pattern))
