"""Operators, comparisons and truth: dispatched here, because C code would read symbols and containers without asking."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

from tracejit.symbols import KINDS, SYMBOLS, derived, is_number, is_text, settled
from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import containers, items, keys, library, natives, text
from tracejit.tracing.replay.iterators import ITERATORS, VIEWS
from tracejit.tracing.replay.kinds import ATOMS, found_on, is_numpy_number
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.stand_in import StandIn

Function = Callable[[Any, Any], Any]

COMPARISONS: dict[str, Function] = {
    "Lt": operator.lt, "LtE": operator.le, "Gt": operator.gt, "GtE": operator.ge, "Eq": operator.eq, "NotEq": operator.ne,
}  # fmt: skip
BINARY: dict[str, Function] = {
    "Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "Div": operator.truediv, "FloorDiv": operator.floordiv,
    "Mod": operator.mod, "Pow": operator.pow, "LShift": operator.lshift, "RShift": operator.rshift, "BitOr": operator.or_,
    "BitXor": operator.xor, "BitAnd": operator.and_, "MatMult": operator.matmul,
}  # fmt: skip
IN_PLACE: dict[str, Function] = {
    "Add": operator.iadd, "Sub": operator.isub, "Mult": operator.imul, "Div": operator.itruediv,
    "FloorDiv": operator.ifloordiv, "Mod": operator.imod, "Pow": operator.ipow, "LShift": operator.ilshift,
    "RShift": operator.irshift, "BitOr": operator.ior, "BitXor": operator.ixor, "BitAnd": operator.iand,
    "MatMult": operator.imatmul,
}  # fmt: skip
UNARY: dict[str, Callable[[Any], Any]] = {
    "USub": operator.neg, "UAdd": operator.pos, "Invert": operator.invert,
}  # fmt: skip
_NAMES = {
    "Add": "add", "Sub": "sub", "Mult": "mul", "Div": "truediv", "FloorDiv": "floordiv", "Mod": "mod", "Pow": "pow",
    "LShift": "lshift", "RShift": "rshift", "BitOr": "or", "BitXor": "xor", "BitAnd": "and", "MatMult": "matmul",
    "Lt": "lt", "LtE": "le", "Gt": "gt", "GtE": "ge", "Eq": "eq", "NotEq": "ne",
}  # fmt: skip
_SWAPPED = {"Lt": "gt", "LtE": "ge", "Gt": "lt", "GtE": "le", "Eq": "eq", "NotEq": "ne"}
_OF_TEXT = frozenset({"Add", "Lt", "LtE", "Gt", "GtE", "Eq", "NotEq"})
_INTEGERS_ONLY = frozenset({"LShift", "RShift", "BitOr", "BitXor", "BitAnd"})
_EQUATING = frozenset({"Eq", "NotEq"})
_JOINING = frozenset({"Add", "Mult"})
"""They move the elements of containers about, and look at none."""
_CONVERSION = re.compile(r"%[-+ #0]*\d*(?:\.\d*)?[hlL]?(.)")
_VALUES = (int, float, str, bytes, complex, tuple, frozenset)


def _is_users(value: Any) -> bool:
    """Whether its operators may be functions of a class of the user's, which go before a tensor's."""
    return not (
        type(value) in ATOMS
        or type(value) in SYMBOLS
        or containers.is_container(value)
        or is_numpy_number(value)
    )


def is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or type(value) is StandIn


def apply(
    recording: Recording, table: dict[str, Function], name: str, a: Any, b: Any, call: Any
) -> Any:
    """`a + b`, `a += b` or `a < b`."""
    if name == "Mod" and text.is_atom(a) and isinstance(a, str):
        return _percent(recording, a, b)
    if is_tensor(a) or (is_tensor(b) and not _is_users(a)):
        return _of_tensors(recording, table[name], a, b, name)
    if type(a) in SYMBOLS or type(b) in SYMBOLS:
        are_numbers = name not in _INTEGERS_ONLY and is_number(a) and is_number(b)
        if are_numbers or (name in _OF_TEXT and is_text(a) and is_text(b)):
            return derived(_numbers(table, name), a, b)
        a, b = settled(a), settled(b)
    if type(a) in ATOMS and type(b) in ATOMS:
        return table[name](a, b)
    if is_numpy_number(a) or is_numpy_number(b):
        library.under_mode(recording)
        if _is_users(a) or _is_users(b):
            recording.deny(f"operator {name} of a NumPy number and an object")
            return table[name](a, b)
    user = _of_users(recording, name, a, b, call, in_place=table is IN_PLACE)
    if user is not NotImplemented:
        return user
    if name in _EQUATING and type(a) is tuple is type(b) and _have_symbols(a, b):
        return _are_equal(recording, a, b) == (name == "Eq")
    a, b = _read_operand(recording, name, a), _read_operand(recording, name, b)
    if table is IN_PLACE and containers.is_container(a) and type(a) in containers.CHANGEABLE:
        containers.take_over(recording, a)
        if type(a) is set and id(a) in recording.taken:
            recording.deny(f"operator {name} changes a set of outside state")
    return table[name](a, b)


def _have_symbols(*sequences: tuple[Any, ...]) -> bool:
    """Whether they hold numbers and text, of which some are symbols, as shapes may."""
    kinds = {type(part) for sequence in sequences for part in sequence}
    return not kinds.isdisjoint(SYMBOLS) and kinds <= ATOMS | SYMBOLS


def _are_equal(recording: Recording, a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """What `a == b` gives, which asks of numbers no more than it needs."""
    for sequence in (a, b):
        containers.expand(recording, sequence, deep=False)
    return len(a) == len(b) and all(derived(operator.eq, *pair) for pair in zip(a, b))


def _numbers(table: dict[str, Function], name: str) -> Function:
    """Numbers are never changed in place."""
    return BINARY[name] if table is IN_PLACE else table[name]


def _percent(recording: Recording, a: Any, b: Any) -> Any:
    """`text % b`"""
    parts = b if type(b) is tuple and containers.is_known(recording, b) else (b,)
    if type(a) is str:
        parts = _as_formatted(recording, a, parts)
    if all(map(text.is_atom, parts)):
        return derived(text.percent, a, *parts)
    text.become_text(recording, b)
    return settled(a) % b


def _as_formatted(recording: Recording, text: str, parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """Floats in the place of tensors that are written as such, in text that takes each part once."""
    kinds = [match[1] for match in _CONVERSION.finditer(text) if match[1] != "%"]
    if "*" in text or "%(" in text or len(kinds) != len(parts):
        return parts
    return tuple(
        library.number_of(recording, part, "__float__")
        if is_tensor(part) and not part.aval.shape and kind in "eEfFgG"
        else part
        for part, kind in zip(parts, kinds)
    )


def _of_tensors(recording: Recording, function: Function, a: Any, b: Any, name: str) -> Any:
    keep = library.are_floats(tuple(filter(is_tensor, (a, b))))
    operands = [_operand(recording, each, keep, name) for each in (a, b)]
    return library.called(recording, function, operands, {})


def _operand(recording: Recording, value: Any, keep: bool, name: str) -> Any:
    if type(value) in SYMBOLS:
        return value if keep else settled(value)
    if is_tensor(value) or type(value) in ATOMS or is_numpy_number(value):
        return value
    if containers.is_container(value):
        containers.expand(recording, value)
        natives.check_deep(recording, value, f"operator {name}")
        return library.without_symbols(value)
    recording.deny(f"operator {name} of a tensor and a {type(value).__name__}")
    return value


def _read_operand(recording: Recording, name: str, value: Any) -> Any:
    if type(value) in VIEWS and name not in _JOINING:
        recording.deny(f"operator {name} of a view of a dict")
    if type(value) in ITERATORS:
        return natives.iterator(recording, value, f"operator {name}", looks=False)
    if name in _JOINING and containers.is_container(value):
        containers.expand(recording, value, deep=False)
        return value
    containers.expand(recording, value)
    natives.check_deep(recording, value, f"operator {name}", compares=name in _EQUATING)
    return value


def _of_users(recording: Recording, name: str, a: Any, b: Any, call: Any, *, in_place: bool) -> Any:
    """An operator that a class of the user's defines, called as Python would."""
    left, right = type(a), type(b)
    attempts = []
    if in_place:
        attempts.append((a, f"__i{_NAMES[name]}__", b))
    forward = (a, f"__{_NAMES[name]}__", b)
    swapped = _SWAPPED.get(name)
    backward = (b, f"__{swapped}__" if swapped else f"__r{_NAMES[name]}__", a)
    goes_first = right is not left and issubclass(right, left)
    attempts += [backward, forward] if goes_first else [forward, backward]
    for owner, method, other in attempts:
        found = found_on(type(owner), method)
        if type(found) is not FunctionType:
            continue
        recording.class_has(type(owner), method)
        result = call(MethodType(found, owner))(other)
        if result is not NotImplemented:
            return result
    return NotImplemented


