"""Writes LLVM IR as text: typed values with Python's operators, blocks, and what a module declares.

No instruction carries a fast-math flag: an op rounds where the program says so. Where one rounding is wanted for two ops the
code says `fma`, which gives the same bits on every vector width.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from tracejit._records import dataclass, field
from tracejit.codegen.llvm.target import Target
from tracejit.codegen.llvm.types import Type

Number = bool | int | float

_FLOAT_OPS: Final = {"+": "fadd", "-": "fsub", "*": "fmul", "/": "fdiv"}
_INT_OPS: Final = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "&": "and",
    "|": "or",
    "^": "xor",
    "<<": "shl",
}
_FLOAT_PREDICATES: Final = {
    "<": "olt",
    "<=": "ole",
    ">": "ogt",
    ">=": "oge",
    "==": "oeq",
    "!=": "une",
}
_INT_PREDICATES: Final = {"<": "slt", "<=": "sle", ">": "sgt", ">=": "sge", "==": "eq", "!=": "ne"}


def literal(element: str, value: Number) -> str:
    """The text of a constant: floats as their bits, so that nothing is lost.

    >>> literal("float", 0.1), literal("i64", -1), literal("half", 1.0)
    ('0x3FB99999A0000000', '-1', '0xH3C00')
    """
    if element == "i1":
        return "true" if value else "false"
    if element.startswith("i"):
        return str(int(value))
    with np.errstate(over="ignore"):
        if element == "half":
            return f"0xH{int(np.float16(value).view(np.uint16)):04X}"
        single = np.float32(value)
    if element == "bfloat":
        return f"0xR{_bfloat_bits(single):04X}"
    rounded = float(single) if element == "float" else float(value)
    return f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"


def _bfloat_bits(single: np.float32) -> int:
    bits = int(single.view(np.uint32))
    if np.isnan(single):
        return bits >> 16 | 0x40
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An SSA name or a constant, with its type; `str` gives both, as LLVM writes an operand.

    Operators emit one instruction each. A Python number beside a value takes its type. `/` and the comparisons are those of
    floats or of signed integers; comparisons of floats are false where either is NaN, but `ne`, which is true.
    """

    text: str
    type: Type
    builder: Builder = field(repr=False)

    def __str__(self) -> str:
        return f"{self.type} {self.text}"

    def __add__(self, other: Value | Number) -> Value:
        return self._binary("+", self, other)

    def __radd__(self, other: Number) -> Value:
        return self._binary("+", other, self)

    def __sub__(self, other: Value | Number) -> Value:
        return self._binary("-", self, other)

    def __rsub__(self, other: Number) -> Value:
        return self._binary("-", other, self)

    def __mul__(self, other: Value | Number) -> Value:
        return self._binary("*", self, other)

    def __rmul__(self, other: Number) -> Value:
        return self._binary("*", other, self)

    def __truediv__(self, other: Value | Number) -> Value:
        return self._binary("/", self, other)

    def __rtruediv__(self, other: Number) -> Value:
        return self._binary("/", other, self)

    def __and__(self, other: Value | Number) -> Value:
        return self._binary("&", self, other)

    def __or__(self, other: Value | Number) -> Value:
        return self._binary("|", self, other)

    def __xor__(self, other: Value | Number) -> Value:
        return self._binary("^", self, other)

    def __lshift__(self, other: Value | Number) -> Value:
        return self._binary("<<", self, other)

    def __neg__(self) -> Value:
        return self.builder.negate(self) if self.type.is_float else 0 - self

    def __invert__(self) -> Value:
        return self ^ (True if self.type.element == "i1" else -1)

    def __lt__(self, other: Value | Number) -> Value:
        return self._compare("<", other)

    def __le__(self, other: Value | Number) -> Value:
        return self._compare("<=", other)

    def __gt__(self, other: Value | Number) -> Value:
        return self._compare(">", other)

    def __ge__(self, other: Value | Number) -> Value:
        return self._compare(">=", other)

    def eq(self, other: Value | Number) -> Value:
        return self._compare("==", other)

    def ne(self, other: Value | Number) -> Value:
        return self._compare("!=", other)

    def _binary(self, symbol: str, left: Value | Number, right: Value | Number) -> Value:
        ops = _FLOAT_OPS if self.type.is_float else _INT_OPS
        return self.builder.binary(ops[symbol], self._like(left), self._like(right))

    def _compare(self, symbol: str, other: Value | Number) -> Value:
        predicates = _FLOAT_PREDICATES if self.type.is_float else _INT_PREDICATES
        return self.builder.compare(predicates[symbol], self, self._like(other))

    def _like(self, operand: Value | Number) -> Value:
        return operand if isinstance(operand, Value) else self.builder.constant(self.type, operand)


