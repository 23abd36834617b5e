"""By which path variables of replay code are found, and what a replay writes. Guards and commits have variables of their own."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from tracejit._records import dataclass

Path = tuple[Any, ...]
"""A name, or a path, how it goes on, and by what: `("K0", ".", "weight")`."""


class Paths:
    """Learns them from assignments, in order."""

    def __init__(self) -> None:
        self._known: dict[str, Path] = {}

    def learn(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                path = self.path(value)
                if path is None:
                    self._known.pop(name, None)
                else:
                    self._known[name] = path

    def path(self, node: ast.expr) -> Path | None:
        """None for what is found by no path."""
        match node:
            case ast.Name(id=name):
                return self._known.get(name, (name,))
            case ast.Attribute(value=owner, attr=name):
                return self._further(owner, ".", name)
            case ast.Subscript(value=owner, slice=ast.Constant(value=key)):
                return self._further(owner, "[", (type(key), key))
            case ast.Subscript(value=owner, slice=key):
                return self._further(owner, "[", self.path(key))
            case ast.Call(func=function, args=[], keywords=[]):
                return self._further(function, "(", ())
        return None

    def _further(self, owner: ast.expr, how: str, by: Any) -> Path | None:
        path = self.path(owner)
        return None if path is None or by is None else (path, how, by)


def is_given(path: Path) -> bool:
    """Whether it leads to an argument, or into a container that is one: another one in each call, as a rule."""
    while len(path) == 3 and path[1] == "[":
        path = path[0]
    return path in (("args",), ("kwargs",))


@dataclass(frozen=True, slots=True, eq=False)
class Writes:
    """What commits write, by its paths.

    replaced  what something else takes the place of
    filled    the dicts and lists in which it stands
    changed   storages whose memory has other content, and containers that are changed by a method
    """

    replaced: frozenset[Path]
    filled: frozenset[Path]
    changed: frozenset[Path]


def writes_of(commits: Iterable[Iterable[ast.stmt]]) -> Writes:
    replaced: set[Path | None] = set()
    changed: set[Path | None] = set()
    for nodes in commits:
        paths = Paths()
        for node in nodes:
            paths.learn(node)
            match node:
                case ast.Assign(targets=[ast.Attribute(value=owner, attr=name) as target]):
                    own = ast.Attribute(owner, "__dict__", ast.Load())
                    entry = ast.Subscript(own, ast.Constant(name), ast.Load())
                    replaced |= {paths.path(target), paths.path(entry)}
                case ast.Assign(targets=[ast.Subscript() as target]):
                    replaced.add(paths.path(target))
                case ast.AugAssign(target=ast.Attribute(value=owner, attr="version")):
                    changed.add(paths.path(owner))
                case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner))):
                    changed.add(paths.path(owner))
    known = frozenset(path for path in replaced if path is not None)
    filled = frozenset(path[0] for path in known if len(path) == 3)
    return Writes(known, filled, frozenset(path for path in changed if path is not None))
