"""Python functions that are not instrumented, because a rule here says what calling them means for a replay."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import Any

from tracejit import _identity
from tracejit.autograd import engine
from tracejit.autograd.functional import depends_on_more
from tracejit.indexing import check_labels
from tracejit.symbols import concrete, settled
from tracejit.tensor import Tensor
from tracejit.tracing.replay.current import recorder_of
from tracejit.tracing.replay.hooks import containers, copies, library, objects
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.stand_in import StandIn


def rule(recording: Recording, function: Any) -> Callable[..., Any] | None:
    """What is called in the place of `function`; None if it is a function like others."""
    found = _RULES.get(function)
    return None if found is None else functools.partial(found, recording)


def _check_labels(recording: Recording, name: str, labels: Any, count: int) -> None:
    if recording.live and (isinstance(labels, Tensor) or type(labels) is StandIn):
        recorder_of(recording).check(check_labels, (name,), labels, (settled(count),))
    else:
        check_labels(name, labels, concrete(count))


def _each_once(recording: Recording, items: Iterable[tuple[Any, Any]]) -> Iterator[Any]:
    """Which of the objects are the same is part of what is recorded."""
    for name, item in _identity.each_once(items):
        recording.compare(item)
        yield name, item


_WRAPPED = (*functools.WRAPPER_ASSIGNMENTS, "__type_params__")


def _update_wrapper(recording: Recording, wrapper: Any, wrapped: Any, **options: Any) -> Any:
    """What the wrapper takes over is read from the wrapped function; the wrapper is the call's own."""
    if type(wrapped) is not FunctionType or not recording.is_made(wrapper):
        recording.deny(
            "functools.wraps of what is not a function, or around what the call has not made"
        )
    source = recording.outside.get(id(wrapped))
    if source is not None and recording.live:
        for name in _WRAPPED:
            if hasattr(wrapped, name):
                recording.read(source.attribute(name), getattr(wrapped, name))
        containers.expand(recording, objects.names_of(recording, wrapped), deep=False)
    return functools.update_wrapper(wrapper, wrapped, **options)


def _depends_on_more(recording: Recording, value: Any, variables: list[Any]) -> bool:
    library.leaves_of(recording, value)
    return depends_on_more(value, variables)


_RULES: dict[Any, Callable[..., Any]] = {
    check_labels: _check_labels,
    copy.copy: copies.shallow_copy,
    copy.deepcopy: copies.deep_copy,
    depends_on_more: _depends_on_more,
    engine.grad: library.gradients,
    functools.update_wrapper: _update_wrapper,
    _identity.each_once: _each_once,
}