@dataclass(slots=True)
class Module:
    """What the functions of one module share: each thing is written once, however often it is asked for."""

    _declarations: dict[str, None] = field(default_factory=dict)
    _functions: dict[str, str] = field(default_factory=dict)
    _metadata: dict[str, int] = field(default_factory=dict)

    def declare(self, signature: str) -> None:
        """`float @sinf(float)`, with no `declare`."""
        self._declarations[signature] = None

    def define(self, name: str, text: str) -> None:
        """The whole text of a function; the first of a name stands."""
        self._functions.setdefault(name, text)

    def defines(self, name: str) -> bool:
        return name in self._functions

    def metadata(self, node: str) -> str:
        """The reference, such as `!0`, of a node such as `!{i32 1}`."""
        return f"!{self._metadata.setdefault(node, len(self._metadata))}"

    def text(self) -> str:
        """The module: declarations, functions in the order of definition, metadata."""
        declarations = [f"declare {signature}" for signature in sorted(self._declarations)]
        metadata = [f"!{number} = {node}" for node, number in self._metadata.items()]
        blocks = ["\n".join(declarations), *self._functions.values(), "\n".join(metadata)]
        return "\n\n".join(block for block in blocks if block) + "\n"


@dataclass(slots=True)
class Builder:
    """The body of one function, written in order. `width` is the number of lanes of its vectors; scalars are free to mix in.

    `block` is the label of the block being written: the one that a phi must name. A body starts in `entry`.
    """

    width: int
    target: Target
    module: Module = field(default_factory=Module)
    block: str = "entry"
    lines: list[str] = field(default_factory=list)
    _names: int = 0

    # text

    def fresh(self, prefix: str = "v") -> str:
        """A name that no other has, without the percent sign."""
        self._names += 1
        return f"{prefix}{self._names}"

    def line(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def value(self, text: str, type: Type) -> Value:
        """A name made elsewhere: an argument, or what a later instruction will define."""
        return Value(text, type, self)

    def emit(self, text: str, type: Type, into: Value | None = None) -> Value:
        """`%fresh = text`, or the definition of `into`, a value that was named ahead for a phi."""
        result = into or Value(f"%{self.fresh()}", type, self)
        self.line(f"{result.text} = {text}")
        return result

    # constants

    def vector(self, element: str) -> Type:
        return Type(element, self.width)

    def constant(self, type: Type, value: Number) -> Value:
        text = literal(type.element, value)
        return Value(f"splat ({type.element} {text})" if type.width else text, type, self)

    def constants(self, element: str, values: tuple[Number, ...]) -> Value:
        """A vector of different constants."""
        lanes = ", ".join(f"{element} {literal(element, value)}" for value in values)
        return Value(f"<{lanes}>", Type(element, len(values)), self)

    def lane_numbers(self, element: str = "i64") -> Value:
        """0, 1, 2 ... width - 1"""
        return self.constants(element, tuple(range(self.width)))

    def poison(self, type: Type) -> Value:
        return Value("poison", type, self)

    # instructions

    def binary(self, op: str, left: Value, right: Value) -> Value:
        return self.emit(f"{op} {left}, {right.text}", left.type)

    def compare(self, predicate: str, left: Value, right: Value) -> Value:
        """`fcmp` or `icmp` by the type; the predicate is LLVM's (`uno`, `ult` ...)."""
        instruction = "fcmp" if left.type.is_float else "icmp"
        return self.emit(f"{instruction} {predicate} {left}, {right.text}", left.type.of("i1"))

    def select(self, condition: Value, yes: Value | Number, no: Value | Number) -> Value:
        """Lane by lane; one of `yes` and `no` may be a number."""
        like = yes if isinstance(yes, Value) else no
        assert isinstance(like, Value)
        yes, no = (x if isinstance(x, Value) else self.constant(like.type, x) for x in (yes, no))
        return self.emit(f"select {condition}, {yes}, {no}", yes.type)

    def convert(self, instruction: str, value: Value, element: str) -> Value:
        """`fptrunc`, `fpext`, `sitofp`, `zext`, `bitcast` ... lane by lane."""
        to = value.type.of(element)
        return value if to == value.type else self.emit(f"{instruction} {value} to {to}", to)

    def bits(self, value: Value) -> Value:
        """A float's bits as an integer."""
        return self.convert("bitcast", value, value.type.integer.element)

    def from_bits(self, value: Value) -> Value:
        """The float of 32 or 64 bits."""
        return self.convert("bitcast", value, {32: "float", 64: "double"}[value.type.bits])

    def negate(self, value: Value) -> Value:
        """A float with its sign turned."""
        return self.emit(f"fneg {value}", value.type)

    def shift_right(self, value: Value, count: int, *, signed: bool) -> Value:
        op = "ashr" if signed else "lshr"
        return self.binary(op, value, self.constant(value.type, count))

    def call(self, symbol: str, type: Type, *args: Value, pure: bool = True) -> Value:
        """A call of an outside function or an intrinsic, declared by the way."""
        attributes = " nounwind willreturn memory(none)"
        signature = f"{type} @{symbol}({', '.join(str(arg.type) for arg in args)})"
        is_plain = symbol.startswith("llvm.") or not pure
        self.module.declare(signature if is_plain else signature + attributes)
        return self.emit(f"call {type} @{symbol}({', '.join(map(str, args))})", type)

    def intrinsic(self, name: str, *args: Value) -> Value:
        """`llvm.name`, overloaded on the one type of its arguments and result."""
        type = args[0].type
        return self.call(f"llvm.{name}.{type.suffix}", type, *args)

    def fma(self, a: Value, b: Value | Number, c: Value | Number) -> Value:
        """a * b + c, rounded once."""
        b, c = (x if isinstance(x, Value) else self.constant(a.type, x) for x in (b, c))
        return self.intrinsic("fma", a, b, c)

    def abs(self, value: Value) -> Value:
        return self.intrinsic("fabs", value)

    def sqrt(self, value: Value) -> Value:
        return self.intrinsic("sqrt", value)

    def copysign(self, magnitude: Value, sign: Value) -> Value:
        return self.intrinsic("copysign", magnitude, sign)

    # lanes

    def splat(self, scalar: Value) -> Value:
        """A scalar in every lane."""
        one = Type(scalar.type.element, self.width)
        first = self.emit(f"insertelement {one} poison, {scalar}, i64 0", one)
        lanes = Type("i32", self.width)
        return self.emit(f"shufflevector {first}, {one} poison, {lanes} zeroinitializer", one)

    def extract(self, vector: Value, lane: Value | int) -> Value:
        index = str(lane) if isinstance(lane, Value) else f"i64 {lane}"
        return self.emit(f"extractelement {vector}, {index}", Type(vector.type.element))

    def shuffle(self, first: Value, second: Value | None, lanes: tuple[int, ...]) -> Value:
        """Lanes picked from `first` and, numbered on from there, `second`."""
        other = second or self.poison(first.type)
        picked = ", ".join(f"i32 {lane}" for lane in lanes)
        to = Type(first.type.element, len(lanes))
        return self.emit(f"shufflevector {first}, {other}, <{len(lanes)} x i32> <{picked}>", to)

    def first_lane(self, masks: Sequence[Value]) -> Value:
        """The number of the first lane that is set, counted through all masks: 64 lanes; 64 for none."""
        lanes = self.constant(Type("i64"), 0)
        for number, mask in enumerate(masks):
            own = self.emit(f"bitcast {mask} to i{self.width}", Type(f"i{self.width}"))
            lanes = lanes | (self.convert("zext", own, "i64") << number * self.width)
        return self.call("llvm.cttz.i64", lanes.type, lanes, self.constant(Type("i1"), False))

    def any(self, mask: Value) -> Value:
        """An i1: true if any lane is."""
        if not mask.type.width:
            return mask
        return self.call(f"llvm.vector.reduce.or.{mask.type.suffix}", Type("i1"), mask)

    # blocks

    def start(self, label: str) -> None:
        """Begins the block `label`; the one before must have ended in a branch."""
        self.lines.append(f"{label}:")
        self.block = label

    def jump(self, label: str) -> None:
        self.line(f"br label %{label}")

    def branch(self, condition: Value, yes: str, no: str, *, unlikely: bool = False) -> None:
        weights = self.module.metadata('!{!"branch_weights", i32 1, i32 2000}') if unlikely else ""
        hint = f", !prof {weights}" if unlikely else ""
        self.line(f"br {condition}, label %{yes}, label %{no}{hint}")

    def phi(self, type: Type, *incoming: tuple[Value, str]) -> Value:
        """The value that came with the block control came from; values may be named ahead by `value`."""
        pairs = ", ".join(f"[ {value.text}, %{block} ]" for value, block in incoming)
        return self.emit(f"phi {type} {pairs}", type)

    def text(self) -> str:
        """The lines of the body, to be put between the braces of a definition after `entry:`."""
        return "\n".join(self.lines)
