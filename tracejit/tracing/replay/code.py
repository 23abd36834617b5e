"""Writing the Python text of guards, runs and commits: constants by name, each source read once."""

from __future__ import annotations

import enum
import math
import operator
import re
import weakref
from collections.abc import Iterable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from tracejit.ops.op import Layout
from tracejit.symbols import INFIX, SYMBOLS
from tracejit.tracing.replay.lasting import is_lasting, note_replaced
from tracejit.tracing.replay.sources import Source


class Pool:
    """The objects that generated code refers to, by names that stay the same for one tree.

    What is not sure to last is referred to weakly: its name is that of a reference, which is called.
    """

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self._known: dict[Any, str] = {}
        self._lasting: dict[str, Any] = {}
        """What is held because it stands in its module."""
        self._owners: dict[str, type] = {}
        """The classes whose names are seen through a view: an id is theirs as long as they are held."""
        self._count = 0

    def name(self, value: Any) -> str:
        """The name of an object that is held."""
        return self._name(_identity(value), value)

    def lasting(self, value: Any) -> str | None:
        """The name of an object that is held because it lasts, or is held anyway; None for one that may die."""
        known = self._known.get(_identity(value))
        if known is None and is_lasting(value):
            known = self.name(value)
            self._lasting[known] = value
        return known

    def reference(self, value: Any) -> str:
        """The name of a weak reference. An id that was another's leads to that one's reference, which is dead."""
        key = "weak", id(value)
        known = self._known.get(key)
        if known is not None and self.names[known]() is not value:
            del self._known[key]
        return self._name(key, weakref.ref(value))

    def listed(self, values: tuple[Any, ...]) -> str:
        """A list of these."""
        return self._name((list, _identity(values)), list(values))

    def names_on(self, owner: type) -> str:
        """The names in a class's own `__dict__`, in an object that shows those that are there at any time."""
        name = self._name(("names", id(owner)), owner.__dict__.keys())
        self._owners[name] = owner
        return name

    def entries_on(self, owner: type) -> str:
        """A class's own `__dict__`, as it is at any time."""
        name = self._name(("entries", id(owner)), owner.__dict__)
        self._owners[name] = owner
        return name

    def _name(self, key: Any, value: Any) -> str:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = f"K{self._count}"
            self._count += 1
            self.names[found] = value  # held, so that its id stays its own
        return found

    def forget_all_but(self, used: set[str]) -> None:
        """Lets go of what no code refers to any more."""
        for table in (self.names, self._lasting, self._owners):
            for name in table.keys() - used:
                del table[name]
        self._known = {key: name for key, name in self._known.items() if name in used}

    def gone(self) -> set[str]:
        """The names of what is dead, or does not stand in its module any more: code with one of these is of no use."""
        replaced = {name for name, value in self._lasting.items() if not is_lasting(value)}
        for name in replaced:
            note_replaced(self._lasting[name])
        return replaced | {
            name
            for name, value in self.names.items()
            if type(value) is weakref.ref and value() is None
        }

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
    if kind is tuple and value and all(isinstance(part, type) for part in value):
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

    def name(self, value: Any) -> str:
        """The name of an object that is the user's to let go; where it has died the lines come to nothing."""
        pool = self.pool
        lasting = pool.lasting(value)
        if lasting is not None:
            return lasting
        try:
            reference = pool.reference(value)
        except TypeError:  # of a kind that cannot be referred to weakly
            return pool.name(value)
        found = self._variables.get(("alive", reference))
        if found is None:
            found = self._variables["alive", reference] = f"w{len(self._variables)}"
            self.lines.append(f"{found} = {reference}()")
            self.lines.append(f"if {found} is None: raise ReferenceError")
        return found

    def literal(self, value: Any) -> str:
        """Text for a constant; an object's is that of its name."""
        kind = type(value)
        if kind in _NAMED or isinstance(value, type | enum.Enum):
            return self.name(value)
        if kind is tuple:
            return f"({''.join(f'{self.literal(part)}, ' for part in value)})"
        return self.pool.literal(value)

    def add(self, line: str) -> None:
        self.lines.append(line)

    def variable(self, expression: str) -> str:
        """A new variable that holds `expression`."""
        name = self.fresh()
        self.lines.append(f"{name} = {expression}")
        return name

    def fresh(self) -> str:
        """The name of a new variable."""
        name = f"v{len(self._variables)}"
        self._variables[(name,)] = name
        return name

    def _expression(self, source: Source) -> str:
        match source.step:
            case "argument":
                return f"args[{source.name}]"
            case "keyword":
                return f"kwargs[{source.name!r}]"
            case "constant":
                return self.pool.name(source.name) if source.holds else self.name(source.name)
        assert source.parent is not None
        parent = self.read(source.parent)
        if source.step == "attribute":
            return f"{parent}.{source.name}"
        key = source.name
        return f"{parent}[{self.read(key) if isinstance(key, Source) else self.literal(key)}]"


_NAMED = frozenset({FunctionType, ModuleType, BuiltinFunctionType})


def expression(pool: Pool, function: Any, operands: tuple[Any, ...]) -> str:
    """A call of a function of numbers; operators as such, which cost less."""
    texts = list(map(pool.literal, operands))
    symbol = INFIX.get(function)
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
    module = compile(text, label, "exec")
    names = {each: pool.names[each] for each in _mentioned(module) if each in pool.names}
    exec(module, names)
    made = names.pop(name)
    return made, made.__code__


def _mentioned(code: CodeType) -> Iterator[str]:
    """The names in code, and in that inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _mentioned(constant)


def constants_of(lines: Iterable[str]) -> set[str]:
    """The names of objects that lines refer to."""
    return {name for line in lines for name in re.findall(r"\bK\d+\b", line)}
