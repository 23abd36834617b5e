"""Rules for what stores and deletes: local variables natively, all else by hooks, in the order that it had."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from tracejit.tracing.instrument.bound import bound_by
from tracejit.tracing.instrument.expressions import Expressions, attribute_place, restarred
from tracejit.tracing.instrument.rewriter import load, store
from tracejit.tracing.instrument.scopes import Kind, Scopes, imported_name, imported_place


class Stores(Expressions):
    def __init__(self, scopes: Scopes, file: str) -> None:
        super().__init__(scopes, file)
        self.bound: set[str] = set()
        """Local variables that are certainly bound where the rewriting has come to."""

    def block(self, statements: Iterable[ast.stmt], bound: Iterable[str] = ()) -> list[ast.stmt]:
        """Statements one after the other; `bound` are variables that are certainly bound where they begin."""
        before = self.bound
        self.bound = before.union(bound)
        result: list[ast.stmt] = []
        for statement in statements:
            binds = bound_by(statement)
            new = self.visit(statement)
            result += new if isinstance(new, list) else [new]
            self.bound |= binds
        self.bound = before
        return result

    def assign(self, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        """`target = value`, for any target; a tuple goes by way of temporary names unless it has local names only."""
        match target:
            case ast.Name():
                return [assigned(target, value), *self.written(target.id, target)]
            case ast.Starred():
                return self.assign(target.value, value)
            case ast.Tuple() | ast.List():
                return self._unpack(target, value)
            case ast.Attribute():
                place, container = attribute_place(target), self.visit(target.value)
                return [
                    self.told(place, "write_attribute", value, container, self.text(target.attr))
                ]
            case ast.Subscript():
                container, key = self.visit(target.value), self.visit(target.slice)
                return [self.told(target, "write_item", value, container, key)]
        raise self.refusal(target, f"an assignment to {type(target).__name__}")

    def _unpack(self, target: ast.Tuple | ast.List, value: ast.expr) -> list[ast.stmt]:
        if not _is_display_for(target, value):
            value = self.hook(target, "unpack", value)
        if self.is_native(target):
            return [assigned(target, value)]
        names = [self.temporary() for _ in target.elts]
        parts = [restarred(element, name) for element, name in zip(target.elts, names)]
        flat = ast.copy_location(ast.Tuple(parts, ast.Store()), target)
        stores = (self.assign(element, load(name)) for element, name in zip(target.elts, names))
        return [assigned(flat, value), *(statement for group in stores for statement in group)]

    def is_native(self, target: ast.expr) -> bool:
        """Whether storing there is nobody's business: local names, or a flat tuple of them."""
        match target:
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return all(map(self.is_local_name, elements))
        return self.is_local_name(target)

    def is_local_name(self, target: ast.expr) -> bool:
        name = target.value if isinstance(target, ast.Starred) else target
        return isinstance(name, ast.Name) and self.is_local(name.id)

    def written(self, name: str, at: ast.AST) -> list[ast.stmt]:
        """The hook that follows a store to a name."""
        match self.scopes.kind(name):
            case Kind.LOCAL:
                return []
            case Kind.GLOBAL:
                return [self.told(at, "wrote_global", self.text(name))]
            case Kind.CELL:
                return [ast.copy_location(ast.Expr(self.cell(at, "wrote_cell", name)), at)]

    def told(self, at: ast.AST, hook: str, *arguments: ast.expr) -> ast.stmt:
        return ast.copy_location(ast.Expr(self.hook(at, hook, *arguments)), at)

    def visit_Assign(self, node: ast.Assign) -> list[ast.stmt]:
        value = self.visit(node.value)
        if all(map(self.is_local_name, node.targets)):
            node.value = value
            return [node]
        if len(node.targets) == 1:
            return self.assign(node.targets[0], value)
        name = self.temporary()
        stores = (self.assign(target, load(name)) for target in node.targets)
        first = ast.copy_location(assigned(store(name), value), node)
        return [first, *(statement for group in stores for statement in group)]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> list[ast.stmt]:
        """In a function no annotation is evaluated, but it does make the name a local one."""
        if isinstance(node.target, ast.Name):
            node.value = node.value and self.visit(node.value)
            return [node]
        if node.value:
            return self.assign(node.target, self.visit(node.value))
        assert isinstance(node.target, ast.Attribute | ast.Subscript)
        parts = [node.target.value]
        if isinstance(node.target, ast.Subscript):
            parts.append(node.target.slice)
        return [ast.copy_location(ast.Expr(self.visit(part)), node) for part in parts]

    def visit_AugAssign(self, node: ast.AugAssign) -> list[ast.stmt]:
        op = ast.Constant(type(node.op).__name__)
        match node.target:
            case ast.Name(id=name) as target:
                before = self.visit(ast.copy_location(load(name), target))
                after = self.hook(node, "in_place", op, before, self.visit(node.value))
                return [assigned(target, after), *self.written(name, target)]
            case ast.Attribute() as target:
                place, text = attribute_place(target), self.text(target.attr)
                parts, names = self._kept([target.value])
                before = self.hook(place, "read_attribute", load(names[0]), text)
                after = self.hook(node, "in_place", op, before, self.visit(node.value))
                return [*parts, self.told(place, "write_attribute", after, load(names[0]), text)]
            case ast.Subscript() as target:
                parts, names = self._kept([target.value, target.slice])
                before = self.hook(target, "read_part", *map(load, names))
                after = self.hook(node, "in_place", op, before, self.visit(node.value))
                return [*parts, self.told(target, "write_item", after, *map(load, names))]

    def _kept(self, parts: Sequence[ast.expr]) -> tuple[list[ast.stmt], list[str]]:
        """Parts of a target, evaluated once, under temporary names."""
        names = [self.temporary() for _ in parts]
        statements = [
            ast.copy_location(assigned(store(name), self.visit(part)), part)
            for name, part in zip(names, parts)
        ]
        return list(statements), names

    def visit_Delete(self, node: ast.Delete) -> list[ast.stmt]:
        return [statement for target in node.targets for statement in self._deleted(target)]

    def _deleted(self, target: ast.expr) -> list[ast.stmt]:
        match target:
            case ast.Name(id=name) if self.is_local(name):
                return [ast.copy_location(ast.Delete([target]), target)]
            case ast.Name():
                raise self.refusal(target, "del of a name from outside")
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return [statement for element in elements for statement in self._deleted(element)]
            case ast.Attribute():
                place, container = attribute_place(target), self.visit(target.value)
                return [self.told(place, "delete_attribute", container, self.text(target.attr))]
            case ast.Subscript():
                container, key = self.visit(target.value), self.visit(target.slice)
                return [self.told(target, "delete_item", container, key)]
        raise self.refusal(target, f"del of {type(target).__name__}")

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> list[ast.stmt]:
        result: list[ast.stmt] = [node]
        for alias in node.names:
            name, place = imported_name(alias), map(ast.Constant, imported_place(node, alias))
            told = self.told(node, "imported", load(name), *place)
            result += [*self.written(name, node), told]
        return result

    visit_ImportFrom = visit_Import  # noqa: N815  # as `ast` has it


def assigned(target: ast.expr, value: ast.expr) -> ast.Assign:
    return ast.copy_location(ast.Assign([target], value), target)


def _is_display_for(target: ast.Tuple | ast.List, value: ast.expr) -> bool:
    """Whether `a, b = x, y`, in which nothing is read to be unpacked."""
    if not isinstance(value, ast.Tuple) or len(value.elts) != len(target.elts):
        return False
    return not any(isinstance(part, ast.Starred) for part in [*value.elts, *target.elts])
