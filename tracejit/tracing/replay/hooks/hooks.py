"""The one object that instrumented code calls. Where no recording is live, each hook only does what Python would."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

from tracejit.symbols import SYMBOLS, concrete, derived, settled, storable
from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.current import current, live
from tracejit.tracing.replay.hooks import (
    attributes,
    calls,
    classes,
    containers,
    counting,
    imports,
    items,
    iteration,
    keys,
    library,
    loops,
    masked,
    operators,
    stores,
    text,
)
from tracejit.tracing.replay.hooks.masked import Masked
from tracejit.tracing.replay.kinds import ATOMS, found_on, is_own_module
from tracejit.tracing.replay.lasting import NUMPY_FUNCTION
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import Source, constant
from tracejit.tracing.stand_in import StandIn

SUBSCRIPTED = (list, tuple, dict)


class ReplayHooks:
    """Implements `tracejit.tracing.instrument.hooks.Hooks`."""

    # Variables from outside the function

    def read_global(self, name: str) -> Any:
        names = sys._getframe(1).f_globals
        recording = live()
        if name in names:
            if recording is None:
                return names[name]
            if (id(names), name) in recording.overlay:
                return recording.overlay[id(names), name]
            return recording.read(recording.globals(names).item(name), names[name])
        return self._builtin(names, name)

    def _builtin(self, names: dict[str, Any], name: str) -> Any:
        found = names["__builtins__"]
        builtins = found if type(found) is dict else vars(found)
        recording = None if is_own_module(names.get("__name__")) else live()
        source = constant(builtins, "builtins")
        if recording is not None:
            _is_missing(recording, recording.globals(names), name)
        if name not in builtins:
            if recording is not None:
                _is_missing(recording, source, name)
            raise NameError(f"name {name!r} is not defined", name=name)
        value = builtins[name]
        return value if recording is None else recording.read(source.item(name), value)

    def read_cell(self, read: FunctionType) -> Any:
        recording = live()
        try:
            value = read()
        except NameError:
            if recording is not None:
                recording.deny("a variable of the function around that has no value is read")
            raise
        if recording is None:
            return value
        (cell,) = read.__closure__ or ()
        if (id(cell), "cell_contents") in recording.overlay:
            return recording.overlay[id(cell), "cell_contents"]
        label = read.__code__.co_freevars[0]
        return recording.read(recording.cell(cell, label).attribute("cell_contents"), value)

    def wrote_global(self, name: str) -> None:
        names = sys._getframe(1).f_globals
        value = names[name]
        names[name] = storable(value)
        if (recording := live()) is not None:
            source = recording.globals(names)
            recording.overwritten(source.item(name), names, name)
            recording.put("item", source, name, value, names, name)

    def wrote_cell(self, read: FunctionType) -> None:
        value = read()
        (cell,) = read.__closure__ or ()
        if (recording := live()) is None:
            cell.cell_contents = storable(value)
            return
        cell.cell_contents = storable(value)
        source = recording.cell(cell, read.__code__.co_freevars[0])
        recording.overwritten(source.attribute("cell_contents"), cell, "cell_contents")
        recording.put("cell", source, "cell_contents", value, cell)

    def imported(self, value: Any, module: str, name: str) -> None:
        if (recording := live()) is not None:
            imports.imported(recording, value, module, name, sys._getframe(1).f_globals)

    # Attributes and items

    def read_attribute(self, owner: Any, name: str) -> Any:
        recording = live()
        if recording is None:
            return getattr(owner, name)
        return attributes.read_attribute(recording, owner, name, self.callee)

    def write_attribute(self, value: Any, owner: Any, name: str) -> None:
        recording = live()
        if recording is None:
            setattr(owner, name, storable(value))
        else:
            stores.write_attribute(recording, value, owner, name, self.callee)

    def delete_attribute(self, owner: Any, name: str) -> None:
        recording = live()
        if recording is None:
            delattr(owner, name)
        else:
            stores.delete_attribute(recording, owner, name)

    def read_item(self, owner: Any, key: Any) -> Any:
        recording = live()
        if recording is None:
            return owner[concrete(key)]
        owner = settled(owner)
        kind = type(owner)
        if isinstance(owner, Tensor) or kind is StandIn:
            with recording.taking_a_part():
                return library.leaf(recording, kind.__getitem__)(owner, key)
        if containers.is_container(owner):
            return items.read_item(recording, owner, key)
        if kind in ATOMS:
            return owner[keys.native_index(recording, key)]
        key = keys.plain_key(key)
        if isinstance(owner, type):
            return operator.getitem(owner, key)  # type: ignore[call-overload]  # as `list[int]`
        return self._call_special(operator.getitem, owner, key)

    def read_part(self, owner: Any, key: Any) -> Any:
        part = None if live() is None else masked.part_of(owner, key)
        return self.read_item(owner, key) if part is None else part

    def write_item(self, value: Any, owner: Any, key: Any) -> None:
        recording = live()
        if type(value) is Masked:
            if recording is not None and value.is_for(key):
                value.write(recording, owner)
                return
            value = self.read_item(value.values, value.mask)
        if recording is None:
            owner[concrete(key)] = storable(value)
            return
        kind = type(owner)
        if isinstance(owner, Tensor) or kind is StandIn:
            library.write_item(recording, owner, key, value)
        elif containers.is_container(owner):
            if type(key) is slice:
                value = iteration.walked(recording, value, self.callee, by_list=True)
            items.write_item(recording, owner, key, value)
        else:
            key = keys.plain_key(key)
            self._call_special(operator.setitem, owner, key, value)

    def delete_item(self, owner: Any, key: Any) -> None:
        recording = live()
        if recording is None:
            del owner[concrete(key)]
        elif containers.is_container(owner):
            items.delete_item(recording, owner, key)
        else:
            self._call_special(operator.delitem, owner, keys.plain_key(key))

    def _call_special(self, syntax: Callable[..., Any], owner: Any, *args: Any) -> Any:
        """What `syntax`, such as `operator.setitem`, does to an object of a class of the user's: a call of a method."""
        kind, name = type(owner), f"__{syntax.__name__}__"
        method = found_on(kind, name)
        recording = live()
        if recording is not None:
            recording.class_has(kind, name)
        if type(method) is FunctionType:
            return self.callee(MethodType(method, owner))(*args)
        if recording is not None:
            recording.deny(f"an item of a {kind.__name__}")
        return syntax(owner, *map(concrete, args))

    # Operators and tests

    def binary(self, op: str, left: Any, right: Any) -> Any:
        recording = live()
        if recording is None:
            return operators.BINARY[op](left, right)
        return operators.apply(recording, operators.BINARY, op, left, right, self.callee)

    def in_place(self, op: str, left: Any, right: Any) -> Any:
        recording = live()
        if type(left) is Masked:
            if recording is not None and left.takes(right):
                left.values = self.in_place(op, left.values, right)
                return left
            left = self.read_item(left.values, left.mask)
        if recording is None:
            return operators.IN_PLACE[op](left, right)
        return operators.apply(recording, operators.IN_PLACE, op, left, right, self.callee)

    def unary(self, op: str, operand: Any) -> Any:
        recording = live()
        if recording is None:
            return operators.UNARY[op](operand)
        return operators.unary(recording, op, operand, self.callee)

    def compare(self, op: str, left: Any, right: Any) -> Any:
        recording = live()
        if recording is None:
            return _compared(op, left, right)
        return operators.compare(recording, op, left, right, self.callee)

    def truth(self, value: Any) -> Any:
        recording = live()
        return value if recording is None else operators.truth(recording, value, self.callee)

    # What Python reads on its own

    def iterate(self, value: Any) -> Any:
        recording = live()
        return value if recording is None else iteration.iterate(recording, value, self.callee)

    def iterate_unpacked(self, value: Iterable[Any]) -> Any:
        items = self.iterate(value)
        return items if live() is None else self._unpacked(items)

    def _unpacked(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            yield self.unpack(item)

    def unpack(self, value: Any) -> Any:
        recording = live()
        return value if recording is None else iteration.unpack(recording, value, self.callee)

    def key(self, value: Any) -> Any:
        recording = live()
        return concrete(value) if recording is None else keys.hash_key(recording, value)

    def formatted(self, value: Any, conversion: str, spec: Any) -> Any:
        recording = live()
        if recording is None:
            return text.written(value, conversion, spec)
        return text.formatted(recording, value, conversion, spec)

    def joined(self, *parts: Any) -> Any:
        return text.joined(*parts) if live() is None else derived(text.joined, *parts)

    def context(self, value: Any) -> Any:
        recording = live()
        kind = type(value)
        if recording is None or kind in library.CONTEXTS:
            return value
        enter, leave = found_on(kind, "__enter__"), found_on(kind, "__exit__")
        if type(enter) is FunctionType and type(leave) is FunctionType:
            recording.class_has(kind, "__enter__")
            recording.class_has(kind, "__exit__")
            return _Context(self, value)
        recording.deny(f"a context manager of class {kind.__name__}")
        return value

    def exception_class(self, value: Any) -> Any:
        recording = live()
        if recording is not None:
            containers.expand(recording, value)
            classes.is_tested(recording, type(sys.exc_info()[1]))
            for owner in value if type(value) is tuple else (value,):
                if isinstance(owner, type) and type(owner) is not type:
                    recording.deny("except with a class that decides itself")
        return value

    def raised(self, value: Any) -> Any:
        if live() is None or not isinstance(value, type):
            return value
        return self.callee(value)()

    def asserted(self, value: Any) -> Any:
        recording = live()
        return concrete(value) if recording is None else recording.asserted(value)

    def matched(self, value: Any) -> Any:
        recording = live()
        if recording is not None:
            containers.expand(recording, value)
            is_known = (
                type(value) in ATOMS or type(value) in SYMBOLS or containers.is_container(value)
            )
            if not is_known and not containers.is_fixed_key(recording, value):
                recording.deny(f"a {type(value).__name__} is matched")
        return settled(value)

    # Calls, functions, loops

    def callee(self, function: Any) -> Any:
        recording = live()
        if recording is not None:
            return _under_its_name(calls.callee(self, recording, function), function)
        ended = current.recording
        if ended is None or not ended.symbols or function is super:
            return function
        return _without_symbols(function)

    def made_function(self, function: Callable[..., Any]) -> Any:
        recording = live()
        if recording is not None:
            recording.make(function)
            if (annotate := getattr(function, "__annotate__", None)) is not None:
                recording.make(annotate)
        return function

    def loop_entered(self, number: int) -> None:
        if (recording := live()) is not None:
            loops.loop_entered(recording, sys._getframe(1), number)

    def loop_head(self, number: int, names: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        recording = live()
        if recording is None:
            return values
        return loops.loop_head(recording, sys._getframe(1), number, names.split(), values)

    def loop_tested(self, value: bool) -> bool:
        if (recording := live()) is not None:
            recording.testing = False
        return value

    def counter(self, number: int, function: Any, *args: Any) -> tuple[Any, Any]:
        if (recording := live()) is not None:
            loops.loop_entered(recording, sys._getframe(1), number)
            if function is range and (found := counting.count(recording, args)) is not None:
                return found
        walk = counting.Walk(iter(self.iterate(self.callee(function)(*args))))
        return walk, walk

    def goes_on(self, counter: Any, place: Any) -> bool:
        return bool(counter.goes_on(place))

    def counted(self, counter: Any, place: Any) -> tuple[Any, Any]:
        return counter.counted(place)


HOOKS = ReplayHooks()


def _is_missing(recording: Recording, names: Source, name: str) -> None:
    recording.once(("in", names.identity, str, name), g.KeyIn(names, name, False))


def _compared(op: str, left: Any, right: Any) -> Any:
    # Which object a number is may decide: a NaN is found where it stands itself.
    left, right = concrete(left), concrete(right)
    match op:
        case "Is":
            return left is right
        case "IsNot":
            return left is not right
        case "In":
            return left in right
        case "NotIn":
            return left not in right
    return operators.COMPARISONS[op](left, right)


_NAMED = (FunctionType, MethodType, BuiltinFunctionType, NUMPY_FUNCTION, np.ufunc, type)


def _under_its_name(called: Any, function: Any) -> Any:
    """What is called in the place of a function, by whose name Python's messages call it."""
    is_other = type(called) is FunctionType and called is not function
    if is_other and type(function) in _NAMED and "<locals>" in called.__qualname__:
        called.__qualname__ = getattr(function, "__qualname__", called.__qualname__)
        called.__module__ = getattr(function, "__module__", called.__module__)
    return called


def _without_symbols(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function called with plain numbers: symbols of a recording that has ended mean nothing to others."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*map(concrete, args), **{k: concrete(v) for k, v in kwargs.items()})

    return call


class _Context:
    """A context manager of the user's, entered and left by instrumented code."""

    def __init__(self, hooks: ReplayHooks, manager: Any) -> None:
        self._hooks = hooks
        self._manager = manager

    def __enter__(self) -> Any:
        return self._hooks.callee(MethodType(type(self._manager).__enter__, self._manager))()

    def __exit__(self, *error: Any) -> Any:
        return self._hooks.callee(MethodType(type(self._manager).__exit__, self._manager))(*error)
