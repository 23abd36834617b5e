"""Rules for control flow, which stays as it is, and for functions inside the function."""

from __future__ import annotations

import ast

from tracejit.tracing.instrument.bound import unbound_somewhere
from tracejit.tracing.instrument.patterns import Patterns
from tracejit.tracing.instrument.rewriter import hook_method, load, store
from tracejit.tracing.instrument.scopes import Scopes, function_scope, parameters, stored
from tracejit.tracing.instrument.stores import assigned


class Statements(Patterns):
    def __init__(self, scopes: Scopes, file: str, defers_annotations: bool) -> None:
        super().__init__(scopes, file)
        self._defers_annotations = defers_annotations
        self._unbound: set[str] = set()
        self._loops = 0

    def rewrite(self, function: ast.FunctionDef | ast.Lambda) -> None:
        """Puts hooks into the body of the outermost function; the rest of it is not its code."""
        self._unbound = unbound_somewhere(function)
        self._body(function)

    # Control flow

    def visit_If(self, node: ast.If) -> ast.stmt:
        node.test = self.test(node.test)
        node.body, node.orelse = self.block(node.body), self.block(node.orelse)
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        node.test = self.test(node.test)
        node.msg = node.msg and self.hook(node.msg, "asserted", self.visit(node.msg))
        return node

    def visit_While(self, node: ast.While) -> ast.stmt | list[ast.stmt]:
        """`while test: ...` becomes `while True: head; if not test: break; ...`, so that the head comes before the test."""
        at = node.test
        is_constant = isinstance(at, ast.Constant)
        if node.orelse and (is_constant or _leaves_a_loop(node.orelse)):
            node.test = self.test(node.test)
            node.body, node.orelse = self.block(node.body), self.block(node.orelse)
            return node
        number = self._next_loop()
        entered = ast.copy_location(ast.Expr(self.hook(at, "loop_entered", number)), at)
        head = [self._loop_head(at, number, self._certain())]
        if not is_constant:
            head.append(self._leave(self.hook(at, "loop_tested", self.test(at)), node.orelse))
            node.test, node.orelse = ast.copy_location(ast.Constant(True), at), []
        node.body = [*head, *self.block(node.body)]
        return [entered, node]

    def _next_loop(self) -> ast.Constant:
        self._loops += 1
        return ast.Constant(self._loops)

    def _certain(self) -> list[str]:
        """The local variables that are certainly bound here, and stay so."""
        own = self.scopes.innermost.local - self._unbound
        return sorted(own & self.bound)

    def _loop_head(self, at: ast.expr, number: ast.Constant, names: list[str]) -> ast.stmt:
        values = ast.Tuple(list(map(load, names)), ast.Load())
        text = ast.Constant(" ".join(map(self.scopes.mangled, names)))
        head = self.hook(at, "loop_head", number, text, values)
        if not names:
            return ast.copy_location(ast.Expr(head), at)
        targets = ast.Tuple(list(map(store, names)), ast.Store())
        return assigned(ast.copy_location(targets, at), head)

    def _leave(self, test: ast.expr, orelse: list[ast.stmt]) -> ast.stmt:
        """`if not test: ...; break`, after which the loop's `else` has been done."""
        body = [*self.block(orelse), ast.copy_location(ast.Break(), test)]
        return ast.copy_location(ast.If(ast.UnaryOp(ast.Not(), test), body, []), test)

    def visit_For(self, node: ast.For) -> ast.stmt | list[ast.stmt]:
        if isinstance(node.iter, ast.Call) and self._is_counted(node, node.iter):
            return self._counted(node, node.iter)
        stores: list[ast.stmt] = []
        hook, bound = "iterate", stored(node.target)
        if isinstance(node.target, ast.Tuple | ast.List) and self.is_native(node.target):
            hook = "iterate_unpacked"
        elif not self.is_native(node.target):
            node.target, stores = self._by_way_of_a_temporary(node.target)
        node.iter = self.hook(node.iter, hook, self.visit(node.iter))
        node.body = [*stores, *self.block(node.body, bound)]
        node.orelse = self.block(node.orelse)
        return node

    def _is_counted(self, node: ast.For, call: ast.Call) -> bool:
        """Whether it looks like `for k in range(...)`, where `k` is a local variable that stays bound."""
        is_range = isinstance(call.func, ast.Name) and call.func.id == "range"
        are_plain = not call.keywords and not any(isinstance(a, ast.Starred) for a in call.args)
        is_own = isinstance(node.target, ast.Name) and (
            node.target.id in self.scopes.innermost.local - self._unbound
        )
        return is_range and are_plain and is_own and not _leaves_a_loop(node.orelse)

    def _counted(self, node: ast.For, call: ast.Call) -> list[ast.stmt]:
        """A loop whose head comes before each step, and knows of the count.

        `for k in range(n): ...` becomes `counter, place = ...` and `while True: head; if not there: break; k, place = ...; ...`.
        """
        assert isinstance(node.target, ast.Name)
        name, at, number = node.target.id, node.iter, self._next_loop()
        counter, place, begun = self.temporary(), self.temporary(), self.temporary()
        given = [self.visit(call.func), *map(self.visit, call.args)]
        begin = self._assigned((counter, place), self.hook(at, "counter", number, *given))
        known = [*self._certain(), place]
        head = self._loop_head(at, number, known)
        if name not in known:  # it is bound once there has been a step
            later = self._loop_head(at, number, [*known, name])
            head = ast.copy_location(ast.If(load(begun), [later], [head]), at)
        state = load(counter), load(place)
        leave = self._leave(
            self.hook(at, "loop_tested", self.hook(at, "goes_on", *state)), node.orelse
        )
        take = self._assigned((name, place), self.hook(at, "counted", *state))
        flags = [
            assigned(
                ast.copy_location(store(begun), at), ast.copy_location(ast.Constant(is_so), at)
            )
            for is_so in (False, True)
        ]
        body = [head, leave, take, flags[1], *self.block(node.body, {name})]
        endless = ast.While(ast.copy_location(ast.Constant(True), at), body, [])
        return [begin, flags[0], ast.copy_location(endless, at)]

    def _assigned(self, names: tuple[str, ...], value: ast.expr) -> ast.stmt:
        targets = ast.copy_location(ast.Tuple(list(map(store, names)), ast.Store()), value)
        return assigned(targets, value)

    def _by_way_of_a_temporary(self, target: ast.expr) -> tuple[ast.expr, list[ast.stmt]]:
        name = self.temporary()
        return ast.copy_location(store(name), target), self.assign(target, load(name))

    def visit_With(self, node: ast.With) -> ast.stmt:
        """`with a as x, b as y` becomes one statement inside the other where `x` is stored by a hook, between `a` and `b`."""
        first, *others = node.items
        first.context_expr = self.hook(
            first.context_expr, "context", self.visit(first.context_expr)
        )
        stores: list[ast.stmt] = []
        bound: set[str] = set()
        if target := first.optional_vars:
            bound = stored(target)
            if not self.is_local_name(target):
                first.optional_vars, stores = self._by_way_of_a_temporary(target)
        inner = [ast.copy_location(ast.With(others, node.body), node)] if others else node.body
        node.items = [first]
        node.body = [*stores, *self.block(inner, bound)]
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.stmt:
        node.exc = node.exc and self.hook(node.exc, "raised", self.visit(node.exc))
        node.cause = node.cause and self.hook(node.cause, "raised", self.visit(node.cause))
        return node

    def visit_Try(self, node: ast.Try) -> ast.stmt:
        node.body = self.block(node.body)
        node.handlers = list(map(self.visit, node.handlers))
        node.orelse, node.finalbody = self.block(node.orelse), self.block(node.finalbody)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.ExceptHandler:
        if node.name and not self.is_local(node.name):
            raise self.refusal(node, f"except ... as {node.name}, a name from outside")
        node.type = node.type and self.hook(node.type, "exception_class", self.visit(node.type))
        node.body = self.block(node.body)
        return node

    # Functions inside the function

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        self._signature(node.args)
        self._body(node)
        return self.hook(node, "made_function", node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> list[ast.stmt]:
        if getattr(node, "type_params", None):
            raise self.refusal(node, "a function with type parameters")
        decorators: list[ast.expr] = [
            self.hook(decorator, "callee", self.visit(decorator))
            for decorator in node.decorator_list
        ]
        node.decorator_list = [*decorators, hook_method("made_function", node)]
        self._signature(node.args)
        if node.returns and not self._defers_annotations:
            node.returns = self.visit(node.returns)
        self._body(node)
        return [node, *self.written(node.name, node)]

    def _signature(self, arguments: ast.arguments) -> None:
        """Defaults and annotations, which belong to the function around."""
        arguments.defaults = list(map(self.visit, arguments.defaults))
        arguments.kw_defaults = [
            default and self.visit(default) for default in arguments.kw_defaults
        ]
        if not self._defers_annotations:
            for parameter in parameters(arguments):
                parameter.annotation = parameter.annotation and self.visit(parameter.annotation)

    def _body(self, function: ast.FunctionDef | ast.Lambda) -> None:
        before, self.bound = self.bound, {each.arg for each in parameters(function.args)}
        with self.scopes.inside(function_scope(function)):
            if isinstance(function, ast.Lambda):
                function.body = self.visit(function.body)
            else:
                function.body = self.block(function.body)
        self.bound = before


def _leaves_a_loop(statements: list[ast.stmt]) -> bool:
    """Whether a `break` or `continue` among them is of a loop around them."""
    for statement in statements:
        match statement:
            case ast.Break() | ast.Continue():
                return True
            case ast.For() | ast.While():
                inside: list[list[ast.stmt]] = [statement.orelse]
            case ast.If():
                inside = [statement.body, statement.orelse]
            case ast.With():
                inside = [statement.body]
            case ast.Try():
                handlers = [handler.body for handler in statement.handlers]
                inside = [statement.body, *handlers, statement.orelse, statement.finalbody]
            case ast.Match():
                inside = [each.body for each in statement.cases]
            case _:
                inside = []
        if any(map(_leaves_a_loop, inside)):
            return True
    return False
