"""Guards of how a call is made: its arguments, the settings, the modes of the thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracejit._config import config
from tracejit._records import dataclass
from tracejit.tensor import patches
from tracejit.tracing.replay.code import Writer
from tracejit.tracing.replay.guards.guard import Guard

_ONLY_TEXT = frozenset({str})


@dataclass(frozen=True, slots=True, eq=False)
class ArgumentsAre(Guard):
    """So many positional arguments, and keywords in this order."""

    count: int
    keywords: tuple[str, ...]

    def conditions(self, writer: Writer) -> Iterator[str]:
        yield f"len(args) == {self.count}"
        yield f"tuple(kwargs) == {self.keywords!r}" if self.keywords else "not kwargs"
        if self.keywords:
            yield f"{{*map(type, kwargs)}} == {writer.pool.name(_ONLY_TEXT)}"

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
    own = config.default_dtype, config.eager, config.target, config.fuse, config.node_budget
    return *own, config.default_device, bool(patches)


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
