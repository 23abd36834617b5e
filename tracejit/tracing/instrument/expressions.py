"""Rules for expressions: each read, call, operator and question of truth goes through a hook, in the order that it had."""

from __future__ import annotations

import ast
from functools import partial

from tracejit.tracing.instrument.rewriter import Rewriter, load, store
from tracejit.tracing.instrument.scopes import ITERABLE, Comprehension, Kind, comprehension_scope

FRAMES = frozenset({"_getframe", "currentframe"})
READS_THE_FRAME = frozenset({"locals", "eval", "exec", "vars", "dir", "breakpoint"}) | FRAMES

_Link = tuple[ast.Constant, ast.expr]
"""The operator and the right operand of one comparison in a chain."""


class Expressions(Rewriter):
    # Names, attributes, items

    def visit_Name(self, node: ast.Name) -> ast.expr:
        kind = self.scopes.kind(node.id)
        if kind is Kind.LOCAL or _is_constant(node):
            return node
        if kind is Kind.CELL:
            return self.cell(node, "read_cell", node.id)
        if node.id in READS_THE_FRAME:
            raise self.refusal(node, f"{node.id}() reads the frame")
        if node.id == "super":
            return node  # to the compiler the name itself means that `__class__` is needed
        return self.hook(node, "read_global", self.text(node.id))

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if node.attr in FRAMES:
            raise self.refusal(node, f"{node.attr}() reads the frame")
        return self.hook(
            attribute_place(node), "read_attribute", self.visit(node.value), self.text(node.attr)
        )

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        return self.hook(node, "read_item", self.visit(node.value), self.visit(node.slice))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.expr:
        if not self.is_local(node.target.id):
            raise self.refusal(node, "`:=` to a name from outside")
        node.value = self.visit(node.value)
        return node

    # Calls and functions

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if self._is_bare_super(node):
            return node
        if isinstance(node.func, ast.Attribute):
            place = attribute_place(node.func)
            node.lineno, node.col_offset = place.lineno, place.col_offset
        node.func = self.hook(node.func, "callee", self.visit(node.func))
        node.args = [self.visit(argument) for argument in node.args]
        for keyword in node.keywords:
            value = self.visit(keyword.value)
            keyword.value = value if keyword.arg else self.hook(keyword.value, "iterate", value)
        return node

    def _is_bare_super(self, node: ast.Call) -> bool:
        is_super = isinstance(node.func, ast.Name) and node.func.id == "super"
        return is_super and not node.args and self.scopes.kind("super") is Kind.GLOBAL

    def visit_Starred(self, node: ast.Starred) -> ast.expr:
        node.value = self.hook(node.value, "iterate", self.visit(node.value))
        return node

    # Operators

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        if _is_constant(node):
            return node  # it is computed once, when the function is compiled
        left, right = self.visit(node.left), self.visit(node.right)
        return self.hook(node, "binary", _name_of(node.op), left, right)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        if _is_constant(node):
            return node
        if isinstance(node.op, ast.Not):
            return self.test(node)
        return self.hook(node, "unary", _name_of(node.op), self.visit(node.operand))

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        return self._comparison(node, is_test=False)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        *values, result = map(self.visit, node.values)
        for value in reversed(values):
            result = self._choice(node.op, value, result)
        return result

    def _choice(self, op: ast.boolop, value: ast.expr, other: ast.expr) -> ast.expr:
        """`value and other`, `value or other`, where only the truth of `value` is asked of the hook, and once."""
        if _is_constant(value):
            return ast.copy_location(ast.BoolOp(op, [value, other]), value)

        def choose(name: str) -> ast.expr:
            test = self.hook(value, "truth", load(name))
            whole, short = (other, load(name)) if isinstance(op, ast.And) else (load(name), other)
            return ast.IfExp(test, whole, short)

        return self.bind(value, choose)

    def test(self, node: ast.expr) -> ast.expr:
        """An expression of which only the truth counts, where each part is asked for its truth at most once."""
        if _is_constant(node):
            return node
        match node:
            case ast.UnaryOp(op=ast.Not()):
                node.operand = self.test(node.operand)
                return node
            case ast.BoolOp():
                node.values = list(map(self.test, node.values))
                return node
            case ast.Compare():
                return self._comparison(node, is_test=True)
        return self.hook(node, "truth", self.visit(node))

    def _comparison(self, node: ast.Compare, is_test: bool) -> ast.expr:
        links = list(zip(map(_name_of, node.ops), node.comparators))
        chain = partial(self._chain, node, links, is_test)
        if len(links) == 1 or _is_constant(node.left):
            return chain(self.visit(node.left))
        return self.bind(self.visit(node.left), lambda name: chain(load(name)))

    def _chain(
        self, at: ast.Compare, links: list[_Link], is_test: bool, left: ast.expr
    ) -> ast.expr:
        """`left < x < y ...`, where nothing happens between `left` and `x`."""
        (op, other), *rest = links
        right = self.visit(other)
        if not rest:
            return self._link(at, is_test, op, left, right)

        def then(name: str) -> ast.expr:
            first = self._link(at, is_test, op, left, load(name))
            others = self._chain(at, rest, is_test, load(name))
            if is_test:
                return ast.BoolOp(ast.And(), [first, others])
            return self._choice(ast.And(), first, others)

        return self.bind(right, then)

    def _link(self, at: ast.Compare, is_test: bool, *operands: ast.expr) -> ast.expr:
        compared = self.hook(at, "compare", *operands)
        return self.hook(at, "truth", compared) if is_test else compared

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        node.test = self.test(node.test)
        node.body = self.visit(node.body)
        node.orelse = self.visit(node.orelse)
        return node

    # Displays and text

    def visit_Dict(self, node: ast.Dict) -> ast.expr:
        node.values = [
            self.visit(value) if key else self.hook(value, "iterate", self.visit(value))
            for key, value in zip(node.keys, node.values)
        ]
        node.keys = [key and self._key(key) for key in node.keys]
        return node

    def visit_Set(self, node: ast.Set) -> ast.expr:
        if any(isinstance(element, ast.Starred) for element in node.elts):
            raise self.refusal(node, "a starred element of a set")
        node.elts = list(map(self._key, node.elts))
        return node

    def _key(self, node: ast.expr) -> ast.expr:
        return node if _is_constant(node) else self.hook(node, "key", self.visit(node))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        if all(isinstance(part, ast.Constant) for part in node.values):
            return node
        parts = [part for part in node.values if not _is_empty(part)]
        return self.hook(node, "joined", *map(self.visit, parts))

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        conversion = self.text("" if node.conversion < 0 else chr(node.conversion))
        value = self.visit(node.value)
        spec = self.visit(node.format_spec) if node.format_spec else self.text("")
        return self.hook(node.value, "formatted", value, conversion, spec)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.expr:
        node.value = self.hook(node.value, "iterate", self.visit(node.value))
        return node

    # Comprehensions

    def visit_ListComp(self, node: Comprehension) -> ast.expr:
        with self.scopes.inside(ITERABLE):
            source = self.visit(node.generators[0].iter)
        with self.scopes.inside(comprehension_scope(node)):
            first, *others = node.generators
            clauses = self._clauses(first, source)
            for clause in others:
                clauses += self._clauses(clause, self.visit(clause.iter))
            node.generators = clauses
            self._elements(node)
        return node

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp  # noqa: N815  # as `ast` has it

    def _elements(self, node: Comprehension) -> None:
        match node:
            case ast.DictComp():
                node.key, node.value = self._key(node.key), self.visit(node.value)
            case ast.SetComp():
                node.elt = self._key(node.elt)
            case _:
                node.elt = self.visit(node.elt)

    def _clauses(self, clause: ast.comprehension, source: ast.expr) -> list[ast.comprehension]:
        if clause.is_async:
            raise self.refusal(clause.target, "async")
        is_name = isinstance(clause.target, ast.Name)
        items = self.hook(clause.iter, "iterate" if is_name else "iterate_unpacked", source)
        clauses = self._targets(clause.target, items)
        clauses[-1].ifs = list(map(self.test, clause.ifs))
        return clauses

    def _targets(self, target: ast.expr, items: ast.expr) -> list[ast.comprehension]:
        """`for target in items`, in clauses that unpack one level of tuples each."""
        if isinstance(target, ast.Name):
            return [ast.comprehension(target, items, [], 0)]
        if not isinstance(target, ast.Tuple | ast.List):
            raise self.refusal(target, "an attribute or item as a target inside a comprehension")
        names: list[ast.expr] = []
        inner: list[ast.comprehension] = []
        for element in target.elts:
            part = element.value if isinstance(element, ast.Starred) else element
            if not isinstance(part, ast.Name):
                name = self.temporary()
                one = ast.List([self.hook(part, "unpack", load(name))], ast.Load())
                inner += self._targets(part, one)
                element = restarred(element, name)
            names.append(element)
        flat = ast.copy_location(ast.Tuple(names, ast.Store()), target)
        return [ast.comprehension(flat, items, [], 0), *inner]


