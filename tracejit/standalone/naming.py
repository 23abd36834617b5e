"""What a user would call a piece of state: `model.0.weight`, of the paths that lead to it the one by the tables of modules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.sources import Source

_TABLES = frozenset({"_parameters", "_buffers", "_modules"})
_SILENT = frozenset(
    {"__dict__", "__closure__", "__func__", "__self__", "__globals__", "__wrapped__"}
)
_CLOSURE = "closure variable "
Parts = tuple[str, ...]
_ROUND = 1 << 30
"""More steps than any path has that does not lead round to where it began."""


class Names:
    """Names of sources, by what a recording has found to be one object."""

    def __init__(self, guards: Iterable[g.Guard], function: Any) -> None:
        self._function = function
        self._same: dict[Any, list[Source]] = {}
        """Other paths to the same object, by the identity of each."""
        self._known: dict[Any, tuple[int, Parts]] = {}
        self._taken: dict[str, Any] = {}
        for guard in guards:
            if isinstance(guard, g.SameObject) and guard.same:
                for one, other in ((guard.source, guard.other), (guard.other, guard.source)):
                    self._same.setdefault(one.identity, []).append(other)

    def of(self, source: Source) -> str:
        """A name that no other source has."""
        short = ".".join(self._best(source, ())[1]) or "value"
        name, count = short, 1
        while self._taken.setdefault(name, source.identity) != source.identity:
            count += 1
            name = f"{short}#{count}"
        return name

    def _best(self, source: Source, above: tuple[Any, ...]) -> tuple[int, Parts]:
        """Of all paths to the object that with the fewest steps past the tables of modules, then the shortest one."""
        key = source.identity
        if key in self._known:
            return self._known[key]
        ways = [self._path(source, (*above, key))]
        ways += [
            self._path(other, (*above, key))
            for other in self._same.get(key, ())
            if other.identity not in above
        ]
        best = min(ways, key=lambda way: (way[0], len(way[1])))
        if not above:
            self._known[key] = best
        return best

    def _path(self, source: Source, above: tuple[Any, ...]) -> tuple[int, Parts]:
        """How many of the steps are none by a module's tables, and the parts of the name."""
        parent = source.parent
        if parent is None:
            return 0, self._root(source)
        if parent.identity in above:
            return _ROUND, ()
        if (table := _table_of(source)) is not None:
            passed, parts = self._best(table, above)
            return passed, (*parts, str(source.name))
        passed, parts = self._best(parent, above)
        name = source.name
        if name == "cell_contents" or (source.step == "attribute" and name in _SILENT):
            return passed, parts
        if parent.step == "constant" and parent.label in ("globals", "builtins"):
            return passed, (str(name),)
        if source.label.startswith(_CLOSURE):
            return passed, (source.label.removeprefix(_CLOSURE),)
        if isinstance(name, Source):
            key = ".".join(self._best(name, above)[1])
            *rest, last = parts or ("",)
            return passed + 1, (*rest, f"{last}[{key}]")
        return passed + 1, (*parts, str(name))

    def _root(self, source: Source) -> Parts:
        if source.step in ("argument", "keyword"):
            return (source.label or str(source.name),)
        if source.name is self._function:
            return ()
        label = source.label.removeprefix(_CLOSURE)
        return () if label == "globals" else (label,)


def _table_of(source: Source) -> Source | None:
    """The module in whose table of parameters, buffers or modules an item stands."""
    table = source.parent
    if source.step != "item" or table is None or table.step == "constant":
        return None
    if type(table.name) is not str or table.name not in _TABLES:
        return None
    names = table.parent
    if table.step == "attribute":
        return names
    if names is not None and names.step == "attribute" and names.name == "__dict__":
        return names.parent
    return None
