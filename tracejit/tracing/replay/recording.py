"""One recorded call: everything that it has read, made, written and decided, and whether that can be replayed.

Every value that instrumented code sees is one of: an atom (immutable, with a guarded origin), a symbol (a number whose expression
is known), a tensor whose memory has a slot, an outside object with a source, or something that the call itself made. Whatever
does not fit ends the recording (`deny`); the call goes on, as Python, and is right.
"""

from __future__ import annotations

import enum
import inspect
import sys
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import (
    BuiltinFunctionType,
    FrameType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from tracejit._config import config
from tracejit._errors import OWN_CODE
from tracejit.autograd.tape import handle_of, is_grad_enabled
from tracejit.dtypes import DType
from tracejit.ir.aval import Aval
from tracejit.ops.op import Layout, Op
from tracejit.storage import Storage
from tracejit.symbols import SYMBOLS, Symbol, concrete, settled, symbol
from tracejit.tensor import Tensor
from tracejit.tracing.arrays import Arrays, StandIn
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.functions import without_hooks
from tracejit.tracing.replay.segments import Compute, Element, End, Segment
from tracejit.tracing.replay.sources import Source, constant
from tracejit.tracing.replay.varying import of_type

ATOMS = frozenset({
    type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented), range, slice,
})  # fmt: skip
CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
FIXED = (
    type, ModuleType, BuiltinFunctionType, np.ufunc, WrapperDescriptorType, MethodDescriptorType, MethodWrapperType,
    GetSetDescriptorType, MemberDescriptorType, DType, Aval, Op, np.dtype,
)  # fmt: skip
"""Objects that are what they are: their identity says all."""
NUMPY_FUNCTION = type(np.sum)
MOST_SEGMENTS = 400


@dataclass(slots=True, eq=False)
class EffectOf:
    """A write of the call's to outside state.

    kind     how: "item", "append", "attribute", "print" and so on
    source   where the object that is written is found
    name     the attribute, or the key: an atom or its source
    target   the object itself, and `key` the key
    """

    kind: str
    source: Source
    name: Any
    value: Any
    target: Any
    key: Any = None


