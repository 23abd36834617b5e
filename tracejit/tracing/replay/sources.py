"""Sources: the path from a call's arguments, or from an object that cannot be replaced, to a piece of outside state."""

from __future__ import annotations

from typing import Any


class Source:
    """Where to find a value again. Sources with equal `identity` are the same path.

    parent    the source that the path goes on from; None at its root
    step      how: "argument", "keyword" or "constant" at a root, then "attribute" or "item"
    name      the place among the arguments, the object itself, the attribute, or the key
    """

    __slots__ = ("identity", "label", "name", "parent", "step")

    def __init__(self, parent: Source | None, step: str, name: Any, label: str = "") -> None:
        self.parent = parent
        self.step = step
        self.name = name
        self.label = label
        base = None if parent is None else parent.identity
        self.identity: tuple[Any, ...] = (base, step, _distinct(name, step))

    def attribute(self, name: str) -> Source:
        """`source.name`, an attribute that no user code computes."""
        return Source(self, "attribute", name)

    def item(self, key: Any) -> Source:
        """`source[key]` of a dict, list or tuple; a key that is a source stands for the object that it leads to."""
        return Source(self, "item", key)

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
        if parent.step == "constant" and parent.label == "globals":
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


def constant(value: Any, label: str) -> Source:
    """An object that the recording itself holds."""
    return Source(None, "constant", value, label)


def _distinct(name: Any, step: str) -> Any:
    """A key in which True, 1 and 1.0 differ, and 0.0 and -0.0."""
    if step == "constant":
        return id(name)
    if isinstance(name, Source):
        return name.identity
    return (type(name), name, str(name)) if type(name) in (bool, int, float) else name
