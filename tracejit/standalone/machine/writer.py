"""Writes the LLVM text of a call: values of Python's numbers, words of the frame, and ways to fail."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from tracejit._records import dataclass
from tracejit.runtime.cpu.writer import Writer


class Kind(Enum):
    """Python's types of numbers, as machine code has them."""

    BOOL = "i1"
    INT = "i64"
    FLOAT = "double"


@dataclass(frozen=True, slots=True)
class Value:
    """A number: a literal of LLVM's, or the name of one."""

    kind: Kind
    text: str


class Unable(Exception):
    """Something that machine code does not do as Python does; the message says what."""


class Why(Enum):
    """What a call can fail for."""

    INDEX = "index"
    CHANGED = "changed"
    ARITHMETIC = "arithmetic"
    OVERFLOW = "overflow"
    RAISED = "raised"


@dataclass(frozen=True, slots=True)
class Shown:
    """A number of the frame as text: in `printf` what follows `%`, and for a float that is written as Python does "s"."""

    word: int
    kind: Kind
    how: str


@dataclass(frozen=True, slots=True)
class Failure:
    """What the status `1 + its place among all` means; `parts` are its text."""

    why: Why
    parts: tuple[str | Shown, ...]

    @property
    def text(self) -> str:
        return "".join(each if isinstance(each, str) else "{}" for each in self.parts)


INT_MIN = -(1 << 63)


class CallWriter(Writer):
    """Text of one function `i64 (ptr frame)`, which gives 0, or which of `failures` has ended it."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Failure] = []
        self.declared: list[str] = []
        self.where = ""
        """What is done now, for messages."""

    @contextmanager
    def call_function(self, name: str) -> Iterator[None]:
        self.lines.append(f"define i64 @{name}(ptr %frame) nounwind {{\nentry:")
        self._block = "entry"
        yield
        self.lines.append("}\n")

    def declare(self, text: str) -> None:
        """A function that is called: declared, or written out."""
        if text not in self.declared:
            self.declared.append(text)

    @property
    def text(self) -> str:
        """The module."""
        return "\n".join((*self.declared, *self.lines))

    def fail_when(self, condition: str, why: Why, text: str) -> None:
        """Nothing of what follows is done where `condition` holds."""
        failed, fine = self.fresh("failed"), self.fresh("fine")
        self.do(f"br i1 {condition}, label %{failed}, label %{fine}")
        self.enter(failed)
        self.fail(why, text)
        self.enter(fine)

    def fail(self, why: Why, *parts: str | Shown) -> None:
        failure = Failure(why, (f"{self.where}: ", *parts) if self.where else parts)
        if failure not in self.failures:
            self.failures.append(failure)
        self.do(f"ret i64 {1 + self.failures.index(failure)}")

    # Words of the frame

    def word_at(self, word: int) -> str:
        return self.let(f"getelementptr i64, ptr %frame, i64 {word}")

    def word(self, word: int, kind: str = "i64") -> str:
        return self.let(f"load {kind}, ptr {self.word_at(word)}, align 8")

    def set_word(self, word: int, value: str, kind: str = "i64") -> None:
        self.do(f"store {kind} {value}, ptr {self.word_at(word)}, align 8")

    def number(self, word: int, kind: Kind) -> Value:
        """The number in a word."""
        if kind is Kind.BOOL:
            return Value(kind, self.let(f"trunc i64 {self.word(word)} to i1"))
        return Value(kind, self.word(word, kind.value))

    def set_number(self, word: int, value: Value) -> None:
        if value.kind is Kind.BOOL:
            value = as_int(self, value)
        self.set_word(word, value.text, value.kind.value)

    # Memory

    def copy(self, target: str, source: str, nbytes: int) -> None:
        if nbytes:
            self.declare("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
            operands = f"ptr {target}, ptr {source}, i64 {nbytes}, i1 false"
            self.do(f"call void @llvm.memcpy.p0.p0.i64({operands})")

    def each(
        self,
        shape: tuple[int, ...],
        pointers: tuple[str, ...],
        strides: tuple[tuple[int, ...], ...],
        act: Callable[[tuple[str, ...]], None],
    ) -> None:
        """Does `act` for pointers to each element of arrays of one shape; strides in bytes."""
        if not shape:
            act(pointers)
            return
        with self.loop("0", str(shape[0]), "1") as index:
            moved = tuple(
                self.at(pointer, self.let(f"mul i64 {index}, {steps[0]}"))
                for pointer, steps in zip(pointers, strides, strict=True)
            )
            self.each(shape[1:], moved, tuple(steps[1:] for steps in strides), act)


def known(value: bool | int | float) -> Value:
    """A literal. Raises Unable for an int that is too large."""
    if type(value) is bool:
        return Value(Kind.BOOL, str(value).lower())
    if type(value) is int:
        if not INT_MIN <= value < -INT_MIN:
            raise Unable(f"{value} has more than 64 bits")
        return Value(Kind.INT, str(value))
    if type(value) is not float:
        raise Unable(f"{value!r} is no number")
    return Value(Kind.FLOAT, float_literal(value))


def float_literal(value: float) -> str:
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def as_int(w: Writer, value: Value) -> Value:
    """A bool as Python counts with it."""
    if value.kind is Kind.INT:
        return value
    assert value.kind is Kind.BOOL
    return Value(Kind.INT, w.let(f"zext i1 {value.text} to i64"))


def as_float(w: Writer, value: Value) -> Value:
    if value.kind is Kind.FLOAT:
        return value
    return Value(Kind.FLOAT, w.let(f"sitofp i64 {as_int(w, value).text} to double"))
