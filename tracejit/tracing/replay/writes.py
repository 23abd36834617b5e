"""What a recorded call writes to outside state."""

from __future__ import annotations

from types import CodeType
from typing import Any

from tracejit._records import dataclass
from tracejit.tracing.arrays import Arrays
from tracejit.tracing.replay.sources import Source
from tracejit.tracing.replay.symbolic import Numbers


@dataclass(slots=True, eq=False)
class EffectOf:
    """A write of the call's to outside state.

    kind     how: "item", "append", "attribute", "print" and so on
    source   where the object that is written is found
    name     the attribute, or the key: an atom or its source
    target   the object itself, and `key` the key
    where    the user's line
    """

    kind: str
    source: Source
    name: Any
    value: Any
    target: Any
    key: Any = None
    where: str = ""

    @property
    def place(self) -> Source:
        """Where the value stands, of effects that leave one."""
        match self.kind:
            case "item":
                return self.source.item(self.name)
            case "cell":
                return self.source.attribute("cell_contents")
        return self.source.attribute(self.name)


class Writes(Numbers):
    """State that the call writes: real at once, so that the call goes on as Python would, and noted for replays."""

    def __init__(self, outermost: CodeType, definition: str, arrays: Arrays) -> None:
        super().__init__(outermost, definition, arrays)
        self.effects: list[EffectOf] = []
        self.overlay: dict[tuple[int, Any], Any] = {}
        """(id of an outside object, name or key) -> what the call has written there."""
        self.placed: dict[tuple[int, Any], EffectOf] = {}
        """The effect of each such write, which is that of later writes to the same place, too."""
        self.written: dict[int, Any] = {}
        """Outside containers that the call has written, by id."""
        self.appended: dict[int, tuple[int, list[Any]]] = {}
        """Outside lists to which the call has only appended: how long they were, and what was added."""
        self.added: dict[int, list[Any]] = {}
        """Keys that the call has added to outside dicts."""
        self.removed: dict[int, dict[Any, bool]] = {}
        """Keys that the call has removed from outside dicts."""
        self.viewed: set[int] = set()
        """Outside containers that native iterators may read later, by id."""
        self.taken: dict[int, Any] = {}
        """Outside containers that the call has taken over, by id."""

    def overwriting(self, kind: str, target: Any, name: Any = None) -> None:
        """Something outside is about to be written: `kind` is a `tracejit.tracing.replay.touched.Place`'s.

        `name` is the attribute, or the key of an item; None where a container is changed in another way.
        """

    def overwritten(self, place: Source, holder: Any, name: str) -> None:
        """A variable has been written, which Python does by itself: the global `name` of a dict, or what a cell holds."""

    def put(
        self, kind: str, source: Source, name: Any, value: Any, target: Any, key: Any = None
    ) -> None:
        """One value is written to `key`, or else `name`, of the target: all writes to one place are one effect."""
        place = id(target), name if key is None else key
        self.overlay[place] = value
        effect = self.placed.get(place)
        if effect is None:
            self.placed[place] = self.effect(kind, source, name, value, target, key)
        else:
            effect.value, effect.where = value, self.line()

    def effect(
        self, kind: str, source: Source, name: Any, value: Any, target: Any, key: Any = None
    ) -> EffectOf:
        effect = EffectOf(kind, source, name, value, target, key, self.line())
        self.effects.append(effect)
        return effect