class Recording:
    """The state of one recorded call."""

    def __init__(self, symbolic: set[tuple[Any, ...]], arrays: Arrays) -> None:
        self.arrays = arrays
        self.dead: str | None = None
        self.closed = False
        self.segments = [Segment()]
        self.effects: list[EffectOf] = []
        self.outside: dict[int, Source] = {}
        """id of an outside object -> its source."""
        self.overlay: dict[tuple[int, Any], Any] = {}
        """(id of an outside object, name or key) -> what the call has written there."""
        self.written: dict[int, Any] = {}
        """Outside containers that the call has written, by id."""
        self.appended: dict[int, tuple[int, list[Any]]] = {}
        """Outside lists to which the call has only appended: how long they were, and what was added."""
        self.added: dict[int, list[Any]] = {}
        """Keys that the call has added to outside dicts."""
        self.removed: dict[int, dict[Any, bool]] = {}
        """Keys that the call has removed from outside dicts."""
        self.viewed: set[int] = set()
        """Outside containers that native iterators may read later, by id."""
        self.taken: dict[int, Any] = {}
        """Outside containers that the call has taken over, by id."""
        self.cells: dict[int, Any] = {}
        """Variables of functions around those that the call has called, by id."""
        self.made: dict[int, weakref.ref[Any] | Any] = {}
        """Objects of user classes, functions and iterators that the call has made."""
        self.compared: dict[int, Source] = {}
        """Outside objects that were compared by identity, by id."""
        self._differ: tuple[Segment | None, g.Differ] = None, g.Differ([])
        self.changes = 0
        """Writes to objects that the call has made: a loop whose body makes some is not closed."""
        self.missing: dict[type, dict[str, bool]] = {}
        """Names that were looked up on classes, and not found."""
        self.visits = 0
        """Of heads of loops."""
        self.loops: dict[Any, Any] = {}
        self.jumps: dict[int, int] = {}
        self.symbols = False
        self.slots = 0
        self.most_slots = 0
        self.drop: Callable[[], None] = lambda: None
        """What is to be done when the recording ends early: the recorder computes all that waits."""
        self.looking = 0
        """Above 0 while library code may look at tensors, as its meaning is recorded another way."""
        self._symbolic = symbolic
        self._seen: dict[Any, Any] = {}
        self._held: list[Any] = []
        self._by_id: dict[int, Any] = {}
        self._classes: set[tuple[int, str, bool]] = set()
        self._functions: set[int] = set()
        self.tensor_sources: dict[Storage, Source] = {}
        self.memory: weakref.WeakKeyDictionary[Storage, int] = weakref.WeakKeyDictionary()
        """Storage -> the slot that holds its memory in a replay."""
        self.outside_storages: dict[Storage, int] = {}
        self.changed_memory: set[Storage] = set()
        """Outside storages that the call has written."""
        self.versions: dict[Storage, int] = {}
        """How often outside memory had been written when it was first seen."""
        self.array_storages: set[Storage] = set()
        self.handles: dict[int, Tensor] = {}
        self.iterate: Callable[[Any], Any] | None = None

    # Bookkeeping

    @property
    def live(self) -> bool:
        return self.dead is None

    @property
    def segment(self) -> Segment:
        return self.segments[-1]

    def deny(self, why: str) -> None:
        """The call cannot be replayed."""
        if self.dead is None:
            self.dead = f"{user_line()}: {why}"
            self.drop()

    def close(self) -> None:
        """The call is over: numbers that are looked at from here on decide nothing."""
        self.closed = True
        for key in list(self.made):
            held = self.made_object(key)
            if type(held) is FunctionType:
                without_hooks(held)

    def guard(self, guard: g.Guard) -> None:
        self.segment.guards.append((guard, user_line()))

    def once(self, key: Any, guard: g.Guard) -> None:
        """A guard that is needed once however often it is asked for."""
        if key not in self._seen:
            self._seen[key] = True
            self.guard(guard)

    def slot(self) -> int:
        self.slots += 1
        self.most_slots = max(self.most_slots, self.slots)
        return self.slots - 1

    def has_read(self, source: Source) -> bool:
        """Whether something stands there, as a guard reads it."""
        return source.identity in self._seen

    def know(self, value: Any, source: Source) -> None:
        """Notes where an outside object is found, which needs no guard of its own."""
        self.outside[id(value)] = source
        self._by_id[id(value)] = value

    def is_outside(self, value: Any) -> bool:
        return id(value) in self.outside

    def is_made(self, value: Any) -> bool:
        held = self.made.get(id(value))
        return (held() if isinstance(held, weakref.ref) else held) is value

    def make(self, value: Any) -> Any:
        """Notes that the call itself has made `value`."""
        try:
            self.made[id(value)] = weakref.ref(value)
        except TypeError:
            self.made[id(value)] = value
        return value

    def made_object(self, key: int) -> Any:
        held = self.made[key]
        return held() if isinstance(held, weakref.ref) else held

    def held(self, key: int) -> Any:
        """The outside object of an id."""
        return self._by_id.get(key)

    def compare(self, value: Any) -> None:
        """`value` is compared by identity with objects that come before or after: that it is none of those is guarded."""
        source = self.outside.get(id(value))
        if source is None or id(value) in self.compared or not self.live:
            return
        self.compared[id(value)] = source
        segment, guard = self._differ
        if segment is self.segment:
            guard.sources.append(source)
        else:
            guard = g.Differ([*self.compared.values()])
            self._differ = self.segment, guard
            self.guard(guard)

    # Numbers

    def symbol(self, value: Any, slot: int, *, late: bool) -> Any:
        self.symbols = True
        return symbol(value, self, slot, late=late)

    def derive(self, function: Callable[..., Any], operands: tuple[Any, ...]) -> Any:
        """`function(*operands)`, whose expression is noted; a result that is no number is settled at once."""
        value = function(*map(concrete, operands))
        if (
            not self.live
            or self.closed
            or not all(operand.owner is self for operand in operands if type(operand) in SYMBOLS)
        ):
            return value
        function = of_type(function, type(value))
        late = any(operand.late for operand in operands if type(operand) in SYMBOLS)
        slot = self.slot()
        if late:
            self.segment.instructions.append(Compute(slot, function, operands))
        else:
            self.guard(g.Computed(slot, function, operands))
        if type(value) in (int, float, str):
            return self.symbol(value, slot, late=late)
        if type(value) is not bool:
            self.deny(f"numbers that may change give a {type(value).__name__}")
            return value
        self._decide(slot, value, late, getattr(function, "__name__", "an expression"))
        return value

    def settle(self, number: Symbol) -> None:
        if self.live and not self.closed:
            self._decide(number.slot, concrete(number), number.late, "a number that was looked at")

    def _decide(self, slot: int, value: Any, late: bool, text: str) -> None:
        if late:
            self.branch(slot, value)
        else:
            self.once(("decided", slot), g.ResultIs(slot, value, text))

    def widened(self, value: Any) -> Any:
        """A number that differs from one time round a loop to the next, as a symbol."""
        slot = self.slot()
        self.segment.instructions.append(Compute(slot, concrete, (value,)))
        return self.symbol(concrete(value), slot, late=True)

    # Decisions

    def branch(self, slot: int, outcome: Any) -> None:
        """What comes after depends on the value in `slot`."""
        self.segment.end = End("branch", slot, outcome, where=user_line())
        self.segments.append(Segment())
        if len(self.segments) > MOST_SEGMENTS:
            self.deny(f"more than {MOST_SEGMENTS} decisions that depend on data in one call")

    def element(self, tensor: Tensor) -> tuple[int, Any] | None:
        """The slot and the value of a tensor's one element, which is computed now; None if the recording has ended."""
        with self.allowed():
            value = Tensor.item(tensor)
        memory = self.memory_of(tensor)
        if memory is None:
            return None
        slot = self.slot()
        self.segment.instructions.append(Element(slot, memory, tensor.aval, tensor.layout))
        return slot, value

    def elements(self, tensor: Tensor) -> Any:
        """Nested lists of a tensor's elements as symbols; None if the recording has ended."""
        with self.allowed():
            values = Tensor.tolist(tensor)
        memory = self.memory_of(tensor)
        if memory is None:
            return None
        layout = tensor.layout
        return self._nested(
            tensor.aval, memory, layout.shape, layout.strides, layout.offset, values
        )

    def _nested(
        self, aval: Aval, memory: int, shape: Any, strides: Any, offset: int, values: Any
    ) -> Any:
        if not shape:
            slot = self.slot()
            self.segment.instructions.append(Element(slot, memory, aval, Layout((), (), offset)))
            return self.symbol(values, slot, late=True)
        return [
            self._nested(aval, memory, shape[1:], strides[1:], offset + place * strides[0], value)
            for place, value in enumerate(values)
        ]

    def look(self, tensor: Tensor) -> None:
        """Code that is not instrumented looks at the elements of `tensor`."""
        if self.looking or not self.live:
            return
        if tensor.aval.size != 1:
            self.deny(f"the elements of {tensor.aval} are looked at")
            return
        found = self.element(tensor)
        if found is not None and self.live:
            self.branch(*found)

    def allowed(self) -> _Looking:
        return _Looking(self)

    # Tensors

    def memory_of(self, tensor: Tensor) -> int | None:
        """The slot of a tensor's memory; None, and the end of the recording, where nothing is known of it."""
        slot = self.memory.get(tensor.storage)
        if slot is None:
            self.deny(
                f"{tensor.aval}: a tensor that was not reached by way of anything that is guarded"
            )
        return slot

    def _read_tensor(self, source: Source, tensor: Tensor) -> None:
        if not type(tensor).__module__.startswith("tracejit."):
            self.deny(f"{source} is of class {type(tensor).__name__}, a tensor of its own kind")
            return
        storage = tensor.storage
        grad, path = _standing(tensor)
        if grad == "view" and tensor.requires_grad:
            self.deny(f"{source} is a view with a gradient")
            return
        slot = self.outside_storages.get(storage)
        if slot is None and self.memory.get(storage) is not None:
            self.deny(f"{source} shares memory with what the call has made")
            return
        if slot is None:
            slot = self.slot()
            self.outside_storages[storage] = slot
            self.memory[storage] = slot
            self.tensor_sources[storage] = source
            self.versions[storage] = storage.version
            self.refuse_overlap(storage, self.changed_memory)
        else:
            first = self.tensor_sources[storage]
            self.guard(g.SameObject(source.attribute("storage"), first.attribute("storage"), True))
            slot = self.slot()  # the first one may hold a copy by now, which the call has written
        if type(tensor) is StandIn:
            self._read_array(source, tensor, slot)
            return
        layout = tensor.layout
        self.guard(g.TensorIs(source, type(tensor), tensor.aval, layout, grad, slot, path))
        handle = tensor.autograd
        if handle is not None:
            self.outside[id(handle)] = source.attribute("autograd")
            self._held.append(handle)
            self.handles[id(handle)] = tensor
            if handle.node is not None:
                self.outside[id(handle.node)] = source.attribute("autograd").attribute("node")

    def refuse_overlap(self, storage: Storage, others: Iterable[Storage]) -> None:
        """Programs take storages that are not the same to lie apart."""
        if storage.buffer is None:
            return
        begin, end = g.extent(storage.buffer)
        for other in others:
            if other is storage or other.buffer is None:
                continue
            if not (storage.buffer.foreign or other.buffer.foreign):
                continue  # each has memory of its own
            low, high = g.extent(other.buffer)
            if begin < high and low < end:
                self.deny("memory is written that is reached in another way as well")
                return

    def _read_array(self, source: Source, stand_in: StandIn, slot: int) -> None:
        array = as_array_of(stand_in)
        self.array_storages.add(stand_in.storage)
        self.guard(g.ArrayIs(source, array.dtype, array.shape, array.strides, slot))

    # What is known of objects

    @staticmethod
    def is_library(owner: type) -> bool:
        """Whether a class is one of tracejit's own, whose meaning is known; layers and optimizers are as a user's."""
        module = owner.__module__
        is_own = module == "tracejit" or module.startswith("tracejit.")
        return is_own and not module.startswith(("tracejit.nn", "tracejit.optim"))

    @staticmethod
    def is_fixed_object(value: Any) -> bool:
        """Whether an object is what it is: its identity says all."""
        return _is_fixed(value)

    def tensor_of_handle(self, handle: Any) -> Tensor | None:
        """The outside tensor that a handle of the tape belongs to."""
        return self.handles.get(id(handle))

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
        if is_numpy_number(value):
            self.guard(g.Equals(source, value))
            return value
        if _is_fixed(value):
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
        self.know(value, source)
        self._read_object(source, value, kind)
        return value

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
            self.know(stand_in, source)
            self._read_tensor(source, stand_in)
        return stand_in

    def _again(self, source: Source, value: Any, keep: bool) -> Any:
        before = self._seen[source.identity]
        if type(value) is np.ndarray and type(before) is StandIn:
            value = self.arrays.enter(value)
        same = concrete(before) is value or _same_atom(concrete(before), value)
        if not same:
            self.deny(f"{source} has changed during the call, by a way that is not known")
            return value
        return settled(before) if keep else before

    def _read_atom(self, source: Source, value: Any, keep: bool) -> Any:
        kind = type(value)
        is_argument = source.step in ("argument", "keyword")
        if (
            kind in (int, float)
            and not keep
            and (
                source.identity in self._symbolic
                or (kind is float and (is_argument or _is_rate(source)))
            )
        ):
            slot = self.slot()
            self.guard(g.NumberIs(source, kind, slot))
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

    def _read_object(self, source: Source, value: Any, kind: type) -> None:
        if kind is FunctionType:
            if source.step != "constant":
                self.guard(g.Is(source, value))
            self.function(value)
        elif issubclass(kind, Tensor):
            self._read_tensor(source, value)
        else:
            self.guard(g.TypeIs(source, kind))

    # Functions and classes

    def around(self, function: FunctionType) -> None:
        """Notes which variables a function that the call has not made shares with others."""
        for cell in function.__closure__ or ():
            self.cells[id(cell)] = cell

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
        self.guard(g.CodeIs(source, function.__code__, function.__defaults__))
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
        value = getattr(owner, name, g.MISSING)
        if type(value) in ATOMS and not exact:
            return
        if type(value) is BuiltinFunctionType:
            self.guard(g.ClassEntry(owner, name, owner.__dict__.get(name, g.MISSING)))
            return
        if type(value) is MethodWrapperType:
            return  # of the metaclass, of which there is none
        if value is g.MISSING:
            self.missing.setdefault(owner, {})[name] = True
        else:
            self.guard(g.ClassHas(owner, name, value))

    # Writing outside state

    def effect(
        self, kind: str, source: Source, name: Any, value: Any, target: Any, key: Any = None
    ) -> None:
        self.effects.append(EffectOf(kind, source, name, value, target, key))

    # Modes

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.guard(g.ArgumentsAre(len(args), tuple(kwargs)))
        self.guard(g.SettingsAre(config.epoch, g.settings()))
        self.guard(g.ModeIs("grad mode", is_grad_enabled, is_grad_enabled()))


