"""Guards that a recording goes on adding to after it has made them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracejit.tracing.replay.code import Writer
from tracejit.tracing.replay.guards import Guard, are_distinct
from tracejit.tracing.replay.sources import Source


@dataclass(frozen=True, slots=True, eq=False)
class Differ(Guard):
    """Objects that were compared by identity, as keys are, are different ones; `sources` grows while the segment lasts."""

    sources: list[Source]

    def conditions(self, writer: Writer) -> Iterator[str]:
        if len(self.sources) > 1:
            found = ", ".join(map(writer.read, self.sources))
            yield f"{writer.pool.name(are_distinct)}({found})"

    def __str__(self) -> str:
        names = ", ".join(map(str, self.sources[:4]))
        return f"{names}{', ...' if len(self.sources) > 4 else ''} are different objects"