def restarred(target: ast.expr, name: str) -> ast.expr:
    """The name as a target in the place of another, with a star where that has one."""
    new = store(name)
    return ast.Starred(new, ast.Store()) if isinstance(target, ast.Starred) else new


def attribute_place(node: ast.Attribute) -> ast.expr:
    """Where the compiler says that `.name` stands, which counts where the expression goes over several lines."""
    if node.lineno == node.end_lineno:
        return node
    end = node.end_col_offset or 0
    place = ast.copy_location(load(node.attr), node)
    place.lineno, place.col_offset = node.end_lineno or node.lineno, end - len(node.attr)
    return place


def _name_of(op: ast.AST) -> ast.Constant:
    return ast.Constant(type(op).__name__)


def _is_empty(part: ast.expr) -> bool:
    """Text of no length, which some versions of the parser put at the end of a specification."""
    return isinstance(part, ast.Constant) and part.value == ""


def _is_constant(node: ast.expr) -> bool:
    """Whether a value is computed from literals alone."""
    match node:
        case ast.Constant() | ast.Name(id="__debug__"):
            return True
        case ast.UnaryOp(operand=operand):
            return _is_constant(operand)
        case ast.BinOp(left=left, right=right):
            return _is_constant(left) and _is_constant(right)
        case ast.Tuple(elts=elements):
            return all(map(_is_constant, elements))
    return False
