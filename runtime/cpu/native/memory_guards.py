"""Guards of which memory lies apart from which: what is settled of it is asked for itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence


def split(node: ast.stmt, settled: set[str], facts: dict[str, ast.expr]) -> Iterator[ast.stmt]:
    """Guards that say the same together; of some of them what they say of `settled` variables is a fact, under a name."""
    match node:
        case ast.If(
            test=ast.UnaryOp(
                op=ast.Not(),
                operand=ast.Compare(
                    left=ast.Call(func=ast.Name(id="len"), args=[ast.Set(elts=buffers)]),
                    ops=[ast.Eq()],
                    comparators=[ast.Constant(value=count)],
                ),
            ),
            body=body,
        ) if count == len(buffers) and all(isinstance(each, ast.Name) for each in buffers):
            for test in _all_apart(*_parted(buffers, settled)):
                yield _guard(test, body)
        case ast.If(
            test=ast.UnaryOp(
                op=ast.Not(),
                operand=ast.BoolOp(
                    op=ast.Or(),
                    values=[ast.BoolOp(op=ast.And(), values=[*owned]), ast.Call() as ask],
                ),
            ),
            body=body,
        ) if all(map(_is_owned, owned)):
            known, others = _parted(owned, settled)
            if known:
                name = f"v fact {len(facts)}"
                facts[name] = ast.BoolOp(ast.And(), known)
                others = [ast.Name(name, ast.Load()), *others]
            yield _guard(ast.BoolOp(ast.Or(), [ast.BoolOp(ast.And(), others), ask]), body)
        case _:
            yield node


def _guard(test: ast.expr, body: list[ast.stmt]) -> ast.stmt:
    return ast.If(ast.UnaryOp(ast.Not(), test), body, [])


def _parted(nodes: Sequence[ast.expr], settled: set[str]) -> tuple[list[ast.expr], list[ast.expr]]:
    names = [
        next(each.id for each in ast.walk(node) if isinstance(each, ast.Name)) for node in nodes
    ]
    known = [node for node, name in zip(nodes, names, strict=True) if name in settled]
    return known, [node for node in nodes if node not in known]


def _all_apart(known: list[ast.expr], others: list[ast.expr]) -> Iterator[ast.expr]:
    """That all are different."""
    for group in (known, others):
        if len(group) > 1:
            count = ast.Call(ast.Name("len", ast.Load()), [ast.Set(group)], [])
            yield ast.Compare(count, [ast.Eq()], [ast.Constant(len(group))])
    for other in others if known else ():
        yield ast.Compare(_id(other), [ast.NotIn()], [ast.Tuple(list(map(_id, known)), ast.Load())])


def _id(node: ast.expr) -> ast.expr:
    return ast.Call(ast.Name("id", ast.Load()), [node], [])


def _is_owned(node: ast.expr) -> bool:
    """Whether it says that a buffer's memory is the library's own."""
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=ast.Attribute(value=ast.Name(), attr="foreign")):
            return True
    return False
