"""Which variables of a replay's guards lead to what stays the same from call to call, as a rule.

These are leaves of the tape, whose gradients are wanted, and what the replay writes, which is its state: tensors' memory, dicts,
lists.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from tracejit.runtime.cpu.native.paths import Paths, Writes


class Leading:
    """`names`: these variables; where one is to be the same object as another, both are."""

    def __init__(self, nodes: Iterable[ast.stmt], writes: Writes) -> None:
        self._behind: dict[str, set[str]] = {}
        """What a variable was read from, and which ones are the same."""
        self._owners: dict[str, str] = {}
        """Of handles and storages, the tensor."""
        goals: set[str] = set()
        paths = Paths()
        for node in nodes:
            paths.learn(node)
            goals |= self._look(node, paths, writes)
        self.names = self._all_behind(goals)

    def _look(self, node: ast.stmt, paths: Paths, writes: Writes) -> set[str]:
        """What a line says to stay."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                read = {each.id for each in ast.walk(value) if isinstance(each, ast.Name)}
                self._behind.setdefault(name, set()).update(read)
                match value:
                    case ast.Attribute(value=ast.Name(id=tensor), attr="autograd" | "storage"):
                        self._owners[name] = tensor
                        return {tensor} if paths.path(value) in writes.changed else set()
                return {name} if paths.path(value) in writes.filled else set()
            case ast.If(test=ast.UnaryOp(operand=test)):
                return self._look_at(test)
        return set()

    def _look_at(self, test: ast.expr) -> set[str]:
        match test:
            case ast.Compare(
                left=ast.Name(id=one), ops=[ast.Is()], comparators=[ast.Name(id=other)]
            ) if one[0] == other[0] == "s":
                self._behind.setdefault(one, set()).add(other)
                self._behind.setdefault(other, set()).add(one)
            case ast.BoolOp(
                op=ast.And(),
                values=[*_, ast.Attribute(value=ast.Name(id=handle), attr="requires_grad")],
            ) if handle in self._owners:
                return {self._owners[handle]}
        return set()

    def _all_behind(self, goals: set[str]) -> set[str]:
        found: set[str] = set()
        stack = [*goals]
        while stack:
            name = stack.pop()
            if name not in found:
                found.add(name)
                stack += self._behind.get(name, ())
        return found
