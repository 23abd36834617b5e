"""What replay code reads from objects: attributes, items, lengths, types. What is known to lie where is read there."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, GetSetDescriptorType, MappingProxyType
from typing import Any

import numpy as np

from tracejit._native import abi, dicts
from tracejit._native.abi import Abi, offset_of
from tracejit.runtime.buffer import BlockBuffer, RemoteBuffer
from tracejit.runtime.cpu.native.memory_ir import BUFFER_ADDRESS
from tracejit.runtime.cpu.native.values import Kind, Value
from tracejit.runtime.cpu.native.writer import Writer

MOST_KEYS = 64
"""So many keys of a dict that has no version are noted, to tell that another one is not among them."""
_DICT_VIEWS: tuple[type, ...] = (type({}.keys()), MappingProxyType)


class Reader(Writer):
    """Knows the classes of objects that guards have looked at, by operand.

    hints   an attribute's name -> two classes that have a slot of this name at one place, of objects that no guard has looked at;
            where both are one, such objects are of no other, or Python takes the call while there is a way back
    parts   (class, slot) -> the class of what is there, or Python takes the call while there is a way back
    """

    parts: Mapping[tuple[type, str], type]

    def __init__(self, found: Abi, buffer: type, hints: Mapping[str, tuple[type, type]]) -> None:
        super().__init__(found)
        self.buffer_type = buffer
        self.hints = hints
        self.parts = {}
        self.classes: dict[str, type] = {}
        self.lively: set[str] = set()
        """Dicts that are written from call to call, but not what is noted of them."""
        self.addresses: dict[str, int] = {}
        """Of buffers whose address is known: where in `%addresses` it is."""

    def class_of(self, value: Value) -> type | None:
        """The class that the object has for certain."""
        if value.is_constant:
            return type(value.constant)
        return self.classes.get(value.text)

    # As an object

    def as_object(self, value: Value) -> str:
        match value.kind:
            case Kind.OBJECT:
                return value.text
            case Kind.TRUTH:
                yes, no = self.address_of(True), self.address_of(False)
                return self.let(f"select i1 {value.text}, ptr {yes}, ptr {no}")
            case Kind.INTEGER | Kind.SIZE:
                made = self.new("PyLong_FromLongLong", value.text)
                self.classes[made] = int
                return made
            case Kind.SIZES:
                return self._general(value.text, value.parts[0])
            case Kind.MEMORY:
                return self.called(self.address_of(self.wrap), [value.text])
            case Kind.LATE:
                function, *arguments = value.parts
                return self.called(self.address_of(function), list(map(self.as_object, arguments)))

    wrap: Callable[[np.ndarray], Any]
    """Makes a buffer of an array's memory."""

    def called(self, function: str, arguments: list[str], names: tuple[str, ...] = ()) -> str:
        """The result of a call; of the arguments the last ones are by name."""
        if not arguments:
            return self.new("PyObject_CallNoArgs", function)
        given = self.array_of(arguments)
        positional = str(len(arguments) - len(names))
        listed = self.address_of(names) if names else "null"
        return self.new("PyObject_Vectorcall", function, given, positional, listed)

    def type_of(self, value: Value) -> str:
        return self._noted_word(self.as_object(value), abi.TYPE_AT)

    # Attributes

    def attribute(self, value: Value, name: str, *, is_held: bool = True) -> Value:
        """What the frame holds from here on, unless it is only looked at."""
        if value.kind is Kind.MEMORY and name == "foreign":
            return Value(Kind.TRUTH, "true")
        if value.kind is Kind.MEMORY and name == "address":
            return Value(Kind.INTEGER, self.load(value.text, abi.ARRAY_DATA_AT, "i64"))
        kind = self.class_of(value)
        special = self._special(value, kind, name)
        if special is not None:
            return special
        if kind is not None and (at := offset_of(kind, name)) is not None:
            return self._slot(value.text, at, is_held, self._part_of(kind, name))
        hint = self.hints.get(name)
        if hint is not None and kind is None and value.kind is Kind.OBJECT:
            if hint[0] is not hint[1] or not (self.failed == "abandon" or self.notes is not None):
                return self._hinted(value, name, hint)
            self.require(self.let(f"icmp eq ptr {self.type_of(value)}, {self.address_of(hint[0])}"))
            self.classes[value.text] = hint[0]
            return self.attribute(value, name, is_held=is_held)
        self.spoil()
        return Value(Kind.OBJECT, self._general(self.as_object(value), name))

    def _special(self, value: Value, kind: type | None, name: str) -> Value | None:
        if kind is FunctionType and name in ("__code__", "__defaults__"):
            at = self.abi.code_at if name == "__code__" else self.abi.defaults_at
            found = self.load(value.text, at)
            none = self.address_of(None)  # no defaults are no object
            is_null = self.let(f"icmp eq ptr {found}, null")
            held = self.borrowed(self.let(f"select i1 {is_null}, ptr {none}, ptr {found}"))
            return Value(Kind.OBJECT, held)
        if kind is np.ndarray and name in ("shape", "strides"):
            return Value(Kind.SIZES, value.text, parts=(name,))
        if kind is np.ndarray and name == "dtype":
            return Value(Kind.OBJECT, self.borrowed(self.load(value.text, abi.ARRAY_DTYPE_AT)))
        if name == "address" and kind is self.buffer_type:
            return Value(Kind.INTEGER, self.load(value.text, BUFFER_ADDRESS, "i64"))
        if name == "address" and kind is None:
            return self._address(value)
        if name == "foreign" and kind is None:
            return self._foreign(value)
        if name == "__dict__" and kind is not None and has_plain_dict(kind):
            return Value(Kind.OBJECT, self._dict_of(value.text, kind))
        return None

    def _dict_of(self, text: str, kind: type) -> str:
        """An object's dict, which lies where it should unless this call makes it."""
        at = self.abi.instance_dict_at if kind.__flags__ & dicts.MANAGED_DICT else None
        before = "null" if at is None or self.notes is None else self.load(text, at)
        found = self.new("PyObject_GenericGetDict", text, "null")
        self.classes[found] = dict
        if at is None:
            self.spoil()
        elif self.notes is not None:
            self.spoil_unless(self.let(f"icmp eq ptr {before}, {found}"))
            self.note(text, at, found)
        return found

    def note_content(self, dict_: str) -> None:
        """What follows depends on all that is in a dict."""
        if self.notes is None:
            return
        if self.abi.dict_version_at is None:
            self.spoil()
            return
        values = self._note_version(dict_)
        if values is not None:
            self.spoil_unless(self.let(f"icmp eq ptr {values}, null"))

    def _note_version(self, dict_: str) -> str | None:
        """Gives where the dict's values are apart, null where they are not, if its version does not tell of these."""
        at = self.abi.dict_version_at
        assert at is not None
        self.note(dict_, at, self.load(dict_, at, "i64"), "i64")
        return self._noted_word(dict_, dicts.VALUES_AT) if self.abi.writes_values_apart else None

    def _noted_word(self, pointer: str, at: int, kind: str = "ptr") -> str:
        found = self.load(pointer, at, kind)
        self.note(pointer, at, found, kind)
        return found

    def _note_look(self, dict_: str, key: Value, *, may_lack: bool = False) -> None:
        """What follows depends on what is in a dict under a key, or, if it `may_lack` that, on whether there is something."""
        if self.notes is None:
            return
        if key.is_constant and type(key.constant) is not str:
            self.note_content(dict_)
            return
        has_version = self.abi.dict_version_at is not None
        is_steady = key.is_constant and dict_ not in self.lively and has_version
        if is_steady and self._note_version(dict_) is None:
            return
        if not self.abi.has_entries:
            self.spoil()
            return
        if not is_steady:
            self._note_layout(dict_)
        words = f"ptr {dict_}", f"ptr {self.as_object(key)}", f"i64 {self._hash_of(key)}"
        room = MOST_KEYS if may_lack and not has_version else 0
        keys = f"ptr {self.notes_shared(dict_, 2 * room) if room else 'null'}", f"i64 {room}"
        places = f"ptr {self.notes_later(2)}", "ptr %spoiled"
        self.help(
            "tracejit_note_entry", "void", *words, *places, f"i1 {str(is_steady).lower()}", *keys
        )

    def note_keys(self, dict_: str, count: int) -> None:
        """What follows depends on which keys a dict has, so many and in this order, of which the code holds each."""
        if self.notes is None:
            return
        if dict_ not in self.lively and self.abi.dict_version_at is not None:
            self.note_content(dict_)
        elif not self.abi.has_entries:
            self.spoil()
        else:
            self._note_layout(dict_)
            self._noted_word(dict_, abi.DICT_SIZE_AT, "i64")
            places = f"ptr {self.notes_later(1 + count)}", "ptr %spoiled"
            self.help("tracejit_note_keys", "void", f"ptr {dict_}", f"i64 {count}", *places)

    def _note_layout(self, dict_: str) -> None:
        """Where a dict has its keys and values, and how the keys are laid out."""
        if not self.has_noted(dict_, dicts.KEYS_AT):
            keys = self._noted_word(dict_, dicts.KEYS_AT)
            self._noted_word(dict_, dicts.VALUES_AT)
            self._noted_word(keys, dicts.LAYOUT_AT, "i64")

    def _hash_of(self, key: Value) -> str:
        """Of a text, or of a key that is equal only to itself; one that is neither is not looked for by words."""
        if key.is_constant:
            return self.load(key.text, dicts.TEXT_HASH_AT, "i64")
        plain = self.load(self.address_of(object), dicts.HASH_FUNCTION_AT)
        own = self._noted_word(self.type_of(key), dicts.HASH_FUNCTION_AT)
        self.spoil_unless(self.let(f"icmp eq ptr {own}, {plain}"))
        return self.call("PyObject_Hash", self.as_object(key))

    def _part_of(self, kind: type, name: str) -> type | None:
        if self.failed == "broken":
            return None
        return next((self.parts[e, name] for e in kind.__mro__ if (e, name) in self.parts), None)

    def _slot(self, text: str, at: int, is_held: bool, part: type | None) -> Value:
        found = self.checked(self.load(text, at))
        self.note(text, at, found)
        if part is not None:
            self.require(
                self.let(f"icmp eq ptr {self.load(found, abi.TYPE_AT)}, {self.address_of(part)}")
            )
            self.classes[found] = part
        return Value(Kind.OBJECT, self.borrowed(found) if is_held else found)

    def _general(self, text: str, name: str) -> str:
        return self.new("PyObject_GetAttr", text, self.address_of(name))

    def _hinted(self, value: Value, name: str, hint: tuple[type, type]) -> Value:
        at = offset_of(hint[0], name)
        assert at is not None
        assert at == offset_of(hint[1], name)
        classes = [f"ptr {self.address_of(each)}" for each in hint]
        words = f"ptr {value.text}", *classes, f"i64 {at}", f"ptr {self.address_of(name)}"
        return Value(Kind.OBJECT, self.got("hinted", *words))

    def _address(self, value: Value) -> Value:
        known = self.addresses.get(value.text)
        if known is not None:
            return Value(Kind.INTEGER, self.load("%addresses", known, "i64"))
        at = offset_of(BlockBuffer, "address")
        assert at is not None
        assert at == offset_of(remote_buffer(), "address")
        classes = ", ".join(f"ptr {each}" for each in self._own_buffers())
        found = self.let(
            f"call i64 @address_in(ptr {self.as_object(value)}, {classes}, "
            f"i64 {at}, ptr {self.address_of('address')})"
        )
        self.require(self.let(f"icmp ne i64 {found}, 0"))
        return Value(Kind.INTEGER, found)

    def _own_buffers(self) -> Iterator[str]:
        """Their classes."""
        yield self.address_of(self.buffer_type)
        yield self.address_of(BlockBuffer)
        yield self.address_of(remote_buffer(), "remote buffer")

    def _foreign(self, value: Value) -> Value:
        """Buffers of the pools are not; others are asked."""
        text, kind = self.as_object(value), self.type_of(value)
        is_other = "true"
        for each in self._own_buffers():
            differs = self.let(f"icmp ne ptr {kind}, {each}")
            is_other = self.let(f"and i1 {is_other}, {differs}")

        def ask() -> str:
            self.spoil()
            return self.truth_of(Value(Kind.OBJECT, self._general(text, "foreign")))

        return Value(Kind.TRUTH, self.both(is_other, ask))

    def context_variable(self, variable: Any) -> str:
        """What a variable of the context holds; null where that is nothing."""
        self.do("store i64 0, ptr %position")
        self.succeeded(
            self.call("PyContextVar_Get", self.address_of(variable), "null", "%position")
        )
        return self.hold(self.load("%position", 0))

    # Numbers

    def as_integer(self, value: Value) -> str:
        """An integer that fits 64 bits; another one is a failure."""
        if value.kind in (Kind.INTEGER, Kind.SIZE):
            return value.text
        if type(value.constant) is int and abs(value.constant) < 1 << 62:
            return str(value.constant)
        found = self.let(f"call i64 @integer_of(ptr {self.as_object(value)})")
        self.unless_raised(self.let(f"icmp eq i64 {found}, -1"))
        return found

    def unless_raised(self, may_be: str) -> None:
        """Where `may_be` holds, what was computed may be the sign of an exception."""
        suspect, after = self.fresh("b"), self.fresh("b")
        self.branch(may_be, suspect, after)
        self.enter(suspect)
        raised = self.let(f"icmp ne ptr {self.call('PyErr_Occurred')}, null")
        self.branch(raised, self.failed, after)
        self.enter(after)

    def truth_of(self, value: Value) -> str:
        """Whether a value counts as true."""
        match value.kind:
            case Kind.TRUTH:
                return value.text
            case Kind.INTEGER | Kind.SIZE:
                return self.let(f"icmp ne i64 {value.text}, 0")
            case _:
                text = self.as_object(value)
                self._note_truth(text)
                found = self.let(f"call i32 @truth(ptr {text})")
                self.succeeded(found)
                return self.let(f"icmp ne i32 {found}, 0")

    def _note_truth(self, text: str) -> None:
        """Of a few objects it is always the same; others may be asked anything."""
        if self.notes is None:
            return
        is_known = "false"
        for each in (True, False, None, ()):
            same = self.let(f"icmp eq ptr {text}, {self.address_of(each)}")
            is_known = self.let(f"or i1 {is_known}, {same}")
        self.spoil_unless(is_known)

    def length(self, value: Value) -> Value:
        if value.kind is Kind.SIZES:
            return Value(Kind.INTEGER, self.rank_of(value.text))
        kind = self.class_of(value)
        text = self.as_object(value)
        if kind in (tuple, list):
            return Value(Kind.INTEGER, self._size_of(text))
        if kind is dict:
            self.note_content(text)
            return Value(Kind.INTEGER, self.load(text, abi.DICT_SIZE_AT, "i64"))
        self.spoil()
        found = self.call("PyObject_Size", text)
        self.require(self.let(f"icmp sge i64 {found}, 0"))
        return Value(Kind.INTEGER, found)

    # Items

    def item(self, container: Value, key: Value, *, is_held: bool = True) -> Value:
        if container.kind is Kind.SIZES and type(key.constant) is int and key.constant >= 0:
            return self._size(container, key.constant)
        text, kind = self.as_object(container), self.class_of(container)
        names = dict_behind(container)
        if names is not None:
            text, kind = self.address_of(names), dict
        if kind is dict:
            self._note_look(text, key)
            if not is_held:
                return Value(Kind.OBJECT, self.checked(self.entry(text, key)))
            return Value(Kind.OBJECT, self.got("entry_of", *self._look_up(text, key)))
        if kind in (tuple, list) and type(key.constant) is int and key.constant >= 0:
            return self._place(text, kind, key.constant)
        self.spoil()
        return Value(Kind.OBJECT, self.got("item_of", *self._look_up(text, key)))

    def entry(self, dict_: str, key: Value) -> str:
        """What a dict has under a key, or null, which nobody holds for who asks."""
        found = self.let(f"call ptr @looked_up({', '.join(self._look_up(dict_, key))})")
        self.unless_raised(self.let(f"icmp eq ptr {found}, null"))
        return found

    def rank_of(self, array: str) -> str:
        return self.let(f"zext i32 {self.load(array, abi.ARRAY_NDIM_AT, 'i32')} to i64")

    def sizes_at(self, value: Value) -> str:
        """Where an array has its shape or strides."""
        is_shape = value.parts[0] == "shape"
        return self.load(value.text, abi.ARRAY_SHAPE_AT if is_shape else abi.ARRAY_STRIDES_AT)

    def _size(self, value: Value, axis: int) -> Value:
        self.require(self.let(f"icmp sgt i64 {self.rank_of(value.text)}, {axis}"))
        return Value(Kind.SIZE, self.load(self.sizes_at(value), 8 * axis, "i64"))

    def _look_up(self, container: str, key: Value) -> tuple[str, str, str]:
        """The arguments of a look for a key; what one that is always the same leads to is remembered."""
        memo = self.memo() if key.is_constant else "null"
        return f"ptr {container}", f"ptr {self.as_object(key)}", f"ptr {memo}"

    def _size_of(self, text: str) -> str:
        """How many items a list has, or a tuple: another one may come to lie where it was, so its words are noted, too."""
        return self._noted_word(text, abi.SIZE_AT, "i64")

    def _place(self, text: str, kind: type | None, place: int) -> Value:
        self.require(self.let(f"icmp sgt i64 {self._size_of(text)}, {place}"))
        if kind is list:
            items, at = self._noted_word(text, abi.LIST_ITEMS_AT), 8 * place
        else:
            items, at = text, abi.TUPLE_ITEMS_AT + 8 * place
        return Value(Kind.OBJECT, self.borrowed(self._noted_word(items, at)))

    def contains(self, container: Value, key: Value) -> str:
        """Whether a key is in a dict, or a value in another container."""
        text, kind = self.as_object(container), self.class_of(container)
        names = dict_behind(container)
        if names is not None:
            text, kind = self.address_of(names), dict
        if kind is dict:
            self._note_look(text, key, may_lack=True)
            found = self.let(f"call i32 @has_key({', '.join(self._look_up(text, key))})")
        else:
            self.spoil()
            found = self.call("PySequence_Contains", text, self.as_object(key))
        self.succeeded(found)
        return self.let(f"icmp ne i32 {found}, 0")


def remote_buffer() -> type:
    """The class of memory of a GPU, where it is loaded."""
    return next(iter(RemoteBuffer.__subclasses__()), BlockBuffer)


def dict_behind(value: Value) -> dict[Any, Any] | None:
    """The dict of a class that a view constantly shows."""
    if not (value.is_constant and type(value.constant) in _DICT_VIEWS):
        return None
    found = [
        each for each in gc.get_referents(value.constant) if type(each) in (dict, MappingProxyType)
    ]
    if len(found) == 1 and type(found[0]) is MappingProxyType:
        found = [each for each in gc.get_referents(found[0]) if type(each) is dict]
    return found[0] if len(found) == 1 else None


def keeps_dict(kind: Any) -> bool:
    """Whether it is a class whose objects have a dict, which Python keeps where it does as a rule."""
    return (
        isinstance(kind, type)
        and bool(kind.__flags__ & dicts.MANAGED_DICT)
        and has_plain_dict(kind)
    )


def has_plain_dict(kind: type) -> bool:
    """Whether objects of the class give their `__dict__` as Python does by itself."""
    owner = next((each for each in kind.__mro__ if "__dict__" in each.__dict__), None)
    return owner is not None and type(owner.__dict__["__dict__"]) is GetSetDescriptorType
