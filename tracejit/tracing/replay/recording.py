"""One recorded call: everything that it has read, made, written and decided, and whether that can be replayed.

Every value that instrumented code sees is one of: an atom (immutable, with a guarded origin), a symbol (a number whose expression
is known), a tensor whose memory has a slot, an outside object with a source, or something that the call itself made. Whatever
does not fit ends the recording (`deny`); the call goes on, as Python, and is right.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import (
    CellType,
    CodeType,
    FunctionType,
)
from typing import Any

import numpy as np

from tracejit._config import config
from tracejit.autograd.tape import is_grad_enabled
from tracejit.dtypes import from_numpy
from tracejit.ops import full
from tracejit.symbols import concrete, settled
from tracejit.tensor import Tensor, patches
from tracejit.tracing.arrays import Arrays
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.functions import without_hooks
from tracejit.tracing.replay.kinds import (
    ATOMS,
    can_be_input,
    is_fixed,
    is_numpy_number,
    is_own_module,
    same_atom,
)
from tracejit.tracing.replay.lasting import is_of_module
from tracejit.tracing.replay.signatures import Signature, signature_of
from tracejit.tracing.replay.sources import Source, constant
from tracejit.tracing.replay.writes import Writes
from tracejit.tracing.stand_in import StandIn, as_stand_in

_KNOWN = (
    "_seen", "outside", "numbers", "_classes", "_functions", "compared", "tensor_sources", "outside_storages", "versions",
    "array_storages", "handles", "viewed", "windows", "sizes_of", "_slots_of_sizes", "computed", "fixed",
    "cells", "scopes",
)  # fmt: skip

Known = dict[str, Any]
"""What a recording has read so far, by the names of its attributes."""

RATES = frozenset({"lr", "learning_rate"})
"""Under these names stand numbers that schedules change: they are inputs of a replay from the start."""


class Recording(Writes):
    """The state of one recorded call. What it reads is guarded, and known from then on."""

    def __init__(
        self, symbolic: set[tuple[Any, ...]], arrays: Arrays, outermost: CodeType, definition: str
    ) -> None:
        super().__init__(outermost, definition, arrays)
        self.steps: dict[int, list[tuple[str, list[Any]]]] = {}
        """What was done to outside sets: method and arguments, by id."""
        self.cells: dict[int, Any] = {}
        """Variables of functions around those that the call has called, by id."""
        self.scopes: dict[int, Source] = {}
        """id of such a variable, or of the global variables of a function -> where it is found."""
        self.missing: dict[type, dict[str, bool]] = {}
        """Names that were looked up on classes, and not found."""
        self.signature: Signature = ()
        self.loops: dict[Any, Any] = {}
        self.luck: dict[tuple[CodeType, int], Any] = {}
        """What has come of rounds on open sizes, by the loops."""
        self.open_loops: dict[str, str] = {}
        """Why loops were not closed, and the mends, by their lines."""
        self._codes: dict[int, CodeType] = {}
        self.symbolic = symbolic
        self.numpy_numbers: dict[int, tuple[Any, Any, Any]] = {}
        """Those that are inputs, by the id of what stands for them: that, the number, and its symbol."""
        self._classes: set[tuple[int, str, bool]] = set()
        self._functions: set[int] = set()

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if any(type(name) is not str for name in kwargs):
            self.deny("keywords of a class of their own")
        for kind, name in patches:
            self.deny(f"{kind.__name__}.{name} is not the library's own")
        self.signature = signature_of(args, kwargs)
        self.sizes.number, self.sizes.where = self.number_of_size, self.line
        self.guard(g.ArgumentsAre(len(args), tuple(kwargs)))
        self.guard(g.SettingsAre(config.epoch, g.settings()))
        self.guard(g.ModeIs("grad mode", is_grad_enabled, is_grad_enabled()))

    def close(self) -> None:
        """The call is over: numbers that are looked at from here on decide nothing."""
        self.closed = True
        for key in list(self.made):
            held = self.made_object(key)
            if type(held) is FunctionType:
                without_hooks(held)

    def forget(self) -> None:
        """Lets go of all that the call has seen: numbers in guards and programs go on referring to their recording."""
        self.sizes.number, self.sizes.where = self.sizes.fix, str
        kept = {name: self.__dict__[name] for name in ("dead", "_outermost", "_definition")}
        self.__dict__ = {**kept, "closed": True, "drop": lambda: None}

    def known(self) -> Known:
        """What has been read so far, to come back to."""
        return {name: getattr(self, name).copy() for name in _KNOWN}

    def forget_since(self, known: Known) -> None:
        """From here on what has been read since then is read, and guarded, anew."""
        for storage in self.outside_storages.keys() - known["outside_storages"].keys():
            del self.memory[storage]
        for name, value in known.items():
            setattr(self, name, value.copy())
        self._differ = None, g.Differ([])

    def has_read(self, source: Source) -> bool:
        """Whether something stands there, as a guard reads it."""
        return source.identity in self._seen

    def keys_read(self) -> dict[Any, set[str]]:
        """The text under which something was found in dicts, by the identities of these."""
        found: dict[Any, set[str]] = {}
        for key in self._seen:
            if len(key) == 3 and key[1] == "item" and type(key[2]) is str:
                found.setdefault(key[0], set()).add(key[2])
        return found

    # Exceptions

    def exception(self, make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """An exception, made of these arguments, which holds numbers."""
        return make(*map(settled, args), **kwargs)

    def exception_again(
        self, error: BaseException, init: Callable[..., None], *args: Any, **kwargs: Any
    ) -> None:
        """`super().__init__`, which is `init`, gives an exception other arguments."""
        init(*map(settled, args), **kwargs)

    def asserted(self, value: Any) -> Any:
        """What the exception of a failing assertion is made of."""
        return settled(value)

    def made_of(self, error: BaseException) -> tuple[Any, ...]:
        """Its arguments."""
        return error.args

    def exception_is_read(self, error: BaseException) -> None:
        """What it was made of is about to be looked at."""

    # Reading outside state

    def read(self, source: Source, value: Any, *, keep: bool = False) -> Any:
        """`value` was found at `source`: what the replay needs to know of it is guarded. `keep`: a number stays one."""
        if not self.live:
            return value
        key = source.identity
        if key in self._seen:
            return self._again(source, value, keep)
        self._seen[key] = value
        kind = type(value)
        if kind in ATOMS:
            return self._read_atom(source, value, keep)
        if kind is np.ndarray:
            return self._read_outside_array(source, value)
        self._held.append(value)
        if source.parent is not None and source.parent.step == "constant":
            self._held.append(source.parent.name)
        if is_numpy_number(value):
            return self._read_numpy_number(source, value, keep)
        if is_fixed(value):
            if source.step != "constant":
                self.guard(g.Is(source, value))
            return value
        known = self.outside.get(id(value))
        if known is not None:
            self.guard(g.SameObject(source, known, True))
            return value
        if self.is_made(value):
            self.deny(f"{source} holds what the call has made, by a way that is not known")
            return value
        if issubclass(kind, Tensor):
            return self._read_outside_tensor(source, value)
        self.know(value, source)
        self._read_object(source, value, kind)
        return value

    def _read_outside_tensor(self, source: Source, tensor: Tensor) -> Tensor:
        openings = self.open(source, tensor)
        self.symbols = self.symbols or bool(openings)
        self.know(tensor, source)
        self._read_tensor(source, tensor, openings)
        return tensor

    def _read_outside_array(self, source: Source, array: np.ndarray) -> Any:
        """A stand-in for an array that the call reaches, which is an argument like those that it was given."""
        stand_in = self.arrays.enter(array)
        if type(stand_in) is not StandIn:
            self.deny(f"{source} is an array that tracejit does not compute with")
            return array
        self._held.append(array)
        self._seen[source.identity] = stand_in
        known = self.outside.get(id(stand_in))
        if known is not None:
            self.guard(g.SameObject(source, known, True))
        else:
            self._read_outside_tensor(source, stand_in)
        return stand_in

    def _again(self, source: Source, value: Any, keep: bool) -> Any:
        before = self._seen[source.identity]
        if type(value) is np.ndarray and type(before) is StandIn:
            value = self.arrays.enter(value)
        _, known, _ = self.numpy_numbers.get(id(before), (before, concrete(before), before))
        same = known is value or same_atom(known, value)
        if not same:
            self.deny(f"{source} has changed during the call, by a way that is not known")
            return value
        return concrete(self.as_read(before)) if keep else before

    def _read_atom(self, source: Source, value: Any, keep: bool) -> Any:
        kind = type(value)
        is_argument = source.step in ("argument", "keyword")
        if (
            kind in (int, float)
            and not keep
            and (
                source.identity in self.symbolic
                or (kind is float and (is_argument or _is_rate(source)))
            )
        ):
            slot = self.slot()
            self.guard(g.NumberIs(source, kind, slot))
            self.numbers.add(slot)
            made = self.symbol(value, slot, late=False)
            self._seen[source.identity] = made
            return made
        if kind is slice and not all(
            type(part) in (int, type(None)) for part in (value.start, value.stop, value.step)
        ):
            self.deny(f"{source} is a slice of other things than places")
            return value
        self.guard(g.Equals(source, value))
        return value

    def _read_numpy_number(self, source: Source, number: Any, keep: bool) -> Any:
        """One that changes is computed from what stands there, and stands for a number as what NumPy's functions give does."""
        if keep or source.identity not in self.symbolic or not can_be_input(number):
            self.guard(g.Equals(source, number))
            return number
        slot = self.slot()
        self.guard(g.NumberIs(source, type(number), slot))
        plain = self.symbol(number.item(), slot, late=False)
        made = as_stand_in(full((), plain, dtype=from_numpy(number.dtype)))
        self.numpy_numbers[id(made)] = made, number, plain
        self._seen[source.identity] = made
        return made

    def as_read(self, value: Any) -> Any:
        """What stands outside, for native code that reads it there: a number that may change is settled."""
        _, number, plain = self.numpy_numbers.get(id(value), (value, value, value))
        settled(plain)
        return number

    def _read_object(self, source: Source, value: Any, kind: type) -> None:
        if kind is FunctionType:
            if source.step != "constant":
                self.guard(g.Is(source, value))
            self.function(value)
        else:
            self.guard(g.TypeIs(source, kind))
            if kind is deque:
                self.read(source.attribute("maxlen"), value.maxlen, keep=True)

    # Functions and classes

    def around(self, function: FunctionType) -> None:
        """Notes which variables a function that the call has not made shares with others."""
        source = self.outside.get(id(function))
        is_held = source is None or (source.step == "constant" and source.holds)
        path = None if is_held else source
        names = function.__globals__
        if path is None or is_of_module(names):
            self.scopes.setdefault(id(names), constant(names, "globals"))
        else:
            self.scopes.setdefault(id(names), path.attribute("__globals__"))
        cells = zip(function.__code__.co_freevars, function.__closure__ or ())
        for place, (name, cell) in enumerate(cells):
            self.cells[id(cell)] = cell
            label = f"closure variable {name}"
            if path is None:
                self.scopes.setdefault(id(cell), constant(cell, label))
            else:
                found = path.attribute("__closure__").item(place, label)
                self.scopes.setdefault(id(cell), found)

    def runs(self, code: CodeType) -> None:
        """Notes the code of a function that the call has not made."""
        self._codes[id(code)] = code

    def is_code_from_outside(self, code: CodeType) -> bool:
        """Whether it is that of a function which the call has not made: what is around it is outside state."""
        return id(code) in self._codes

    def cell(self, cell: CellType, name: str) -> Source:
        """Where a variable of a function around is found: by way of a function, unless that is held anyway."""
        return self.scopes.get(id(cell)) or constant(cell, f"closure variable {name}")

    def globals(self, names: dict[str, Any]) -> Source:
        """Where global variables are found."""
        return self.scopes.get(id(names)) or constant(names, "globals")

    def function(self, function: FunctionType) -> None:
        """A function that is, or may be, called: its code and defaults can be replaced."""
        if id(function) in self._functions or not self.live or is_own_module(function.__module__):
            return
        self._functions.add(id(function))
        self._held.append(function)
        source = self.outside.get(id(function))
        if source is None:
            source = self.outside[id(function)] = constant(function, function.__qualname__)
        defaults, named = function.__defaults__ or (), function.__kwdefaults__ or {}
        count = None if function.__defaults__ is None else len(defaults)
        self.guard(g.CodeIs(source, function.__code__, count))
        for place, value in enumerate(defaults):
            self.read(source.attribute("__defaults__").item(place), value, keep=True)
        for name, value in named.items():
            self.read(source.attribute("__kwdefaults__").item(name), value, keep=True)

    def class_has(self, owner: type, name: str, *, exact: bool = False) -> None:
        """What looking up `name` on a class gives is part of what was recorded. Values that are read are guarded by value."""
        key = (id(owner), name, exact)
        if key in self._classes or not self.live:
            return
        self._classes.add(key)
        self._held.append(owner)
        value = g.entry_of(owner, name)
        if type(value) in ATOMS and not exact:
            return
        if value is g.MISSING:
            if g.is_changeable(owner):
                self.missing.setdefault(owner, {})[name] = True
        elif g.is_changeable(owner):
            self.bases(owner)
            self.guard(g.ClassHas(owner, name, value))
            if g.is_changeable(type(value)):
                for special in ("__get__", "__set__", "__delete__"):
                    self.class_has(type(value), special)

    def bases(self, owner: type) -> None:
        """Which classes a class is made from can be changed."""
        if g.is_changeable(owner) and not is_own_module(owner.__module__):
            self.once(("bases", id(owner)), g.BasesAre(owner, owner.__mro__))
            self._held.append(owner)


def _is_rate(source: Source) -> bool:
    return type(source.name) is str and source.name in RATES
