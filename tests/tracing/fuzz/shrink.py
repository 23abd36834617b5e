"""Makes a failing case small: drops and simplifies its statements, and drops steps, as long as it fails in the same way."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.tracing.fuzz.harness import Case, Rejected, Verdict, check, is_repeatable

Fails = Callable[[Case], bool]
SECONDS = 60.0
SECONDS_PER_STEP = 1.0


def shrink(case: Case, wrap: Callable[..., object], verdict: Verdict) -> tuple[Case, Verdict]:
    """A smaller case that differs in the same kind of way, and how."""
    verdicts = {case: verdict}
    tried: set[Case] = set()
    deadline = time.monotonic() + SECONDS

    def fails(candidate: Case) -> bool:
        if candidate in tried or time.monotonic() > deadline:
            return False
        tried.add(candidate)
        found = _checked(candidate, wrap)
        if found is None or found.kind != verdict.kind:
            return False
        verdicts[candidate] = found
        return True

    case = replace(case, steps=case.steps[: verdict.step + 1])
    verdicts[case] = verdict
    before = None
    while case != before:
        before = case
        case = _without_statements(_without_steps(case, fails), fails)
        if case == before:
            case = _with_simpler_expressions(case, fails)
    return case, verdicts[case]


def _checked(case: Case, wrap: Callable[..., object]) -> Verdict | None:
    try:
        verdict = check(case, wrap, seconds=SECONDS_PER_STEP)
        return verdict if verdict or is_repeatable(case) else None
    except (Rejected, SyntaxError):
        return None


def _without_steps(case: Case, fails: Fails) -> Case:
    for start, stop in _chunks(len(case.steps)):
        kept = case.steps[:start] + case.steps[stop:]
        if len(kept) < len(case.steps) and fails(candidate := replace(case, steps=kept)):
            case = candidate
    return case


def _chunks(length: int) -> Iterator[tuple[int, int]]:
    """From the end, in halves, quarters and so on, the places that can be left out; later ones hold when later parts are gone."""
    size = length
    while size:
        for start in range(length - size, -size, -size):
            yield max(start, 0), start + size
        size //= 2


def _without_statements(case: Case, fails: Fails) -> Case:
    tree = ast.parse(case.source)
    place = 0
    while place < len(bodies := list(_bodies(tree))):
        body = bodies[place]
        for start, stop in _chunks(len(body)):
            case = _kept_if_it_fails(case, tree, body, start, stop, [], fails)
        for start in reversed(range(len(body))):
            if inside := getattr(body[start], "body", None):
                case = _kept_if_it_fails(case, tree, body, start, start + 1, inside, fails)
        place += 1
    return case


def _bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every list of statements, outer ones first."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            if isinstance(body := getattr(node, name, None), list) and body:
                yield body


def _kept_if_it_fails(
    case: Case,
    tree: ast.Module,
    body: list[ast.stmt],
    start: int,
    stop: int,
    instead: list[ast.stmt],
    fails: Fails,
) -> Case:
    """The case with `body[start:stop]` replaced, in the tree too, or else both as they were."""
    before = list(body)
    body[start:stop] = instead
    if not body:
        body.append(ast.Pass())
    smaller = _smaller(case, tree, fails)
    if smaller is None:
        body[:] = before
    return smaller or case


def _with_simpler_expressions(case: Case, fails: Fails) -> Case:
    tree = ast.parse(case.source)
    place = 0
    while place < len(nodes := list(_expressions(tree))):
        parent, name, index, node = nodes[place]
        for child in _simpler(node):
            _put(parent, name, index, child)
            if smaller := _smaller(case, tree, fails):
                case = smaller
                break
            _put(parent, name, index, node)
        else:
            place += 1
    return case


def _expressions(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.expr]]:
    """Every expression, with the field of the parent, and the place in it, where it stands."""
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if isinstance(value, ast.expr):
                yield parent, name, None, value
            elif isinstance(value, list):
                for index, part in enumerate(value):
                    if isinstance(part, ast.expr):
                        yield parent, name, index, part


def _put(parent: ast.AST, name: str, index: int | None, node: ast.expr) -> None:
    if index is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[index] = node


def _simpler(node: ast.expr) -> Iterator[ast.expr]:
    """Its parts, which may take its place."""
    if isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)) or isinstance(node, ast.Name):
        return
    yield from (part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr))
    if isinstance(node, ast.Call):
        yield from (keyword.value for keyword in node.keywords)
        for place in range(len(node.args)):
            fewer = node.args[:place] + node.args[place + 1 :]
            yield ast.Call(node.func, fewer, node.keywords)


def _smaller(case: Case, tree: ast.Module, fails: Fails) -> Case | None:
    """The case with the text of the tree, if that is shorter and fails."""
    try:
        source = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    except ValueError:  # not a tree that can be written
        return None
    candidate = replace(case, source=source)
    return candidate if len(source) < len(case.source) and fails(candidate) else None