def unary(recording: Recording, name: str, a: Any, call: Any) -> Any:
    if type(a) in SYMBOLS and name != "Invert":
        return derived(UNARY[name], a)
    a = settled(a)
    if not is_tensor(a) and type(a) not in ATOMS:
        found = found_on(
            type(a), {"USub": "__neg__", "UAdd": "__pos__", "Invert": "__invert__"}[name]
        )
        if type(found) is FunctionType:
            recording.class_has(type(a), found.__name__)
            return call(MethodType(found, a))()
        natives.is_plain(recording, a, f"operator {name}")
    return UNARY[name](a)


def compare(recording: Recording, name: str, a: Any, b: Any, call: Any) -> Any:
    if name in ("Is", "IsNot"):
        return _identity(recording, a, b) == (name == "Is")
    if name in ("In", "NotIn"):
        return _membership(recording, a, b, call) == (name == "In")
    return apply(recording, COMPARISONS, name, a, b, call)


def _identity(recording: Recording, a: Any, b: Any) -> bool:
    if KINDS.get(type(a), type(a)) is not KINDS.get(type(b), type(b)):
        return False
    a, b = settled(a), settled(b)
    if type(a) in _VALUES and type(b) in _VALUES:
        recording.deny('"is" on values')
    first, second = recording.outside.get(id(a)), recording.outside.get(id(b))
    if first is not None and second is not None and first is not second:
        recording.guard(g.SameObject(first, second, a is b))
    return a is b


