"""Objects that a recorded call meets: from outside, or made by it."""

from __future__ import annotations

import weakref
from types import CodeType
from typing import Any

from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.kinds import is_fixed, is_library
from tracejit.tracing.replay.path import Path
from tracejit.tracing.replay.segments import Segment
from tracejit.tracing.replay.sources import Source


class Objects(Path):
    """Each object is an outside one, with a path to it, or the call's own."""

    def __init__(self, outermost: CodeType, definition: str) -> None:
        super().__init__(outermost, definition)
        self.outside: dict[int, Source] = {}
        """id of an outside object -> its source."""
        self.made: dict[int, weakref.ref[Any] | Any] = {}
        """Objects of user classes, functions and iterators that the call has made."""
        self.compared: dict[int, Source] = {}
        """Outside objects that were compared by identity, by id."""
        self._differ: tuple[Segment | None, g.Differ] = None, g.Differ([])
        self._held: list[Any] = []
        """What has to live as long as the recording, so that its id stays its own."""
        self._by_id: dict[int, Any] = {}

    def know(self, value: Any, source: Source) -> None:
        """Notes where an outside object is found, which needs no guard of its own."""
        self.outside[id(value)] = source
        self._by_id[id(value)] = value

    def is_outside(self, value: Any) -> bool:
        return id(value) in self.outside

    def held(self, key: int) -> Any:
        """The outside object of an id."""
        return self._by_id.get(key)

    def make(self, value: Any) -> Any:
        """Notes that the call itself has made `value`."""
        try:
            self.made[id(value)] = weakref.ref(value)
        except TypeError:
            self.made[id(value)] = value
        return value

    def is_made(self, value: Any) -> bool:
        held = self.made.get(id(value))
        return (held() if isinstance(held, weakref.ref) else held) is value

    def made_object(self, key: int) -> Any:
        held = self.made[key]
        return held() if isinstance(held, weakref.ref) else held

    def compare(self, value: Any) -> None:
        """`value` is compared by identity with objects that come before or after: that it is none of those is guarded."""
        source = self.outside.get(id(value))
        if source is None or id(value) in self.compared or not self.live:
            return
        self.compared[id(value)] = source
        segment, guard = self._differ
        if segment is self.segment:
            guard.sources.append(source)
        else:
            guard = g.Differ([*self.compared.values()])
            self._differ = self.segment, guard
            self.guard(guard)

    is_library = staticmethod(is_library)
    is_fixed_object = staticmethod(is_fixed)
