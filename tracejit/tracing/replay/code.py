"""Writing the Python text of guards, runs and commits: constants by name, each source read once."""

from __future__ import annotations

import math
import operator
from types import CodeType, MethodType
from typing import Any

from tracejit.ops.op import Layout
from tracejit.symbols import SYMBOLS
from tracejit.tracing.replay.sources import Source


class Pool:
    """The objects that generated code refers to, by names that stay the same for one tree.

    `names` are the global variables of that code: all functions of a tree share them.
    """

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self._known: dict[Any, str] = {}

    def name(self, value: Any) -> str:
        return self._name(_identity(value), value)

    def listed(self, values: tuple[Any, ...]) -> str:
        """A list of these."""
        return self._name((list, _identity(values)), list(values))

    def names_on(self, owner: type) -> str:
        """The names in a class's own `__dict__`, in an object that shows those that are there at any time."""
        return self._name(("names", id(owner)), owner.__dict__.keys())

    def _name(self, key: Any, value: Any) -> str:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = f"K{len(self.names)}"
            self.names[found] = value  # held, so that its id stays its own
        return found

    def literal(self, value: Any) -> str:
        """Text for a constant, or for the slot of a symbol."""
        kind = type(value)
        if kind in SYMBOLS:
            return f"E[{value.slot}]"
        if kind in (int, bool, type(None), str) or (kind is float and math.isfinite(value)):
            return repr(value)
        if kind is tuple:
            return f"({''.join(f'{self.literal(part)}, ' for part in value)})"
        if kind is slice:
            parts = (value.start, value.stop, value.step)
            return f"slice({', '.join(map(self.literal, parts))})"
        return self.name(value)


def _identity(value: Any) -> Any:
    """What makes a constant the same one: its identity, but for values, and for methods, which are made anew at each look."""
    kind = type(value)
    if kind in (str, int, Layout):
        return kind, value
    if kind is tuple and type in map(type, value):
        return id(value)  # the bases of a class, which are another object when they change
    if kind is tuple:
        return kind, *map(_identity, value)
    return (id(value.__self__), id(value.__func__)) if kind is MethodType else id(value)


class Writer:
    """Lines of one function; `argument 0.lr` read twice is one variable."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.lines: list[str] = []
        self._variables: dict[tuple[Any, ...], str] = {}

    def read(self, source: Source) -> str:
        """The variable that holds what stands at `source`."""
        found = self._variables.get(source.identity)
        if found is None:
            expression = self._expression(source)
            if source.step == "constant":
                found = expression
            else:
                found = f"s{len(self._variables)}"
                self.lines.append(f"{found} = {expression}")
            self._variables[source.identity] = found
        return found

    def add(self, line: str) -> None:
        self.lines.append(line)

    def variable(self, expression: str) -> str:
        """A new variable that holds `expression`."""
        name = f"v{len(self._variables)}"
        self._variables[(name,)] = name
        self.lines.append(f"{name} = {expression}")
        return name

    def _expression(self, source: Source) -> str:
        match source.step:
            case "argument":
                return f"args[{source.name}]"
            case "keyword":
                return f"kwargs[{source.name!r}]"
            case "constant":
                return self.pool.name(source.name)
        assert source.parent is not None
        parent = self.read(source.parent)
        if source.step == "attribute":
            return f"{parent}.{source.name}"
        key = source.name
        return f"{parent}[{self.read(key) if isinstance(key, Source) else self.pool.literal(key)}]"


_SYMBOLS = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.floordiv: "//",
    operator.mod: "%", operator.pow: "**", operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=",
    operator.eq: "==", operator.ne: "!=",
}  # fmt: skip


def expression(pool: Pool, function: Any, operands: tuple[Any, ...]) -> str:
    """A call of a function of numbers; operators as such, which cost less."""
    texts = list(map(pool.literal, operands))
    symbol = _SYMBOLS.get(function)
    if symbol is not None and len(texts) == 2:
        return f"({texts[0]}) {symbol} ({texts[1]})"
    if function is operator.neg:
        return f"-({texts[0]})"
    return f"{pool.name(function)}({', '.join(texts)})"


def function_of(
    name: str, parameters: str, lines: list[str], pool: Pool, label: str
) -> tuple[Any, CodeType]:
    """The function of these lines."""
    text = f"def {name}({parameters}):\n " + "\n ".join(lines or ["pass"])
    exec(compile(text, label, "exec"), pool.names)
    made = pool.names.pop(name)
    return made, made.__code__