def _membership(recording: Recording, item: Any, container: Any, call: Any) -> bool:
    item, container = item if is_tensor(item) else settled(item), settled(container)
    kind = type(container)
    if kind is dict:
        return items.has_key(recording, container, item)
    if kind in (set, frozenset):
        item = keys.hash_key(recording, item)
    if containers.is_container(container) or kind in (str, bytes, range) or is_tensor(container):
        containers.expand(recording, container)
        natives.check_deep(recording, container, "in", compares=True)
        natives.check_deep(recording, item, "in", compares=True)
        return bool(item in container)
    if kind in ITERATORS:
        return item in natives.iterator(recording, container, "in", compares=True)
    method = found_on(kind, "__contains__")
    recording.class_has(kind, "__contains__")
    if type(method) is FunctionType:
        return bool(truth(recording, call(MethodType(method, container))(item), call))
    natives.is_plain(recording, container, "in")
    return item in container


def truth(recording: Recording, value: Any, call: Any) -> Any:
    """What has the truth of `value`."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind in SYMBOLS:
        return derived(operator.truth, value)
    if is_tensor(value):
        return library.number_of(recording, value, "__bool__") if value.aval.size == 1 else value
    if containers.is_container(value):
        _truth_of_container(recording, value)
        return value
    if is_numpy_number(value):
        return value
    for name in ("__bool__", "__len__"):
        method = found_on(kind, name)
        recording.class_has(kind, name)
        if type(method) is FunctionType:
            return bool(call(MethodType(method, value))())
        if method is not g.MISSING:
            if not recording.is_fixed_object(value):
                recording.deny(f"the truth of a {kind.__name__}")
            break
    return value


def _truth_of_container(recording: Recording, container: Any) -> None:
    if containers.is_known(recording, container):
        return
    if id(container) in recording.written:
        containers.take_over(recording, container)
        return
    source = recording.outside[id(container)]
    recording.once(("truth", source.identity), g.TruthIs(source, bool(container)))
