"""A call's arguments: found by place or name, checked, and put into their slots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, assert_never

import numpy as np

from tracejit import dtypes
from tracejit._errors import DTypeError, ShapeError, at_user_line
from tracejit._gate import late
from tracejit.ir.aval import Aval, aval
from tracejit.runtime.buffer import Buffer
from tracejit.standalone.functions import TYPES
from tracejit.standalone.given import Slots, array_behind, array_of, is_followed, is_tensor
from tracejit.standalone.records import (
    Argument,
    ArrayArgument,
    Call,
    DictArgument,
    FixedArgument,
    NumberArgument,
    Parameter,
    SequenceArgument,
)

if TYPE_CHECKING:
    from tracejit.standalone.homes import Home

Given = dict[int, Any]
"""The tensors and arrays of a call as the caller gave them, by their slots."""
Enter = Callable[[Slots, Given, Any], None]


def trailing(call: Call) -> dict[str, Any]:
    """The parameters that may be left out, with their values: fixed ones, after which there are no others by place."""
    found = {}
    for parameter in reversed(call.parameters):
        if isinstance(parameter.argument, FixedArgument):
            found[parameter.name] = parameter.argument.value
        elif not parameter.is_keyword:
            break
    return found


def _aval(argument: ArrayArgument) -> Aval:
    return aval(dtypes.as_dtype(argument.dtype), argument.shape)


class Order:
    """Finds the arguments of a call, by place or name, in the order of the parameters."""

    def __init__(self, call: Call) -> None:
        self._names = [each.name for each in call.parameters]
        self._by_place = sum(not each.is_keyword for each in call.parameters)
        self._defaults = trailing(call)

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Raises TypeError, which names the argument."""
        if not kwargs and len(args) == len(self._names) == self._by_place:
            return args
        if len(args) > self._by_place:
            raise TypeError(
                at_user_line(
                    f"{self._by_place} arguments by place are taken, and {len(args)} given"
                )
            )
        found = dict(zip(self._names, args))
        for name, value in kwargs.items():
            if name not in self._names:
                raise TypeError(at_user_line(f"there is no argument {name}"))
            if name in found:
                raise TypeError(at_user_line(f"argument {name} is given twice"))
            found[name] = value
        found = {**self._defaults, **found}
        missing = [name for name in self._names if name not in found]
        if missing:
            raise TypeError(at_user_line(f"argument {missing[0]} is missing"))
        return tuple(found[name] for name in self._names)


