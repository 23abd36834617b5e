"""Python numbers, and text of them, of which a recording knows how they were computed, for replays to compute.

A symbol is an int, float or str with the value that it has in the recorded call. Arithmetic on symbols gives symbols; whatever
else looks at the value settles it: the recording then holds for this value only. C code reads the value without asking, so that
those who call C code settle symbols first (`concrete` does not).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from types import (
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    WrapperDescriptorType,
)
from typing import Any, Protocol


class Owner(Protocol):
    """The recording that a symbol belongs to."""

    def derive(self, function: Callable[..., Any], operands: tuple[Any, ...]) -> Any:
        """`function(*operands)`, some operands being symbols: a symbol again, or a settled value of another type."""
        ...

    def settle(self, symbol: Any) -> None:
        """Notes that the value of `symbol` has been looked at."""
        ...


class SymbolicInt(int):
    """An int whose expression is slot `slot` of its owner's replay; `late` if that needs computed tensors."""

    plain: int
    owner: Owner
    slot: int
    late: bool


class SymbolicFloat(float):
    """The same of a float."""

    plain: float
    owner: Owner
    slot: int
    late: bool


class SymbolicStr(str):
    """The same of text."""

    plain: str
    owner: Owner
    slot: int
    late: bool


Symbol = SymbolicInt | SymbolicFloat | SymbolicStr
NUMBERS = frozenset({SymbolicInt, SymbolicFloat})
SYMBOLS = NUMBERS | {SymbolicStr}
KINDS: dict[type, type] = {SymbolicInt: int, SymbolicFloat: float, SymbolicStr: str}
"""The type that a symbol passes for."""


INFIX: dict[Any, str] = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.floordiv: "//",
    operator.mod: "%", operator.pow: "**", operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=",
    operator.eq: "==", operator.ne: "!=",
}  # fmt: skip
"""How Python writes a function of two numbers, which costs less than a call."""

_OF_KINDS: dict[type, Callable[[Any], Any]] = {kind: symbolic for symbolic, kind in KINDS.items()}


def symbol(value: int | float | str, owner: Owner, slot: int, *, late: bool) -> Any:
    made = _OF_KINDS[type(value)](value)
    made.plain = value
    made.owner, made.slot, made.late = owner, slot, late
    return made


class View:
    """What `items()` or `values()` of a dict gives, read piece by piece; `native` is what Python gives."""

    def __init__(self, native: Any, table: dict[Any, Any], read: Callable[[Any], Any]) -> None:
        self.native = native
        self._table = table
        self._read = read

    def __iter__(self) -> Iterator[Any]:
        return map(self._read, self._table)

    def __reversed__(self) -> Iterator[Any]:
        return map(self._read, reversed(self._table))

    def __len__(self) -> int:
        return len(self._table)


def concrete(value: Any) -> Any:
    """The plain number, text or view that a symbol stands for, of which nobody learns; anything else as it is."""
    kind = type(value)
    if kind in SYMBOLS:
        return value.plain
    return value.native if kind is View else value


def storable(value: Any) -> Any:
    """What goes into real state in the place of `value`: numbers for symbols, in tuples as well."""
    if isinstance(value, tuple) and (type(value) is tuple or hasattr(value, "_fields")):
        return rebuilt(value, [*map(storable, value)])
    return concrete(value)


def rebuilt(value: tuple[Any, ...], parts: list[Any]) -> tuple[Any, ...]:
    """A tuple of the same class with these parts; `value` itself if they are its own."""
    if all(new is old for new, old in zip(parts, value)):
        return value
    return tuple.__new__(type(value), parts)


def settled(value: Any) -> Any:
    """The plain number of a symbol, about to be looked at; anything else as it is."""
    if type(value) in SYMBOLS:
        value.owner.settle(value)
        return concrete(value)
    return value


def rounded(value: Any, number: float) -> Any:
    """A symbol of the same expression that passes for `number`, its value rounded as whoever uses it rounds it again."""
    return symbol(number, value.owner, value.slot, late=value.late)


def frozen(value: Any) -> Any:
    """A symbol of its own in the place of one whose slot may still become another; anything else as it is."""
    return rounded(value, value.plain) if type(value) in SYMBOLS else value


def derived(function: Callable[..., Any], *operands: Any) -> Any:
    """`function(*operands)` with the expression of the result, where one of the operands is a symbol."""
    for operand in operands:
        if type(operand) in SYMBOLS:
            return operand.owner.derive(function, operands)
    return function(*operands)


# What code that is not instrumented, such as the ops' own, does with a number


def is_number(value: Any) -> bool:
    return type(value) in (int, float, bool) or type(value) in NUMBERS


def is_text(value: Any) -> bool:
    return type(value) in (str, SymbolicStr)


def _binary(function: Callable[..., Any], alike: Callable[[Any], bool]) -> Callable[..., Any]:
    def forward(self: Any, other: Any) -> Any:
        return derived(function, self, other) if alike(other) else NotImplemented

    return forward


def _reflected(function: Callable[..., Any], alike: Callable[[Any], bool]) -> Callable[..., Any]:
    def reflected(self: Any, other: Any) -> Any:
        return derived(function, other, self) if alike(other) else NotImplemented

    return reflected


def _unary(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: derived(function, self)


def _looking(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **options: function(settled(self), *args, **options)


def _install_rest(kind: type) -> None:
    """All else that numbers and text have looks at the value."""
    for name, member in vars(KINDS[kind]).items():
        if name in vars(kind) or hasattr(object, name):
            continue
        if type(member) in (WrapperDescriptorType, MethodDescriptorType):
            setattr(kind, name, _looking(member))
        elif type(member) in (GetSetDescriptorType, MemberDescriptorType):
            setattr(kind, name, property(_looking(member.__get__)))


def _install(kind: type) -> None:
    """What every symbol has."""
    alike = is_text if kind is SymbolicStr else is_number
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(kind, f"__{name}__", _binary(getattr(operator, name), alike))
    looking: dict[str, Any] = {"hash": hash, "repr": repr, "str": str, "format": format}
    for name, function in looking.items():
        setattr(kind, f"__{name}__", _looking(function))
    special = {
        "__add__": _binary(operator.add, alike),
        "__radd__": _reflected(operator.add, alike),
        "__reduce__": lambda self: (KINDS[kind], (settled(self),)),
    }
    for name, method in special.items():
        setattr(kind, name, method)


def _install_numbers(kind: type) -> None:
    """What numbers have."""
    for name in ("sub", "mul", "truediv", "floordiv", "mod", "pow"):
        setattr(kind, f"__{name}__", _binary(getattr(operator, name), is_number))
        setattr(kind, f"__r{name}__", _reflected(getattr(operator, name), is_number))
    for name, method in {"neg": "neg", "pos": "pos", "abs": "abs", "bool": "truth"}.items():
        setattr(kind, f"__{name}__", _unary(getattr(operator, method)))


for _kind in KINDS:
    _kind.__name__ = KINDS[_kind].__name__  # as messages of Python's name it
    _install(_kind)
for _kind in NUMBERS:
    _install_numbers(_kind)
for _kind in KINDS:
    _install_rest(_kind)
