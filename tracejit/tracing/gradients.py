"""Backward passes of what compiled functions returned are recorded, too, and run as one program."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

from tracejit.autograd import engine
from tracejit.autograd.node import Edge, Node
from tracejit.tensor import Tensor
from tracejit.tracing.programs import Programs
from tracejit.tracing.session import is_recording, recording

_made_by: WeakKeyDictionary[Node, Programs] = WeakKeyDictionary()
"""The nodes that made the results of compiled calls."""


def remember(result: Any, programs: Programs) -> None:
    """Lets backward passes through the tensors of a compiled call's result be recorded with its `programs`."""
    if type(result) is Tensor:
        _remember_tensor(result, programs)
        return
    pending, seen = [result], set[int]()
    while pending:
        value = pending.pop()
        kind = type(value)
        if issubclass(kind, Tensor):
            _remember_tensor(value, programs)
        elif issubclass(kind, tuple | list | dict) and id(value) not in seen:
            seen.add(id(value))
            pending += _parts(value, kind)


def _remember_tensor(tensor: Tensor, programs: Programs) -> None:
    handle = tensor.autograd
    if handle is not None and handle.node is not None:
        remember_node(handle.node, programs)


def remember_node(node: Node, programs: Programs) -> None:
    """Lets backward passes from a node be recorded with these programs."""
    _made_by[node] = programs


def _parts(container: Any, kind: type) -> Iterable[Any]:
    """What a container holds, without the methods that its class may have of its own."""
    if issubclass(kind, dict):
        return dict.values(container)
    return tuple.__iter__(container) if issubclass(kind, tuple) else list.__iter__(container)


def _recorded(edges: list[Edge]) -> AbstractContextManager[Any]:
    if not _made_by or is_recording():
        return nullcontext()
    programs = _first_known(edges)
    return nullcontext() if programs is None else recording(programs)


def _first_known(edges: Iterable[Edge | None]) -> Programs | None:
    """The programs of the first compiled call that a gradient from `edges` comes through."""
    stack = [edge for edge in edges if isinstance(edge, Node)]
    seen: set[Node] = set(stack)
    while stack:
        node = stack.pop()
        if node in _made_by:
            return _made_by[node]
        below = [edge for edge in node.edges if isinstance(edge, Node) and edge not in seen]
        seen.update(below)
        stack += below
    return None


engine.around.append(_recorded)