class Binder:
    """Checks the arguments of a call and puts them into their slots."""

    def __init__(self, call: Call, home: Home) -> None:
        self._in_order = Order(call)
        self._home = home
        self._enter = [_entering(each, home) for each in call.parameters]
        arrays = [each for each in _arrays(call) if each.is_written]
        self._written = [each.slot for each in arrays]

    def __call__(self, slots: Slots, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Given:
        """What the caller gave, by slot. Raises TypeError, DTypeError or ShapeError, which name the argument."""
        given: Given = {}
        for enter, value in zip(self._enter, self._in_order(args, kwargs)):
            enter(slots, given, value)
        if self._written:
            self._check_apart(slots, given)
            if is_followed():
                for slot in self._written:
                    slots[slot] = self._home.copied(slots[slot])
        return given

    def _check_apart(self, slots: Slots, given: Given) -> None:
        """Memory that the call writes belongs to no other argument."""
        for slot in self._written:
            begin, end = _extent(slots[slot])
            for other in given:
                low, high = _extent(slots[other])
                if other != slot and begin < high and low < end:
                    raise ValueError(
                        at_user_line(
                            "an argument that is written shares its memory with another one"
                        )
                    )


def _extent(buffer: Any) -> tuple[int, int]:
    return buffer.address, buffer.address + buffer.nbytes


def _arrays(call: Call) -> list[ArrayArgument]:
    found = []
    todo = [each.argument for each in call.parameters]
    while todo:
        argument = todo.pop()
        if isinstance(argument, ArrayArgument):
            found.append(argument)
        elif isinstance(argument, SequenceArgument | DictArgument):
            todo += argument.parts
    return found


def _entering(parameter: Parameter, home: Home) -> Enter:
    return _enter_of(parameter.argument, f"argument {parameter.name}", home)


def _enter_of(argument: Argument, name: str, home: Home) -> Enter:
    match argument:
        case ArrayArgument():
            return _enter_array(argument, name, home)
        case NumberArgument():
            return _enter_number(argument, name)
        case FixedArgument():
            return _enter_fixed(argument, name)
        case SequenceArgument(type=kind):
            parts = [_enter_of(part, f"{name}[{n}]", home) for n, part in enumerate(argument.parts)]
            return _enter_sequence(list if kind == "list" else tuple, parts, name)
        case DictArgument(keys=keys):
            pairs = [
                (key, _enter_of(part, f"{name}[{key!r}]", home))
                for key, part in zip(keys, argument.parts)
            ]
            return _enter_dict(pairs, name)
        case _:
            assert_never(argument)


def _enter_array(argument: ArrayArgument, name: str, home: Home) -> Enter:
    wanted, slot, is_written = _aval(argument), argument.slot, argument.is_written
    here = aval(wanted.dtype, wanted.shape, home.device)
    dtype, shape = wanted.dtype.numpy, argument.shape

    def enter(slots: Slots, given: Given, value: Any) -> None:
        array = array_behind(value)
        buffer: Buffer | Part | None = None
        if array is not None:
            if array.dtype != dtype or array.shape != shape:
                _refuse(name, wanted, f"{array.dtype}{[*array.shape]}")
            buffer = home.wrapped(array)
        elif is_tensor(value):
            is_here = value.aval is here
            if not is_here and not _may_be_sent(value.aval, here):
                _refuse(name, here, value.aval)
            if is_here and (found := late("tracejit.standalone.tensors").memory_of(value)):
                whole, offset = found
                buffer = Part.of(whole, offset, wanted.nbytes)
            else:
                array = array_of(value)
        else:
            got = value.__class__.__name__
            raise TypeError(at_user_line(f"{name} is {wanted}, got a {got}"))
        if buffer is None or (is_written and array is not None and not array.flags.writeable):
            if is_written:
                why = "its elements do not lie in order, it cannot be written, or it is elsewhere"
                raise ValueError(at_user_line(f"{name} is written by the call: {why}"))
            assert array is not None
            buffer = home.sent(np.asarray(array, dtype))
        slots[slot], given[slot] = buffer, value

    return enter


def _may_be_sent(given: Aval, here: Aval) -> bool:
    """Whether it is a copy on the GPU that is computed with: as a function that was compiled for a GPU does it."""
    return here.device != "cpu" and aval(given.dtype, given.shape, here.device) is here


class Part:
    """A stretch of a buffer's memory."""

    __slots__ = ("_buffer", "_offset", "address", "nbytes")

    def __init__(self, buffer: Buffer, offset: int, nbytes: int) -> None:
        self._buffer, self._offset = buffer, offset
        self.address, self.nbytes = buffer.address + offset, nbytes

    @staticmethod
    def of(buffer: Buffer, offset: int, nbytes: int) -> Buffer | Part:
        is_whole = offset == 0 and buffer.nbytes == nbytes
        return buffer if is_whole else Part(buffer, offset, nbytes)

    def array(self, dtype: Any, shape: Any, strides: Any = None, offset: int = 0) -> np.ndarray:
        return self._buffer.array(dtype, shape, strides, self._offset + offset)


def _refuse(name: str, wanted: Aval, got: Any) -> NoReturn:
    message = at_user_line(f"{name} is {wanted}, got {got}")
    same_dtype = str(got).startswith((f"{wanted.dtype.short}[", f"{wanted.dtype.name}["))
    raise ShapeError(message) if same_dtype else DTypeError(message)


def _enter_number(argument: NumberArgument, name: str) -> Enter:
    kind, slot = TYPES[argument.type], argument.slot

    def enter(slots: Slots, given: Given, value: Any) -> None:
        if type(value) is not kind:
            got = type(value).__name__
            raise TypeError(at_user_line(f"{name} is of type {kind.__name__}, got {got}"))
        slots[slot] = value

    return enter


def _enter_fixed(argument: FixedArgument, name: str) -> Enter:
    known = argument.value

    def enter(slots: Slots, given: Given, value: Any) -> None:
        if type(value) is not type(known) or repr(value) != repr(known):
            message = f"{name} was {known!r} when the function was exported, which holds for that value only; got {value!r}"
            raise ValueError(at_user_line(message))

    return enter


def _enter_sequence(
    kind: type[list[Any] | tuple[Any, ...]], parts: list[Enter], name: str
) -> Enter:
    def enter(slots: Slots, given: Given, value: Any) -> None:
        if type(value) is not kind or len(value) != len(parts):
            got = f"a {type(value).__name__}"
            raise TypeError(at_user_line(f"{name} is a {kind.__name__} of {len(parts)}, got {got}"))
        for each, part in zip(parts, value):
            each(slots, given, part)

    return enter


def _enter_dict(pairs: list[tuple[str | int, Enter]], name: str) -> Enter:
    keys = [key for key, _ in pairs]

    def enter(slots: Slots, given: Given, value: Any) -> None:
        if type(value) is not dict or list(value) != keys:
            listed = ", ".join(map(repr, keys))
            raise TypeError(at_user_line(f"{name} is a dict with the keys {listed}, in this order"))
        for key, each in pairs:
            each(slots, given, value[key])

    return enter
