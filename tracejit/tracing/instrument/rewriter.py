"""What all rules of the rewriting share: which kinds of syntax there are, calls of hooks, and names of its own."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from tracejit.tracing.instrument.names import PLACEHOLDER, PREFIX
from tracejit.tracing.instrument.refusal import NotInstrumentable, refusal
from tracejit.tracing.instrument.scopes import Kind, Scopes

REFUSED = {
    "AsyncFor": "async",
    "AsyncFunctionDef": "async",
    "AsyncWith": "async",
    "Await": "async",
    "ClassDef": "a class statement inside a function",
    "TryStar": "except*",
    "TypeAlias": "a type statement",
    "TemplateStr": "a template string",
    "Interpolation": "a template string",
    "MatchClass": "a class in a pattern",
    "Attribute": "a dotted name inside a pattern",
}
"""Kinds of syntax that have no rule where they stand, and why a function that has one is refused."""

NATIVE = frozenset("""
    Return Global Nonlocal Expr Pass Break Continue Yield Constant List Tuple Slice
    arguments arg keyword alias Load Store Del
""".split())  # fmt: skip
"""Kinds of syntax that read nothing but what their parts give: these are rewritten, they are not."""


class Rewriter(ast.NodeTransformer):
    """A rule is a method `visit_X`, for the syntax `ast.X`. Whatever has no rule and is not `NATIVE` is refused."""

    def __init__(self, scopes: Scopes, file: str) -> None:
        self.scopes = scopes
        self.file = file
        self._temporaries = 0

    def visit(self, node: ast.AST) -> Any:
        name = type(node).__name__
        if rule := getattr(self, f"visit_{name}", None):
            return rule(node)
        if name not in NATIVE:
            raise self.without_rule(node)
        return self.generic_visit(node)

    def refusal(self, node: ast.AST, reason: str) -> NotInstrumentable:
        return refusal(reason, self.file, getattr(node, "lineno", 0))

    def without_rule(self, node: ast.AST) -> NotInstrumentable:
        name = type(node).__name__
        return self.refusal(node, REFUSED.get(name, f"syntax that tracejit does not know: {name}"))

    # Parts of the new tree. What has no location gets that of the node around it.

    def hook(self, at: ast.AST, name: str, *arguments: ast.expr) -> ast.Call:
        """A call of a hook, in the place of the node `at`."""
        return ast.copy_location(ast.Call(hook_method(name, at), list(arguments), []), at)

    def temporary(self) -> str:
        self._temporaries += 1
        return f"{PREFIX}{self._temporaries}"

    def bind(self, value: ast.expr, use: Callable[[str], ast.expr]) -> ast.expr:
        """An expression that evaluates `value` once, and is what `use` makes of the name that it has then."""
        name = self.temporary()
        result = use(name)
        if self.scopes.innermost.may_assign:
            parts: list[ast.expr] = [ast.NamedExpr(store(name), value), result]
            last = ast.Subscript(ast.Tuple(parts, ast.Load()), ast.Constant(-1), ast.Load())
            return ast.copy_location(last, value)
        if any(map(_needs_its_frame, ast.walk(result))):
            raise self.refusal(
                value, "`:=`, `yield` or `super` in a condition inside a comprehension"
            )
        call = ast.Call(ast.Lambda(_arguments(name), result), [value], [])
        return ast.copy_location(call, value)

    def cell(self, at: ast.AST, hook: str, name: str) -> ast.Call:
        """A hook for a variable of a function around; the only free variable of the lambda is the cell in question."""
        arguments = _arguments(PREFIX)
        arguments.defaults = [ast.Constant(None)]
        return self.hook(at, hook, ast.Lambda(arguments, load(name)))

    def text(self, name: str) -> ast.Constant:
        return ast.Constant(self.scopes.mangled(name))

    def is_local(self, name: str) -> bool:
        return self.scopes.kind(name) is Kind.LOCAL


def hook_method(name: str, at: ast.AST) -> ast.Attribute:
    method = ast.copy_location(ast.Attribute(ast.Constant(PLACEHOLDER), name, ast.Load()), at)
    # The compiler says that a method is called on the last line of its name.
    method.end_lineno, method.end_col_offset = method.lineno, method.col_offset
    return method


def load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def store(name: str) -> ast.Name:
    return ast.Name(name, ast.Store())


def _arguments(name: str) -> ast.arguments:
    return ast.arguments(
        posonlyargs=[], args=[ast.arg(name)], kwonlyargs=[], kw_defaults=[], defaults=[]
    )


def _needs_its_frame(node: ast.AST) -> bool:
    is_super = isinstance(node, ast.Name) and node.id == "super"
    return is_super or isinstance(node, ast.NamedExpr | ast.Yield | ast.YieldFrom)
