"""Guards: what a replay checks of the state before the call. They run no user code, and compare types before values.

Each guard gives conditions; the first that does not hold ends the attempt, and tells which guard it was. A guard that cannot
even be evaluated (a key is gone) does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracejit._config import config
from tracejit.autograd.tape import edge_of
from tracejit.ir.aval import Aval
from tracejit.ops.op import Layout
from tracejit.runtime.buffer import Buffer
from tracejit.tensor import Tensor
from tracejit.tracing.replay.code import Writer, expression
from tracejit.tracing.replay.sources import Source


class Missing:
    """Stands for an attribute that is not there."""

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """Something that has to be as it was; `where` is the user's line that depended on it."""

    def conditions(self, writer: Writer) -> Iterator[str]:
        """Expressions that are true where the guard holds; lines may be added between them."""
        raise NotImplementedError

    def now(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """What stands there now, for explanations."""
        source = getattr(self, "source", None)
        if source is None:
            return ""
        try:
            return _shown(source.follow(args, kwargs))
        except (AttributeError, KeyError, IndexError, ValueError, TypeError):
            return "missing"


def _shown(value: Any) -> str:
    if type(value) in (bool, int, float, str, bytes, type(None)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, Tensor):
        return str(value.aval)
    return f"a {type(value).__name__}"


@dataclass(frozen=True, slots=True, eq=False)
class ArgumentsAre(Guard):
    """So many positional arguments, and keywords in this order."""

    count: int
    keywords: tuple[str, ...]

    def conditions(self, writer: Writer) -> Iterator[str]:
        yield f"len(args) == {self.count}"
        yield f"tuple(kwargs) == {self.keywords!r}" if self.keywords else "not kwargs"

    def __str__(self) -> str:
        named = "".join(f", {name}=" for name in self.keywords)
        return f"called with {self.count} positional arguments{named}"

    def now(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        return f"{len(args)} positional arguments and keywords {list(kwargs)}"


@dataclass(frozen=True, slots=True, eq=False)
class ModeIs(Guard):
    """A mode of the library or of the thread, which a function without arguments tells."""

    name: str
    read: Any
    value: Any

    def conditions(self, writer: Writer) -> Iterator[str]:
        relation = "is" if type(self.value) is bool else "=="
        yield f"{writer.pool.name(self.read)}() {relation} {writer.pool.literal(self.value)}"

    def __str__(self) -> str:
        return f"{self.name} is {self.value}"

    def now(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        return repr(self.read())


def settings() -> tuple[Any, ...]:
    """The settings that decide what a program computes and how."""
    return config.default_dtype, config.eager, config.target, config.fuse, config.node_budget


@dataclass(frozen=True, slots=True, eq=False)
class SettingsAre(Guard):
    """No setting has changed, or all that matter have come back."""

    epoch: int
    values: tuple[Any, ...]

    def conditions(self, writer: Writer) -> Iterator[str]:
        pool = writer.pool
        values = f"{pool.name(settings)}() == {pool.name(self.values)}"
        yield f"{pool.name(config)}.epoch == {pool.name(self.epoch)} or {values}"

    def __str__(self) -> str:
        return f"the settings are default_dtype={self.values[0]}, eager={self.values[1]!r}"

    def now(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        return f"default_dtype={config.default_dtype}, eager={config.eager!r}"


@dataclass(frozen=True, slots=True, eq=False)
class Equals(Guard):
    """An immutable value of exactly this type and value."""

    source: Source
    value: Any

    def conditions(self, writer: Writer) -> Iterator[str]:
        found, value, pool = writer.read(self.source), self.value, writer.pool
        kind = type(value)
        if value is None or value is True or value is False or value is Ellipsis:
            yield f"{found} is {value!r}"
        elif kind is float and value != value:
            yield f"type({found}) is float and {found} != {found}"
        elif kind in (float, complex) and (value == 0 or kind is complex):
            yield f"type({found}) is {kind.__name__} and repr({found}) == {repr(value)!r}"
        elif kind in (int, str, float) and (kind is not float or math.isfinite(value)):
            yield f"type({found}) is {kind.__name__} and {found} == {value!r}"
        else:
            yield f"type({found}) is {pool.name(kind)} and {found} == {pool.name(value)}"

    def __str__(self) -> str:
        return f"{self.source} is {_shown(self.value)}"


@dataclass(frozen=True, slots=True, eq=False)
class Is(Guard):
    """This very object: a function, class or module."""

    source: Source
    value: Any

    def conditions(self, writer: Writer) -> Iterator[str]:
        yield f"{writer.read(self.source)} is {writer.pool.name(self.value)}"

    def __str__(self) -> str:
        return f"{self.source} is the same {type(self.value).__name__}"


@dataclass(frozen=True, slots=True, eq=False)
class TypeIs(Guard):
    source: Source
    kind: type

    def conditions(self, writer: Writer) -> Iterator[str]:
        yield f"type({writer.read(self.source)}) is {writer.pool.name(self.kind)}"

    def __str__(self) -> str:
        return f"{self.source} is a {self.kind.__name__}"


@dataclass(frozen=True, slots=True, eq=False)
class SameObject(Guard):
    """Two sources lead to one object, or do not."""

    source: Source
    other: Source
    same: bool

    def conditions(self, writer: Writer) -> Iterator[str]:
        relation = "is" if self.same else "is not"
        yield f"{writer.read(self.source)} {relation} {writer.read(self.other)}"

    def __str__(self) -> str:
        return f"{self.source} {'is' if self.same else 'is not'} {self.other}"


@dataclass(frozen=True, slots=True, eq=False)
class LengthIs(Guard):
    source: Source
    length: int

    def conditions(self, writer: Writer) -> Iterator[str]:
        yield f"len({writer.read(self.source)}) == {self.length}"

    def __str__(self) -> str:
        return f"len of {self.source} is {self.length}"


@dataclass(frozen=True, slots=True, eq=False)
class KeysAre(Guard):
    """A dict's keys, or a set's elements, in their order; objects are compared by identity."""

    source: Source
    keys: tuple[Any, ...]

    def conditions(self, writer: Writer) -> Iterator[str]:
        found = writer.read(self.source)
        if all(type(key) is str for key in self.keys):
            yield f"[*{found}] == {writer.pool.listed(self.keys)}"
        else:
            yield f"{writer.pool.name(_typed)}({found}) == {writer.pool.name(_typed(self.keys))}"

    def __str__(self) -> str:
        return f"the keys of {self.source} are {_listed(self.keys)}"


def _typed(keys: Any) -> tuple[tuple[type, Any], ...]:
    return tuple((type(key), repr(key) if type(key) in (float, complex) else key) for key in keys)


def _listed(keys: Sequence[Any]) -> str:
    shown = ", ".join(map(repr, keys[:6]))
    return shown + (", ..." if len(keys) > 6 else "")


@dataclass(frozen=True, slots=True, eq=False)
class KeyIn(Guard):
    """A key, or an attribute in an object's `__dict__`, is there or is not."""

    source: Source
    key: Any
    present: bool

    def conditions(self, writer: Writer) -> Iterator[str]:
        key = self.key
        text = writer.read(key) if isinstance(key, Source) else writer.pool.literal(key)
        yield f"{text} {'in' if self.present else 'not in'} {writer.read(self.source)}"

    def __str__(self) -> str:
        key = str(self.key) if isinstance(self.key, Source) else repr(self.key)
        return f"{key} is {'' if self.present else 'not '}in {self.source}"


@dataclass(frozen=True, slots=True, eq=False)
class ClassHas(Guard):
    """Looking up a name on a class gives this, or nothing."""

    owner: type
    name: str
    value: Any

    def conditions(self, writer: Writer) -> Iterator[str]:
        pool = writer.pool
        owner = pool.name(self.owner)
        if self.value is MISSING:
            raise AssertionError("what is missing is said of all names at once: ClassLacks")
        elif hasattr(self.value, "__func__") and hasattr(self.value, "__self__"):
            yield f"{owner}.{self.name}.__func__ is {pool.name(self.value.__func__)}"
        else:
            yield f"{owner}.{self.name} is {pool.name(self.value)}"

    def __str__(self) -> str:
        return f"{self.owner.__name__}.{self.name} is as it was"


@dataclass(frozen=True, slots=True, eq=False)
class ClassLacks(Guard):
    """Looking up any of these names on a class gives nothing: a look-up that fails costs more than to ask each class for all."""

    owner: type
    names: tuple[str, ...]
    order: tuple[type, ...]

    def conditions(self, writer: Writer) -> Iterator[str]:
        pool = writer.pool
        yield f"{pool.name(self.owner)}.__mro__ is {pool.name(self.order)}"
        for base in self.order:
            if base is not object:
                # The view is one of the class's own dict, so that it shows what comes later.
                yield f"{pool.names_on(base)}.isdisjoint({pool.name(self.names)})"

    def __str__(self) -> str:
        return f"{self.owner.__name__} has no {', '.join(self.names)}"


@dataclass(frozen=True, slots=True, eq=False)
class ClassEntry(Guard):
    """The class's own `__dict__` holds this under a name, or nothing."""

    owner: type
    name: str
    value: Any

    def conditions(self, writer: Writer) -> Iterator[str]:
        pool = writer.pool
        found = f"{pool.name(self.owner)}.__dict__.get({self.name!r}, {pool.name(MISSING)})"
        yield f"{found} is {pool.name(self.value)}"

    def __str__(self) -> str:
        return f"{self.owner.__name__}.__dict__[{self.name!r}] is as it was"


@dataclass(frozen=True, slots=True, eq=False)
class BasesAre(Guard):
    """The order in which a class is searched."""

    owner: type
    order: tuple[type, ...]

    def conditions(self, writer: Writer) -> Iterator[str]:
        yield f"{writer.pool.name(self.owner)}.__mro__ == {writer.pool.name(self.order)}"

    def __str__(self) -> str:
        return f"{self.owner.__name__} has the same bases"


@dataclass(frozen=True, slots=True, eq=False)
class CodeIs(Guard):
    """A function has the same code, and as many defaults, which are guarded one by one."""

    source: Source
    code: Any
    defaults: tuple[Any, ...] | None

    def conditions(self, writer: Writer) -> Iterator[str]:
        found, pool = writer.read(self.source), writer.pool
        yield f"{found}.__code__ is {pool.name(self.code)}"
        if self.defaults is None:
            yield f"{found}.__defaults__ is None"
        else:
            yield f"len({found}.__defaults__ or ()) == {len(self.defaults)}"

    def __str__(self) -> str:
        return f"{self.source} has the same code"


@dataclass(frozen=True, slots=True, eq=False)
class TruthIs(Guard):
    """A container is empty, or is not."""

    source: Source
    truth: bool

    def conditions(self, writer: Writer) -> Iterator[str]:
        found = writer.read(self.source)
        yield found if self.truth else f"not {found}"

    def __str__(self) -> str:
        return f"{self.source} is {'not ' if self.truth else ''}empty"


@dataclass(frozen=True, slots=True, eq=False)
class NumberIs(Guard):
    """A Python number of this type, whose value is an input of the replay."""

    source: Source
    kind: type
    slot: int

    def conditions(self, writer: Writer) -> Iterator[str]:
        found = writer.read(self.source)
        yield f"type({found}) is {self.kind.__name__}"
        writer.add(f"E[{self.slot}] = {found}")

    def __str__(self) -> str:
        return f"{self.source} is any {self.kind.__name__}"


@dataclass(frozen=True, slots=True, eq=False)
class Computed(Guard):
    """Not a condition: the value of an expression of numbers. What it raises, Python is to raise."""

    slot: int
    function: Any
    operands: tuple[Any, ...]

    def conditions(self, writer: Writer) -> Iterator[str]:
        function, kind = getattr(self.function, "checked", (self.function, None))
        writer.add(f"E[{self.slot}] = {expression(writer.pool, function, self.operands)}")
        if kind is not None:
            yield f"type(E[{self.slot}]) is {kind.__name__}"

    def __str__(self) -> str:
        return f"{getattr(self.function, '__name__', self.function)} of numbers can be computed"


@dataclass(frozen=True, slots=True, eq=False)
class ResultIs(Guard):
    """A number that was computed from others is this one, or a comparison of them has this outcome."""

    slot: int
    value: Any
    text: str

    def conditions(self, writer: Writer) -> Iterator[str]:
        found, value, pool = f"E[{self.slot}]", self.value, writer.pool
        if value is True or value is False:
            yield f"{found} is {value!r}"
        else:
            yield f"type({found}) is {pool.name(type(value))} and repr({found}) == {repr(value)!r}"

    def __str__(self) -> str:
        return f"{self.text} is {self.value!r}"


@dataclass(frozen=True, slots=True, eq=False)
class TensorIs(Guard):
    """A tensor of this dtype, shape, layout and standing on the tape; its memory becomes slot `slot`."""

    source: Source
    kind: type
    aval: Aval
    layout: Layout
    grad: str
    slot: int
    path: tuple[Any, ...] = ()

    def conditions(self, writer: Writer) -> Iterator[str]:
        found, pool = writer.read(self.source), writer.pool
        yield f"type({found}) is {pool.name(self.kind)}"
        yield f"{found}.aval is {pool.name(self.aval)}"
        layout = pool.name(self.layout)
        yield f"{found}.layout is {layout} or {found}.layout == {layout}"
        yield from self._tape(writer, found)
        storage = writer.read(self.source.attribute("storage"))
        yield f"{storage}.pending is None"
        writer.add(f"E[{self.slot}] = {writer.read(_buffer(self.source))}")

    def _tape(self, writer: Writer, found: str) -> Iterator[str]:
        if self.grad == "view":
            yield f"{found}.origin is not None"
            yield f"{writer.pool.name(view_path)}({found}) == {writer.pool.name(self.path)}"
            yield f"{writer.pool.name(edge_of)}({found}) is None"
            return
        yield f"{found}.origin is None"
        handle = writer.read(self.source.attribute("autograd"))
        match self.grad:
            case "none":
                yield f"{handle} is None or ({handle}.node is None and not {handle}.requires_grad)"
            case "leaf":
                yield f"{handle} is not None and {handle}.node is None and {handle}.requires_grad"
                yield f"not {handle}.hooks"
            case "made":
                yield f"{handle} is not None and {handle}.node is not None"

    def __str__(self) -> str:
        how = {"none": "", "leaf": ", a leaf", "made": ", on the tape", "view": ", a view"}
        return f"{self.source} is {self.aval}{how[self.grad]}"


def view_path(tensor: Any) -> tuple[Any, ...]:
    """How a view is made from its base: the ops with their parameters, and what the base is."""
    path: list[Any] = []
    while tensor.origin is not None:
        tensor, op, params = tensor.origin
        path.append((op, tuple(params.items())))
    return (*path, tensor.aval, tensor.layout, type(tensor))


@dataclass(frozen=True, slots=True, eq=False)
class ArrayIs(Guard):
    """A NumPy array of this dtype, shape and strides that can be written; its memory becomes slot `slot`."""

    source: Source
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    slot: int

    def conditions(self, writer: Writer) -> Iterator[str]:
        found, pool = writer.read(self.source), writer.pool
        yield f"type({found}) is {pool.name(np.ndarray)}"
        yield f"{found}.dtype == {pool.name(self.dtype)}"
        yield f"{found}.shape == {self.shape!r} and {found}.strides == {self.strides!r}"
        yield f"{found}.flags.num & {ALIGNED_AND_WRITEABLE} == {ALIGNED_AND_WRITEABLE}"
        writer.add(f"E[{self.slot}] = {pool.name(Buffer.wrap)}({found})")

    def __str__(self) -> str:
        return f"{self.source} is an array of {self.dtype}{list(self.shape)}"


ALIGNED_AND_WRITEABLE = 0x500


@dataclass(frozen=True, slots=True, eq=False)
class AllDistinct(Guard):
    """Where the call writes to an object, other sources of its type lead to other objects."""

    sources: tuple[Source, ...]

    def conditions(self, writer: Writer) -> Iterator[str]:
        found = ", ".join(map(writer.read, self.sources))
        yield f"len({{*map(id, ({found}))}}) == {len(self.sources)}"

    def __str__(self) -> str:
        names = ", ".join(map(str, self.sources[:4]))
        return f"{names}{', ...' if len(self.sources) > 4 else ''} are different objects"


@dataclass(frozen=True, slots=True, eq=False)
class Differ(Guard):
    """Objects that were compared by identity, as keys are, are different ones; `sources` grows while the segment lasts."""

    sources: list[Source]

    def conditions(self, writer: Writer) -> Iterator[str]:
        if len(self.sources) > 1:
            found = ", ".join(map(writer.read, self.sources))
            yield f"len({{*map(id, ({found}))}}) == {len(self.sources)}"

    def __str__(self) -> str:
        names = ", ".join(map(str, self.sources[:4]))
        return f"{names}{', ...' if len(self.sources) > 4 else ''} are different objects"


def _buffer(source: Source) -> Source:
    return source.attribute("storage").attribute("buffer")


@dataclass(frozen=True, slots=True, eq=False)
class MemoryApart(Guard):
    """Memory that is written, of the first sources, belongs to nothing else that is used.

    places   (source of a tensor, None) or, of an array, (its source, the slot of its memory)
    """

    places: tuple[tuple[Source, int | None], ...]
    written: int

    def conditions(self, writer: Writer) -> Iterator[str]:
        # Not from slots, which may hold copies by now.
        buffers = [
            writer.read(_buffer(source)) if slot is None else f"E[{slot}]"
            for source, slot in self.places
        ]
        listed = ", ".join(buffers)
        yield f"len({{{listed}}}) == {len(buffers)}"
        own = " and ".join(f"{buffer}._block is not None" for buffer in buffers)
        yield f"({own}) or {writer.pool.name(lie_apart)}(({listed}), {self.written})"

    def __str__(self) -> str:
        names = ", ".join(str(source) for source, _ in self.places[: min(self.written, 4)])
        return f"{names}: the memory, which is written, belongs to nothing else"


def lie_apart(buffers: tuple[Buffer, ...], written: int) -> bool:
    """Whether the first `written` of the buffers share no memory with any other; some are of memory of others."""
    first = {*buffers[:written]}
    extents = sorted((*extent(buffer), buffer in first) for buffer in buffers)
    return not any(
        second[0] < first[1] and (first[2] or second[2])
        for place, first in enumerate(extents)
        for second in extents[place + 1 :]
    )


def extent(buffer: Buffer) -> tuple[int, int]:
    """The stretch of memory that a buffer may reach."""
    if buffer.foreign:
        low, high = np.lib.array_utils.byte_bounds(buffer._array)  # type: ignore[arg-type]  # foreign
        return int(low), int(high)
    return buffer.address, buffer.address + buffer.nbytes
