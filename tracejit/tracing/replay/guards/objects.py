"""Guards of objects: which they are, of which class, and which of them are one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracejit._records import dataclass
from tracejit.tracing.replay.code import Writer
from tracejit.tracing.replay.guards.guard import Guard, Was
from tracejit.tracing.replay.sources import Source


@dataclass(frozen=True, slots=True, eq=False)
class Is(Guard):
    """This very object: a function, class or module."""

    source: Source
    value: Any

    def conditions(self, writer: Writer) -> Iterator[str]:
        yield f"{writer.read(self.source)} is {writer.name(self.value)}"

    def kept(self) -> Guard:
        return Is(self.source, Was(self.kind))

    @property
    def kind(self) -> str:
        """The name of the object's class."""
        value = self.value
        return value.__name__ if type(value) is Was else type(value).__name__

    def __str__(self) -> str:
        return f"{self.source} is the same {self.kind}"


@dataclass(frozen=True, slots=True, eq=False)
class TypeIs(Guard):
    source: Source
    kind: type | Was

    def conditions(self, writer: Writer) -> Iterator[str]:
        yield f"type({writer.read(self.source)}) is {writer.name(self.kind)}"

    def kept(self) -> Guard:
        return TypeIs(self.source, Was(self.kind.__name__))

    def __str__(self) -> str:
        return f"{self.source} is a {self.kind.__name__}"


@dataclass(frozen=True, slots=True, eq=False)
class CodeIs(Guard):
    """A function has the same code, and so many defaults (None: there is no tuple of them), which are guarded one by one."""

    source: Source
    code: Any
    defaults: int | None

    def conditions(self, writer: Writer) -> Iterator[str]:
        found, pool = writer.read(self.source), writer.pool
        yield f"{found}.__code__ is {pool.name(self.code)}"
        if self.defaults is None:
            yield f"{found}.__defaults__ is None"
        else:
            yield f"len({found}.__defaults__ or ()) == {self.defaults}"

    def __str__(self) -> str:
        return f"{self.source} has the same code"


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
