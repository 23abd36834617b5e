"""Sources: the path from a call's arguments, or from an object that cannot be replaced, to a piece of outside state."""

from __future__ import annotations

from typing import Any

from tracejit.tracing.replay.lasting import GONE, found, hold


class Source:
    """Where to find a value again. Sources with equal `identity` are the same path, while the objects in it live.

    parent    the source that the path goes on from; None at its root
    step      how: "argument", "keyword" or "constant" at a root, then "attribute" or "item"
    name      the place among the arguments, the object itself, the attribute, or the key
    """

    __slots__ = ("_name", "identity", "label", "parent", "step")

    def __init__(
        self, parent: Source | None, step: str, name: Any, label: str = "", *, holds: bool = False
    ) -> None:
        """`holds`: an object in the path lives as long as the path; else only if it lasts anyway."""
        self.parent = parent
        self.step = step
        self._name = name if holds or type(name) in _PLAIN else hold(name)
        self.label = label
        base = None if parent is None else parent.identity
        self.identity: tuple[Any, ...] = (base, step, _distinct(name, step))

    @property
    def name(self) -> Any:
        return found(self._name)

    @property
    def holds(self) -> bool:
        """Whether the object that the path begins with lives as long as the path."""
        return self._name is self.name

    def attribute(self, name: str) -> Source:
        """`source.name`, an attribute that no user code computes."""
        return Source(self, "attribute", name)

    def item(self, key: Any, label: str = "") -> Source:
        """`source[key]` of a dict, list or tuple; a key that is a source stands for the object that it leads to."""
        return Source(self, "item", key, label)

    def entry(self, name: str) -> Source:
        """The attribute `name` in the object's own `__dict__`."""
        return self.attribute("__dict__").item(name)

    def follow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What stands there now."""
        match self.step:
            case "argument":
                return args[self.name]
            case "keyword":
                return kwargs[self.name]
            case "constant" if self.name is GONE:
                raise ReferenceError(f"{self} is gone")
            case "constant":
                return self.name
        assert self.parent is not None
        base = self.parent.follow(args, kwargs)
        if self.step == "attribute":
            return getattr(base, self.name)
        key = self.name
        return base[key.follow(args, kwargs) if isinstance(key, Source) else key]

    def __str__(self) -> str:
        """`global rate`, `argument 0.layers[2].bias`: as a user would say it."""
        match self.step:
            case "argument":
                return f"argument {self.label or self.name}"
            case "keyword":
                return f"argument {self.name}"
            case "constant":
                return self.label
        assert self.parent is not None
        parent = self.parent
        if self.step == "attribute":
            return parent.label if self.name == "cell_contents" else f"{parent}.{self.name}"
        if parent.step == "attribute" and parent.name == "__dict__":
            return f"{parent.parent}.{self.name}"
        if parent.name == "__globals__" or (
            parent.step == "constant" and parent.label == "globals"
        ):
            return f"global {self.name}"
        if parent.step == "constant" and parent.label == "builtins":
            return f"builtin {self.name}"
        shown = str(self.name) if isinstance(self.name, Source) else repr(self.name)
        return f"{parent}[{shown}]"

    __repr__ = __str__


def argument(place: int, label: str = "") -> Source:
    return Source(None, "argument", place, label)


def keyword(name: str) -> Source:
    return Source(None, "keyword", name)


def constant(value: Any, label: str, *, holds: bool = False) -> Source:
    """An object that guards refer to, weakly if it is not sure to last; `holds`: the compiled function holds it anyway."""
    return Source(None, "constant", value, label, holds=holds)


_PLAIN = frozenset({str, int, bool, float, type(None), Source})


def _distinct(name: Any, step: str) -> Any:
    """A key in which True, 1 and 1.0 differ, and 0.0 and -0.0. It holds nothing of the user's."""
    kind = type(name)
    if step == "constant":
        return id(name)
    if kind is Source:
        return name.identity
    if kind is tuple:
        return tuple(_distinct(part, step) for part in name)
    if kind in (bool, int, float):
        return kind, name, str(name)
    if kind in (complex, range):
        return kind, str(name)
    return name if kind in (str, bytes, type(None)) else (kind.__name__, id(name))
