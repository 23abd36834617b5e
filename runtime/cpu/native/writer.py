"""Writes a way as LLVM IR: blocks, calls of Python's C functions, references that the frame holds, constants in a table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tracejit._native.abi import Abi
from tracejit._records import dataclass
from tracejit.runtime.cpu.native.prelude import DECLARED, prelude
from tracejit.runtime.cpu.native.values import Kind, Unsupported, Value

HELPERS = (
    "tracejit_release", "tracejit_give_up", "tracejit_break_off", "tracejit_new_buffer", "tracejit_new_array",
    "tracejit_distinct", "tracejit_in_range", "tracejit_has_keys", "tracejit_find", "tracejit_array_in_order",
    "tracejit_tuple_in_order", "tracejit_same", "tracejit_keep", "tracejit_hold",
    "tracejit_note_entry", "tracejit_note_keys",
)  # fmt: skip
"""Native functions whose addresses are the first words of a way's constants."""
SIGNATURES = {
    "PyContextVar_Get": "i32 ptr ptr ptr",
    "PyDict_GetItemWithError": "ptr ptr ptr",
    "PyDict_SetItem": "i32 ptr ptr ptr",
    "PyDict_New": "ptr",
    "PyDict_Next": "i32 ptr ptr ptr ptr",
    "PyErr_Occurred": "ptr",
    "PyFloat_AsDouble": "double ptr",
    "PyFloat_FromDouble": "ptr double",
    "PyLong_AsLongLong": "i64 ptr",
    "PyList_Append": "i32 ptr ptr",
    "PyList_New": "ptr i64",
    "PyLong_FromLongLong": "ptr i64",
    "PyMem_Calloc": "ptr i64 i64",
    "PyMem_Free": "void ptr",
    "PyNumber_Absolute": "ptr ptr",
    "PyNumber_Negative": "ptr ptr",
    "PyObject_CallNoArgs": "ptr ptr",
    "PyObject_GenericGetDict": "ptr ptr ptr",
    "PyObject_GetAttr": "ptr ptr ptr",
    "PyObject_GetItem": "ptr ptr ptr",
    "PyObject_Hash": "i64 ptr",
    "PyObject_IsTrue": "i32 ptr",
    "PyObject_RichCompare": "ptr ptr ptr i32",
    "PyObject_SetAttr": "i32 ptr ptr ptr",
    "PyObject_SetItem": "i32 ptr ptr ptr",
    "PyObject_Size": "i64 ptr",
    "PyObject_Vectorcall": "ptr ptr ptr i64 ptr",
    "PyObject_VectorcallMethod": "ptr ptr ptr i64 ptr",
    "PySequence_Contains": "i32 ptr ptr",
    "PySequence_List": "ptr ptr",
    "PySet_Add": "i32 ptr ptr",
    "PySet_New": "ptr ptr",
    "PyFrozenSet_New": "ptr ptr",
    "PySlice_New": "ptr ptr ptr ptr",
    "PyTuple_New": "ptr i64",
    "PyType_GenericAlloc": "ptr ptr i64",
    "PyEval_SaveThread": "ptr",
    "PyEval_RestoreThread": "void ptr",
    "Py_DecRef": "void ptr",
    "Py_IncRef": "void ptr",
    "llvm.memset.p0.i64": "void ptr i8 i64 i1",
    "llvm.memcpy.p0.p0.i64": "void ptr ptr i64 i1",
} | {
    f"PyNumber_{name}": "ptr ptr ptr"
    for name in (
        "Add", "Subtract", "Multiply", "TrueDivide", "FloorDivide", "Remainder", "And", "Or", "Xor", "Lshift",
        "Rshift", "MatrixMultiply",
    )
} | {"PyNumber_Power": "ptr ptr ptr ptr"}  # fmt: skip
"""The C functions that ways call: the types of the result and of the arguments."""


