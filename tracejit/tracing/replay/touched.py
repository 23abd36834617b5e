"""What recorded calls write, so that a replay can be taken back: all of it is put as it was, in place."""

from __future__ import annotations

import contextlib
import io
import sys
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from types import CellType, MemberDescriptorType
from typing import Any

import numpy as np

from tracejit._records import dataclass
from tracejit.autograd.node import Handle
from tracejit.runtime.buffer import Buffer, ForeignBuffer, copy_of, overwrite
from tracejit.storage import Storage
from tracejit.tensor import Tensor
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import Source
from tracejit.tracing.replay.writes import EffectOf

Undo = Callable[[], None]
_NOTHING = object()
MOST_PLACES = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """One thing that calls write: `where` is the user's line that did it last when it was recorded."""

    kind: str
    source: Source
    name: Any
    where: str

    def __str__(self) -> str:
        shown = repr(self.name) if self.kind == "entry" else self.name
        match self.kind:
            case "attribute" | "class attribute":
                return f"{self.source}.{shown}"
            case "entry":
                return f"{self.source}[{shown}]"
            case "gradient":
                return f"{self.source}.grad"
            case "memory":
                return f"the memory of {self.source.parent}"
        return str(self.source)


class Touched:
    """All places that any recorded call of a function writes."""

    def __init__(self) -> None:
        self._places: dict[Any, Place] = {}
        self.prints = False

    @property
    def is_full(self) -> bool:
        return len(self._places) > MOST_PLACES

    def note(self, recording: Recording) -> None:
        """Adds what a recorded call has written."""
        for effect in recording.effects:
            self._note_effect(effect)
        for key in recording.taken:
            self._add("content", recording.outside[key], None, "")
        written = {slot for segment in recording.segments for _, slot in segment.writes()}
        for storage, slot in recording.outside_storages.items():
            source = recording.tensor_sources[storage]
            if storage in recording.array_storages:
                self._add("array", source, None, "")
            elif slot in written or storage.version != recording.versions[storage]:
                self._add("memory", source.attribute("storage"), None, str(storage.written))

    def _note_effect(self, effect: EffectOf) -> None:
        match effect.kind:
            case "print":
                self.prints = True
            case "attribute" | "class attribute" | "gradient" | "cell":
                self._add(effect.kind, effect.source, effect.name, effect.where)
            case "item" if type(effect.target) is dict and not isinstance(effect.name, Source):
                self._add("entry", effect.source, effect.name, effect.where)
            case _:
                self._add("content", effect.source, None, effect.where)

    def _add(self, kind: str, source: Source, name: Any, where: str) -> None:
        self._places[kind, source.identity, type(name), name] = Place(kind, source, name, where)

    def found(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Place, Any]]:
        """The places that there are in this call, each with the object that is written."""
        found = []
        for place in list(self._places.values()):
            with contextlib.suppress(Exception):  # the place is one of another variant of the call
                target = place.source.follow(args, kwargs)
                if isinstance(target, _KINDS.get(place.kind, object)):
                    found.append((place, target))
        return found


_CONTAINERS = (list, dict, set, deque)
_KINDS: dict[str, Any] = {
    "class attribute": type, "entry": dict, "gradient": (Handle, Tensor), "cell": CellType, "memory": Storage,
    "array": np.ndarray, "content": _CONTAINERS,
}  # fmt: skip
"""What is written at a place of each kind; an attribute can be anything's."""


def kept(found: list[tuple[Place, Any]]) -> Undo:
    """Notes what stands at some places now; the function that puts it back."""
    undoing = [keep(place.kind, target, place.name) for place, target in found]

    def undo() -> None:
        for each in reversed(undoing):
            each()

    return undo


def keep(kind: str, target: Any, name: Any) -> Undo:
    """Notes what stands at a place of this kind; the function that puts it back."""
    match kind:
        case "attribute":
            return _keep_attribute(target, name)
        case "class attribute":
            return _keep_class_attribute(target, name)
        case "entry":
            return _keep_entry(target, name)
        case "gradient":
            before = target.grad
            return lambda: setattr(target, "grad", before)
        case "cell":
            return _keep_cell(target)
        case "memory":
            return _keep_memory(target)
        case "array":
            return _keep_array(target)
    return _keep_content(target)


