"""Commits look again for what guards have found. Where nothing can have come between, they take it from there."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

from tracejit.runtime.cpu.native.paths import Path, Paths


def taken_over(nodes: Sequence[ast.stmt], found: Mapping[Path, str]) -> list[ast.stmt]:
    """The same commit, with what lies at these paths in variables of these names."""
    read = names_read(nodes)
    paths, names = Paths(), dict[str, str]()
    versioned = set[str]()
    kept = []
    is_calm = True
    for node in nodes:
        paths.learn(node)
        _rename(node, names)
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Attribute() | ast.Subscript()):
                path = paths.path(ast.Name(name, ast.Load()))
                if is_calm and path is not None and path in found:
                    names[name] = found[path]
                    continue
            case ast.AugAssign(target=ast.Attribute(value=ast.Name(id=name), attr="version")):
                versioned.add(name)
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id=name), attr="written")]) if (
                name in versioned
            ):
                pass
            case _:
                is_calm = False  # it may run code, or write to where paths lead through
        kept.append(node)
    return _needed(kept, read)


def names_read(nodes: Iterable[ast.AST]) -> set[str]:
    """All variables, and names of constants, that are read."""
    return {
        each.id
        for node in nodes
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
    }


def _rename(node: ast.stmt, names: dict[str, str]) -> None:
    parts = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
    for each in parts:
        if isinstance(each.ctx, ast.Load):
            each.id = names.get(each.id, each.id)
    for each in parts:
        if isinstance(each.ctx, ast.Store):
            names.pop(each.id, None)


def _needed(nodes: Sequence[ast.stmt], read: set[str]) -> list[ast.stmt]:
    """Without steps that lead only to what has been found: variables that were `read` and are not any more."""
    needed = set[str]()
    kept = []
    for node in reversed(nodes):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Attribute() | ast.Subscript()
            ) if name in read - needed:
                continue
        needed |= names_read([node])
        kept.append(node)
    return kept[::-1]