class _Looking:
    """Inside the block library code may look at the elements of tensors."""

    __slots__ = ("_recording",)

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __enter__(self) -> None:
        self._recording.looking += 1

    def __exit__(self, *error: object) -> None:
        self._recording.looking -= 1


def as_array_of(stand_in: StandIn) -> np.ndarray:
    """The array of the caller's that stands behind an argument."""
    buffer = stand_in.storage.buffer
    assert buffer is not None
    assert buffer._array is not None
    return buffer._array


def _standing(tensor: Tensor) -> tuple[str, tuple[Any, ...]]:
    if tensor.origin is not None:
        return "view", g.view_path(tensor)
    handle = handle_of(tensor)
    if handle is None or (handle.node is None and not handle.requires_grad):
        return "none", ()
    return ("leaf" if handle.node is None else "made"), ()


def is_own_module(name: str | None) -> bool:
    """Whether a module is one of tracejit's, whose functions and variables are taken not to change."""
    return name is not None and (name == "tracejit" or name.startswith("tracejit."))


def found_on(owner: type, name: str) -> Any:
    """What the class has under the name, without asking descriptors."""
    return inspect.getattr_static(owner, name, g.MISSING)


RATES = frozenset({"lr", "learning_rate"})
"""Under these names stand numbers that schedules change: they are inputs of a replay from the start."""


def _is_rate(source: Source) -> bool:
    return type(source.name) is str and source.name in RATES


def is_numpy_number(value: Any) -> bool:
    """Whether `value` is a NumPy number; a stand-in only says that it is one."""
    return issubclass(type(value), np.generic)


def _is_fixed(value: Any) -> bool:
    return isinstance(value, FIXED) or type(value) is NUMPY_FUNCTION or isinstance(value, enum.Enum)


def _same_atom(before: Any, value: Any) -> bool:
    kind = type(value)
    if kind not in ATOMS or type(before) is not kind:
        return False
    return bool(before == value) or value != value


def user_line() -> str:
    """`model.py:41`: the innermost frame outside the library's tracing; what instrumented library code does counts as its own."""
    frame: FrameType | None = sys._getframe(1)
    fallback = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(OWN_CODE):
            return f"{file.rsplit('/', 1)[-1]}:{frame.f_lineno}"
        if not fallback and "/tracing/" not in file and not file.endswith("symbols.py"):
            fallback = f"{file.rsplit('/', 1)[-1]}:{frame.f_lineno}"
        frame = frame.f_back
    return fallback or "?"