def _keep_attribute(target: Any, name: str) -> Undo:
    slot = type(target).__dict__.get(name)
    if type(slot) is MemberDescriptorType:
        before = getattr(target, name, _NOTHING)
        if before is not _NOTHING:
            return lambda: object.__setattr__(target, name, before)
        return lambda: _without_attribute(target, name)
    return _keep_entry(target.__dict__, name)


def _without_attribute(target: Any, name: str) -> None:
    with contextlib.suppress(AttributeError):
        object.__delattr__(target, name)


def _keep_class_attribute(owner: type, name: str) -> Undo:
    before = owner.__dict__.get(name, _NOTHING)
    if before is not _NOTHING:
        return lambda: setattr(owner, name, before)
    return lambda: delattr(owner, name) if name in owner.__dict__ else None


def _keep_entry(names: dict[Any, Any], key: Any) -> Undo:
    before = names.get(key, _NOTHING)
    if before is _NOTHING:
        return lambda: _without_entry(names, key)
    return lambda: names.__setitem__(key, before)


def _without_entry(names: dict[Any, Any], key: Any) -> None:
    names.pop(key, None)


def _keep_cell(cell: Any) -> Undo:
    try:
        before = cell.cell_contents
    except ValueError:  # not assigned yet

        def empty() -> None:
            with contextlib.suppress(ValueError):
                del cell.cell_contents

        return empty
    return lambda: setattr(cell, "cell_contents", before)


def _keep_memory(storage: Storage) -> Undo:
    return keep_buffer(storage, storage.realize(), storage.version)


def keep_buffer(storage: Storage, buffer: Buffer, version: int) -> Undo:
    """Notes what is in the memory that a storage has, or had at this version; the function that puts it back."""
    written = storage.written
    if isinstance(buffer, ForeignBuffer):
        put_back = _keep_array(buffer.owner)
    else:
        put_back = partial(overwrite, buffer, copy_of(buffer))

    def undo() -> None:
        storage.buffer, storage.version, storage.written = buffer, version, written
        put_back()

    return undo


def _keep_array(array: np.ndarray) -> Undo:
    if not array.flags.writeable:
        return _nothing
    before = array.copy()
    return lambda: array.__setitem__(..., before)


def _nothing() -> None:
    pass


def _keep_content(container: Any) -> Undo:
    if isinstance(container, list):
        before = list.copy(container)
        return lambda: list.__setitem__(container, slice(None), before)
    copy = container.copy()

    def undo() -> None:
        container.clear()
        container.extend(copy) if isinstance(container, deque) else container.update(copy)

    return undo


@contextlib.contextmanager
def printing_withheld(printed: list[str]) -> Iterator[None]:
    """Inside the block `print` writes to a stream of the kind of `sys.stdout` that goes nowhere; `printed` gets its text."""
    before = sys.stdout
    bytes_ = io.BytesIO()
    stream = sys.stdout = _like(before, bytes_)
    try:
        yield
    finally:
        sys.stdout = before
        if isinstance(stream, io.StringIO):
            printed.append(io.StringIO.getvalue(stream))
        else:
            io.TextIOWrapper.flush(stream)
            printed.append(bytes_.getvalue().decode(before.encoding))


def _like(stream: Any, bytes_: io.BytesIO) -> Any:
    """A stream of the same class, which may have a way of its own to be made; one of another kind is written by no replay."""
    if not isinstance(stream, io.StringIO | io.TextIOWrapper):
        return io.StringIO()
    kind: Any = type(stream)
    made = kind.__new__(kind)
    if isinstance(stream, io.StringIO):
        io.StringIO.__init__(made, newline="")
    else:
        io.TextIOWrapper.__init__(made, bytes_, encoding=stream.encoding, newline="")
    return made


@contextlib.contextmanager
def printing_noted(printed: list[str]) -> Iterator[None]:
    """Inside the block `printed` gets what is written to `sys.stdout`."""
    before: Any = sys.stdout
    noting: Any = _Noting(before, printed)
    sys.stdout = noting
    try:
        yield
    finally:
        if sys.stdout is noting:
            sys.stdout = before


class _Noting:
    """A stream, with a note of what is written to it."""

    def __init__(self, stream: Any, printed: list[str]) -> None:
        self._stream = stream
        self._printed = printed

    def write(self, text: str) -> int:
        self._printed.append(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
