"""Integers that a replay counts on, such as how many steps an optimizer has made: they are read as numbers, and not held."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from typing import Any

SMALL = 1 << 30
"""Less than this is added to a number at once."""


def counts_in(nodes: Sequence[ast.stmt]) -> dict[str, int]:
    """Variables of guards that are looked up, known to be integers, and put into a slot, from where small numbers are added to
    them and nothing else is done: by name, the slot."""
    loads = Counter(
        each.id
        for node in nodes
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
    )
    found = dict[str, Any]()
    for first, second, third in zip(nodes, nodes[1:], nodes[2:]):
        match first, second, third:
            case (
                ast.Assign(
                    targets=[ast.Name(id=name)],
                    value=ast.Subscript(value=ast.Name(), slice=ast.Constant(value=str())),
                ),
                ast.If(
                    test=ast.UnaryOp(
                        operand=ast.Compare(
                            left=ast.Call(func=ast.Name(id="type"), args=[ast.Name(id=typed)]),
                            ops=[ast.Is()],
                            comparators=[ast.Name(id="int")],
                        )
                    )
                ),
                ast.Assign(
                    targets=[ast.Subscript(value=ast.Name(id="E"), slice=ast.Constant(value=slot))],
                    value=ast.Name(id=kept),
                ),
            ) if name == typed == kept and loads[name] == 2:
                found[name] = slot
    read, added = _reads_of(nodes)
    return {name: slot for name, slot in found.items() if 0 < read[slot] == added[slot]}


def is_small(number: object) -> bool:
    return type(number) is int and 0 < number < SMALL


def _reads_of(nodes: Sequence[ast.stmt]) -> tuple[Counter[object], Counter[object]]:
    """How often slots are read, and how often to add small numbers."""
    read, added = Counter[object](), Counter[object]()
    for node in nodes:
        for each in ast.walk(node):
            match each:
                case ast.Subscript(
                    value=ast.Name(id="E"), slice=ast.Constant(value=slot), ctx=ast.Load()
                ):
                    read[slot] += 1
                case ast.BinOp(
                    left=ast.Subscript(
                        value=ast.Name(id="E"), slice=ast.Constant(value=slot), ctx=ast.Load()
                    ),
                    op=ast.Add(),
                    right=ast.Constant(value=number),
                ) if is_small(number):
                    added[slot] += 1
    return read, added
