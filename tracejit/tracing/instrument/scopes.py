"""Where the names of a function live: what the compiler decides for the original, decided for its source text."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum, auto

from tracejit._records import dataclass
from tracejit.tracing.instrument.names import PREFIX

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Kind(Enum):
    LOCAL = auto()
    """Of the function that is rewritten, or of one inside it."""
    CELL = auto()
    """Of a function around the one that is rewritten."""
    GLOBAL = auto()


@dataclass(frozen=True, slots=True)
class Scope:
    """One function or comprehension."""

    local: frozenset[str] = frozenset()
    declared_global: frozenset[str] = frozenset()
    may_assign: bool = True
    """Whether `(name := value)` binds a variable of this scope."""


ITERABLE = Scope(may_assign=False)
"""The iterable of a comprehension, which has the names around it, but may not assign."""


class Scopes:
    """The scopes around the node that is being rewritten, innermost last."""

    def __init__(self, free_names: Iterable[str], class_name: str | None) -> None:
        self._free = frozenset(free_names)
        self._class = (class_name or "").lstrip("_")
        self._stack: list[Scope] = []

    @contextmanager
    def inside(self, scope: Scope) -> Iterator[None]:
        self._stack.append(scope)
        yield
        self._stack.pop()

    @property
    def innermost(self) -> Scope:
        return self._stack[-1]

    def mangled(self, name: str) -> str:
        """The name as the compiler writes it: private names of a class carry the name of the class."""
        is_private = name.startswith("__") and not name.endswith("__") and "." not in name
        return f"_{self._class}{name}" if self._class and is_private else name

    def kind(self, name: str) -> Kind:
        if name.startswith(PREFIX):
            return Kind.LOCAL
        for scope in reversed(self._stack):
            if name in scope.declared_global:
                return Kind.GLOBAL
            if name in scope.local:
                return Kind.LOCAL
        return Kind.CELL if self.mangled(name) in self._free else Kind.GLOBAL


def parameters(arguments: ast.arguments) -> list[ast.arg]:
    stars = [star for star in (arguments.vararg, arguments.kwarg) if star]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *stars]


def function_scope(function: Function) -> Scope:
    bindings = _Bindings()
    bindings.bound.update(parameter.arg for parameter in parameters(function.args))
    body = [function.body] if isinstance(function, ast.Lambda) else function.body
    for node in body:
        bindings.visit(node)
    elsewhere = bindings.declared_global | bindings.declared_nonlocal
    return Scope(frozenset(bindings.bound - elsewhere), frozenset(bindings.declared_global))


def comprehension_scope(comprehension: Comprehension) -> Scope:
    targets = [clause.target for clause in comprehension.generators]
    return Scope(frozenset(name for target in targets for name in stored(target)), may_assign=False)


def stored(target: ast.expr) -> set[str]:
    """The names that an assignment to `target` binds."""
    return {
        node.id
        for node in ast.walk(target)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


class _Bindings(ast.NodeVisitor):
    """Gathers what one function binds and declares, but not what the functions inside it do."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.declared_global: set[str] = set()
        self.declared_nonlocal: set[str] = set()
        self._in_comprehension = False

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load) and not self._in_comprehension:
            self.bound.add(node.id)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.bound.add(node.target.id)
        self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.bound.add(node.name)
        for decorator in node.decorator_list:
            self.visit(decorator)
        self.visit(node.args)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815  # as `ast` has it

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.bound.add(node.name)

    def visit_Global(self, node: ast.Global) -> None:
        self.declared_global.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.declared_nonlocal.update(node.names)

    def visit_alias(self, node: ast.alias) -> None:
        self.bound.add(imported_name(node))

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._add(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._add(node.name)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._add(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._add(node.rest)
        self.generic_visit(node)

    def visit_ListComp(self, node: Comprehension) -> None:
        """Its targets are its own; what `:=` binds in it belongs to the function."""
        outside, self._in_comprehension = self._in_comprehension, True
        self.generic_visit(node)
        self._in_comprehension = outside

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp  # noqa: N815  # as `ast` has it

    def _add(self, name: str | None) -> None:
        if name:
            self.bound.add(name)


def imported_name(alias: ast.alias) -> str:
    """What an import binds: `a` for `import a.b`, and `c` for `import a.b as c`."""
    return alias.asname or alias.name.split(".")[0]


def imported_place(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> tuple[str, str]:
    """Where an import finds what it binds: the module, with dots before a relative name, and the attribute of it, or ""."""
    if isinstance(node, ast.ImportFrom):
        return "." * node.level + (node.module or ""), alias.name
    package, _, name = alias.name.rpartition(".")
    return (package, name) if package and alias.asname else (alias.name, "")