class Writer:
    """The text of one way, in one function `code(args, nargs, names, constants)`."""

    def __init__(self, found: Abi) -> None:
        self.abi = found
        self.lines: list[str] = []
        self.constants: list[Any] = []
        self._places: dict[int | str, int] = {}
        self._used: set[str] = set()
        self._count = 0
        self.held = 0
        """How many places of the frame are taken."""
        self.frame = "%frame"
        self._most_held = 1
        self._most_listed = 1
        self._room = 0
        self._kept_room: dict[str, int] = {}
        self.notes: int | None = None
        """How many words have been noted; None while none is to be."""
        self._noted: set[tuple[str, int]] = set()
        """Which, whatever is the outcome of conditions."""
        self._loaded: dict[int, str] = {}
        """Constants that have been loaded since words are noted, by their places: one word of theirs is noted once."""
        self._shared_notes: dict[str, int] = {}
        self.is_conditional = False
        self.results: list[tuple[str, str]] = []
        """What the way gives, and in which block."""
        self.on_break: Any = None
        """What raises an exception for one that came after there was no way back, and is called with it."""
        self.block = "entry"
        self.failed = "abandon"
        """The block for what goes wrong: nothing has been done so far."""

    # Text

    def fresh(self, stem: str = "v") -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def let(self, expression: str) -> str:
        name = f"%{self.fresh()}"
        self.lines.append(f"  {name} = {expression}")
        return name

    def do(self, instruction: str) -> None:
        self.lines.append(f"  {instruction}")

    def enter(self, block: str) -> None:
        self.lines.append(f"{block}:")
        self.block = block

    def branch(self, condition: str, then: str, otherwise: str) -> None:
        self.do(f"br i1 {condition}, label %{then}, label %{otherwise}")

    def jump(self, block: str) -> None:
        self.do(f"br label %{block}")

    def require(self, condition: str, otherwise: str | None = None) -> None:
        """Goes on where the condition holds."""
        after = self.fresh("b")
        self.branch(condition, after, otherwise or self.failed)
        self.enter(after)

    def true_or(self, condition: str, otherwise: Callable[[], str]) -> str:
        """True where the condition holds, else what is written then says."""
        return self._decided("true", condition, otherwise)

    def both(self, condition: str, then: Callable[[], str]) -> str:
        """Whether the condition holds, and what is looked at only then does, too."""
        return self._decided("false", condition, then)

    def _decided(self, known: str, condition: str, more: Callable[[], str]) -> str:
        before, ask, end = self.block, self.fresh("b"), self.fresh("b")
        self.branch(condition, *((end, ask) if known == "true" else (ask, end)))
        self.enter(ask)
        with self.conditional():
            found = more()
        after = self.block
        self.jump(end)
        self.enter(end)
        return self.let(f"phi i1 [ {known}, %{before} ], [ {found}, %{after} ]")

    @contextmanager
    def conditional(self) -> Iterator[None]:
        """What is written inside is not run in each case."""
        before, self.is_conditional = self.is_conditional, True
        yield
        self.is_conditional = before

    def load(self, pointer: str, offset: int, kind: str = "ptr") -> str:
        return self.let(f"load {kind}, ptr {self.at(pointer, offset)}")

    def at(self, pointer: str, offset: int) -> str:
        return self.let(f"getelementptr i8, ptr {pointer}, i64 {offset}") if offset else pointer

    def call(self, function: str, *arguments: str) -> str:
        """The result of a C function; nothing is checked."""
        result, *kinds = SIGNATURES[function].split()
        self._used.add(function)
        given = ", ".join(f"{kind} {each}" for kind, each in zip(kinds, arguments, strict=True))
        text = f"call {result} @{function}({given})"
        if result == "void":
            self.do(text)
            return ""
        return self.let(text)

    def help(self, name: str, result: str, *arguments: str) -> str:
        """The result of a native function; arguments with their types."""
        pointer = self.load("%constants", 8 * HELPERS.index(name))
        text = f"call {result} {pointer}({', '.join(arguments)})"
        if result == "void":
            self.do(text)
            return ""
        return self.let(text)

    # References

    def _free_place(self) -> str:
        """A place of the frame that is free, and is taken from here on."""
        return self.at(self.frame, 8 * self.reserve(1))

    def reserve(self, count: int) -> int:
        """The first of so many places of the frame, side by side."""
        first = self.held
        self.held += count
        self._most_held = max(self._most_held, self.held)
        return first

    @contextmanager
    def aside(self, frame: str) -> Iterator[list[int]]:
        """What is written inside has a frame of its own, of as many places as the list says in the end."""
        before = self.frame, self.held, self._most_held
        self.frame, self.held = frame, 0
        count: list[int] = []
        yield count
        count.append(self.held)
        self.frame, self.held, self._most_held = before

    def hold(self, text: str) -> str:
        """The frame has this reference from here on; the way's end lets go of it."""
        self.do(f"store ptr {text}, ptr {self._free_place()}")
        return text

    def new(self, function: str, *arguments: str) -> str:
        """A new reference that a C function gives; null is a failure."""
        return self.hold(self.checked(self.call(function, *arguments)))

    def got(self, function: str, *arguments: str) -> str:
        """A reference that a function of the prelude gives; arguments with their types."""
        place = self._free_place()
        return self.checked(self.let(f"call ptr @{function}({', '.join(arguments)}, ptr {place})"))

    def let_go_early(self, text: str, place: int) -> None:
        """Lets go of a reference in a place of the frame, which stays empty."""
        self.do(f"store ptr null, ptr {self.at('%frame', 8 * place)}")
        self.do(f"call void @let_go(ptr {text})")

    def borrowed(self, text: str) -> str:
        """A reference of somebody else's, which the frame holds as well."""
        self.retain(text)
        return self.hold(text)

    def retain(self, text: str) -> None:
        self.do(f"call void @retain(ptr {text})")

    def checked(self, text: str) -> str:
        self.require(self.let(f"icmp ne ptr {text}, null"))
        return text

    def succeeded(self, status: str) -> None:
        """A C function that gives a negative number where it fails has not."""
        self.require(self.let(f"icmp sge i32 {status}, 0"))

    # Notes of what is read: `%notes` has a word's address and value for each, or zeros where it was not read this time

    def note(self, pointer: str, offset: int, value: str, kind: str = "ptr") -> None:
        """What follows depends on this word of memory."""
        if self.notes is None or self.has_noted(pointer, offset):
            return
        if not self.is_conditional:
            self._noted.add((pointer, offset))
        place = self.notes_later(1)
        self.do(f"store ptr {self.at(pointer, offset)}, ptr {place}")
        self.do(f"store {kind} {value}, ptr {self.at(place, 8)}")

    def has_noted(self, pointer: str, offset: int) -> bool:
        """Whether a word is among the notes already, whatever was the outcome of conditions."""
        return (pointer, offset) in self._noted

    def notes_later(self, count: int) -> str:
        """The place for the addresses and values of so many words."""
        assert self.notes is not None
        self.notes += count
        return self.at("%notes", 16 * (self.notes - count))

    def notes_shared(self, pointer: str, count: int) -> str:
        """The place for so many words of an object: one for all reads of it that note the same ones."""
        place = self._shared_notes.get(pointer)
        if place is not None:
            return self.at("%notes", 16 * place)
        assert self.notes is not None
        if not self.is_conditional:
            self._shared_notes[pointer] = self.notes
        return self.notes_later(count)

    def spoil(self) -> None:
        """What follows depends on what no word tells, or other code has run, which may have written what was noted."""
        if self.notes is not None:
            self.do("store i64 1, ptr %spoiled")

    def spoil_unless(self, condition: str) -> None:
        spoiled, end = self.fresh("b"), self.fresh("b")
        self.branch(condition, end, spoiled)
        self.enter(spoiled)
        self.spoil()
        self.jump(end)
        self.enter(end)

    # Loops

    def kept(self, place: int) -> str:
        """The reference in a place of the frame."""
        return self.load(self.frame, 8 * place)

    def keep_instead(self, place: int, text: str) -> None:
        """A place of the frame has another reference from here on; the one that it had is in a place of its own."""
        self.hold(self.kept(place))
        self.retain(text)
        self.do(f"store ptr {text}, ptr {self.at('%frame', 8 * place)}")

    def let_go_since(self, place: int) -> None:
        """Lets go of what the frame has come to hold since so many places were taken."""
        first = self.at(self.frame, 8 * place)
        self.help("tracejit_release", "void", f"ptr {first}", f"i64 {self.held - place}")

    # Constants

    def constant(self, value: Any) -> Value:
        return Value(Kind.OBJECT, self.address_of(value), value)

    def address_of(self, value: Any, role: str = "") -> str:
        """An object that the way's constants hold; of names the one object that dicts have as a rule.

        With a `role` it has a place of its own: the text is the same whatever object has that role.
        """
        if type(value) is str:
            value = sys.intern(value)
        key = role or id(value)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = len(self.constants)
            self.constants.append(value)
        known = self._loaded.get(place) if self.notes is not None else None
        text = known or self.load("%constants", 8 * (len(HELPERS) + place))
        if self.notes is not None and not self.is_conditional:
            self._loaded[place] = text
        return text

    def raw(self, number: int) -> str:
        """A number that only this process knows, such as an address."""
        place = self.later()
        self.constants[place] = Raw(number)
        return self.raw_at(place)

    def later(self) -> int:
        """The place of a number that is only known once more has been written."""
        self.constants.append(Raw(0))
        return len(self.constants) - 1

    def raw_at(self, place: int) -> str:
        return self.load("%constants", 8 * (len(HELPERS) + place), "i64")

    def memo(self) -> str:
        """Two words of the way's own, where a look into a dict leaves what it has found: `looked_up` of the prelude."""
        place = len(self.constants)
        self.constants += (Raw(0), Raw(0))
        return self.at("%constants", 8 * (len(HELPERS) + place))

    def array_of(self, texts: Sequence[str], kind: str = "ptr") -> str:
        """Operands side by side in memory."""
        self._most_listed = max(self._most_listed, len(texts))
        for place, text in enumerate(texts):
            self.do(f"store {kind} {text}, ptr {self.at('%array', 8 * place)}")
        return "%array"

    def room(self, nbytes: int) -> str:
        """Memory on the stack, until it is asked for again."""
        self._room = max(self._room, nbytes)
        return "%room"

    def keep_room(self, name: str, nbytes: int) -> None:
        """Memory on the stack under this name, for the whole call."""
        self._kept_room[name] = nbytes

    # The whole

    def text(self, name: str) -> str:
        """The module that defines the way as `name`."""
        if not self.results:
            raise Unsupported("code without an end")
        raiser = self.on_break_text()
        functions = sorted((self._used | {"llvm.memset.p0.i64"}) - DECLARED)
        results = "".join(f", [ {value}, %{block} ]" for value, block in self.results)
        held = self._most_held
        return f"""\
{prelude(self.abi)}{"".join(map(_declaration, functions))}
define ptr @{name}(ptr %args, i64 %nargs, ptr %names, ptr %constants) {{
entry:
  %frame = alloca [{held} x ptr]
{"".join(map(_allocated, self._kept_room.items()))}\
  %array = alloca [{self._most_listed} x ptr]
  %position = alloca i64
  %room = alloca [{max(self._room, 1)} x i8], align 64
  call void @llvm.memset.p0.i64(ptr %frame, i8 0, i64 {8 * held}, i1 false)
{chr(10).join(self.lines)}
abandon:
  %give.up.p = getelementptr i8, ptr %constants, i64 {8 * HELPERS.index("tracejit_give_up")}
  %give.up = load ptr, ptr %give.up.p
  %given.up = call ptr %give.up()
  br label %leave
broken:
{raiser}
  br label %leave
leave:
  %result = phi ptr [ %given.up, %abandon ], [ null, %broken ]{results}
  %release.p = getelementptr i8, ptr %constants, i64 {8 * HELPERS.index("tracejit_release")}
  %release = load ptr, ptr %release.p
  call void %release(ptr %frame, i64 {held})
  ret ptr %result
}}
"""

    def on_break_text(self) -> str:
        start = len(self.lines)
        raiser = self.address_of(self.on_break)
        self.help("tracejit_break_off", "void", f"ptr {raiser}")
        lines = self.lines[start:]
        del self.lines[start:]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Raw:
    """A constant that is no object."""

    number: int


def _allocated(room: tuple[str, int]) -> str:
    name, nbytes = room
    return f"  {name} = alloca [{nbytes} x i8], align 16\n"


def _declaration(function: str) -> str:
    result, *kinds = SIGNATURES[function].split()
    return f"declare {result} @{function}({', '.join(kinds)})\n"
