"""The functions of `operator`: they do what syntax does, and so do their hooks."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks.operators import BINARY, COMPARISONS, IN_PLACE, UNARY
from tracejit.tracing.replay.kinds import ATOMS
from tracejit.tracing.replay.recording import Recording

Hook = Callable[..., Any]
GETTERS = (operator.attrgetter, operator.itemgetter, operator.methodcaller)


def _by_syntax() -> dict[Any, tuple[str, tuple[Any, ...]]]:
    """Functions, with the hook that does the same, and what it is told first."""
    found: dict[Any, tuple[str, tuple[Any, ...]]] = {operator.truth: ("truth", ())}
    for hook, table in (
        ("binary", BINARY),
        ("in_place", IN_PLACE),
        ("compare", COMPARISONS),
        ("unary", UNARY),
    ):
        found |= {function: (hook, (name,)) for name, function in table.items()}
    found |= {operator.is_: ("compare", ("Is",)), operator.is_not: ("compare", ("IsNot",))}
    found |= {operator.getitem: ("read_item", ()), operator.delitem: ("delete_item", ())}
    return found


_BY_SYNTAX = _by_syntax()


def rule(hooks: Any, function: Any) -> Hook | None:
    """What is called in the place of a function of `operator`; None for any other."""
    if function in _BY_SYNTAX:
        name, first = _BY_SYNTAX[function]
        hook = partial(getattr(hooks, name), *first)
        return (lambda value: bool(hook(value))) if name == "truth" else hook
    if function is operator.not_:
        return lambda value: not hooks.truth(value)
    if function is operator.contains:
        return lambda container, item: hooks.compare("In", item, container)
    if function is operator.setitem:
        return lambda container, key, value: hooks.write_item(value, container, key)
    return None


def getter(hooks: Any, recording: Recording, found: Any) -> Hook:
    """What is called in the place of an `attrgetter` and the like, which never change."""
    source = recording.outside.get(id(found))
    if source is not None:
        recording.once(("getter", source.identity), g.Is(source, found))
    elif not recording.is_made(found):
        recording.deny(f"a {type(found).__name__} of unknown origin")
    kind, arguments = found.__reduce__()[:2]
    if not all(type(argument) in ATOMS for argument in arguments):
        recording.deny(f"a {type(found).__name__} holds what may change")
    if kind is operator.attrgetter:
        return lambda owner: _one_or_all([_attribute(hooks, owner, path) for path in arguments])
    if kind is operator.itemgetter:
        return lambda owner: _one_or_all([hooks.read_item(owner, key) for key in arguments])
    if kind is not operator.methodcaller:
        recording.deny("a methodcaller with keywords")
        return found
    name, *values = arguments
    return lambda owner: hooks.callee(hooks.read_attribute(owner, name))(*values)


def _attribute(hooks: Any, owner: Any, path: str) -> Any:
    for name in path.split("."):
        owner = hooks.read_attribute(owner, name)
    return owner


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)
