"""`print`: text on an ordinary standard output is an effect, in its place among the others."""

from __future__ import annotations

import codecs
import io
import sys
from types import MethodDescriptorType
from typing import Any

from tracejit.autograd.tape import no_grad
from tracejit.symbols import concrete
from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import text
from tracejit.tracing.replay.kinds import found_on
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import constant

_OPTIONS = {"sep": (str, type(None)), "end": (str, type(None)), "flush": (bool,)}


def print_(hooks: Any, recording: Recording, *args: Any, **kwargs: Any) -> None:
    if recording.live:
        _note(recording, args, kwargs)
    with recording.allowed():
        print(*map(concrete, args), **{name: concrete(value) for name, value in kwargs.items()})


def _note(recording: Recording, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    stream = sys.stdout
    if not _is_ordinary(stream) or not all(
        type(value) in _OPTIONS.get(name, ()) for name, value in kwargs.items()
    ):
        recording.deny(
            "print writes to a stream of its own, or that is not of UTF-8, or with options that may change"
        )
        return
    shown = tuple(_as_of_now(recording, value) for value in args)
    source = constant(sys.__dict__, "sys").item("stdout")
    recording.once(("printed", source.identity), g.TypeIs(source, type(stream)))
    for name in ("closed", "encoding"):
        asked = source.attribute(name)
        recording.once(("printed", asked.identity), g.Equals(asked, getattr(stream, name)))
    recording.effect("print", source, tuple(kwargs.items()), shown, stream)


def _is_ordinary(stream: Any) -> bool:
    """Whether writing to the stream is native code, and it takes any text."""
    writes = type(found_on(type(stream), "write")) is MethodDescriptorType
    return (
        isinstance(stream, io.TextIOWrapper | io.StringIO)
        and writes
        and "write" not in vars(stream)
        and not stream.closed
        and codecs.lookup(stream.encoding or "utf-8").name == "utf-8"
    )


def _as_of_now(recording: Recording, value: Any) -> Any:
    """What is printed, as it is now: text of what may still change, and a copy of a tensor."""
    if type(value) is Tensor:
        with no_grad():
            return value.detach().copy().requires_grad_(value.requires_grad)
    if text.is_atom(value):
        return value
    text.become_text(recording, value)
    return str(value) if recording.live else value
