"""Which local variables certainly have a value at a place in a function."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from tracejit.tracing.instrument.scopes import imported_name, stored


def bound_by(statement: ast.stmt) -> set[str]:
    """Names that are bound whenever the statement has been run to its end."""
    match statement:
        case ast.Assign(targets=targets):
            return {name for target in targets for name in stored(target)}
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target, value=ast.expr()):
            return stored(target)
        case ast.FunctionDef(name=name):
            return {name}
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return set(map(imported_name, aliases))
        case ast.If(body=body, orelse=orelse):
            return bound_by_all(body) & bound_by_all(orelse)
        case ast.Try(finalbody=finalbody):
            return bound_by_all(finalbody)
    return set()


def bound_by_all(statements: Iterable[ast.stmt]) -> set[str]:
    return {name for statement in statements for name in bound_by(statement)}


def unbound_somewhere(function: ast.AST) -> set[str]:
    """Names that `del`, or the end of an `except ... as`, takes away anywhere in a function or in those inside it."""
    deleted = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del)
    }
    caught = {node.name for node in ast.walk(function) if isinstance(node, ast.ExceptHandler)}
    return deleted | {name for name in caught if name}
