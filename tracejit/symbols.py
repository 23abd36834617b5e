"""Python numbers of which a recording knows how they were computed, so that a replay computes them anew.

A symbol is an int or float with the value that it has in the recorded call. Arithmetic on symbols gives symbols; whatever else
looks at the value settles it: the recording then holds for this value only. C code reads the value without asking, so that those
who call C code settle symbols first (`concrete` does not).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
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

    owner: Owner
    slot: int
    late: bool


class SymbolicFloat(float):
    """The same of a float."""

    owner: Owner
    slot: int
    late: bool


Symbol = SymbolicInt | SymbolicFloat
SYMBOLS = frozenset({SymbolicInt, SymbolicFloat})
KINDS: dict[type, type] = {SymbolicInt: int, SymbolicFloat: float}
"""The type that a symbol passes for."""


def symbol(value: int | float, owner: Owner, slot: int, *, late: bool) -> Any:
    made: Any = SymbolicInt(value) if type(value) is int else SymbolicFloat(value)
    made.owner, made.slot, made.late = owner, slot, late
    return made


def concrete(value: Any) -> Any:
    """The plain number of a symbol, of which nobody learns; anything else as it is."""
    kind = type(value)
    if kind is SymbolicInt:
        return int.__pos__(value)
    if kind is SymbolicFloat:
        return float.__pos__(value)
    return value


def storable(value: Any) -> Any:
    """What goes into real state in the place of `value`: numbers for symbols, in tuples as well."""
    if type(value) is tuple:
        parts = tuple(map(storable, value))
        return parts if any(a is not b for a, b in zip(parts, value)) else value
    return concrete(value)


def settled(value: Any) -> Any:
    """The plain number of a symbol, about to be looked at; anything else as it is."""
    if type(value) in SYMBOLS:
        value.owner.settle(value)
        return concrete(value)
    return value


def rounded(value: Any, number: float) -> Any:
    """A symbol of the same expression that passes for `number`, its value rounded as whoever uses it rounds it again."""
    return symbol(number, value.owner, value.slot, late=value.late)


def derived(function: Callable[..., Any], *operands: Any) -> Any:
    """`function(*operands)` with the expression of the result, where one of the operands is a symbol."""
    for operand in operands:
        if type(operand) in SYMBOLS:
            return operand.owner.derive(function, operands)
    return function(*operands)


# What code that is not instrumented, such as the ops' own, does with a number


def _arithmetic(function: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def forward(self: Any, other: Any) -> Any:
        return derived(function, self, other) if _is_number(other) else NotImplemented

    def reflected(self: Any, other: Any) -> Any:
        return derived(function, other, self) if _is_number(other) else NotImplemented

    return forward, reflected


def _comparison(function: Callable[..., Any]) -> Callable[..., Any]:
    def compare(self: Any, other: Any) -> Any:
        return derived(function, self, other) if _is_number(other) else NotImplemented

    return compare


def _unary(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: derived(function, self)


def _looking(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args: function(settled(self), *args)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float, bool) or type(value) in SYMBOLS


def _install(kind: type) -> None:
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
        forward, reflected = _arithmetic(getattr(operator, name))
        setattr(kind, f"__{name}__", forward)
        setattr(kind, f"__r{name}__", reflected)
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(kind, f"__{name}__", _comparison(getattr(operator, name)))
    for name in ("neg", "pos", "abs"):
        setattr(kind, f"__{name}__", _unary(getattr(operator, name)))
    for name, function in {
        "hash": hash, "repr": repr, "str": str, "format": format, "bool": bool, "int": int, "float": float,
        "round": round,
    }.items():  # fmt: skip
        setattr(kind, f"__{name}__", _looking(function))
    if kind is SymbolicInt:
        kind.__index__ = _looking(int)  # type: ignore[attr-defined]  # set as the others are
    kind.__reduce__ = lambda self: (KINDS[kind], (settled(self),))  # type: ignore[method-assign]


for _kind in KINDS:
    _install(_kind)
