"""The builder of scalar code, writing C: what is written against `Value`s, such as the math functions, serves both back ends.

LLVM's instructions are names here, each with the C that means it. Integers are signed C types, whatever the dtype; what differs
for unsigned ones is cast. Nothing relies on what C leaves undefined: sums and products are of unsigned types.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np

from tracejit._records import dataclass
from tracejit.codegen.llvm.builder import Builder, Number, Value
from tracejit.codegen.llvm.casts import narrow
from tracejit.codegen.llvm.cold import (
    called,
    computed_by_lane_where,
    computed_where,
    libm_where,
    looked_up,
)
from tracejit.codegen.llvm.target import Target
from tracejit.codegen.llvm.types import Type
from tracejit.dtypes import DType, float16

CUDA: Final = Target("cuda", 0, has_fma=True)

TYPES: Final = {
    "i1": "bool",
    "i8": "signed char",
    "i16": "short",
    "i32": "int",
    "i64": "long long",
    "half": "short",  # its bits
    "float": "float",
    "double": "double",
}
UNSIGNED: Final = {
    "i1": "bool",
    "i8": "unsigned char",
    "i16": "unsigned short",
    "i32": "unsigned",
    "i64": "unsigned long long",
}

_FLOAT_BINARY: Final = {"fadd": "+", "fsub": "-", "fmul": "*", "fdiv": "/"}
_WRAPPING: Final = {"add": "+", "sub": "-", "mul": "*", "shl": "<<"}
_BITWISE: Final = {"and": "&", "or": "|", "xor": "^"}
_SIGNED: Final = {"sdiv": "/", "ashr": ">>"}
_UNSIGNED: Final = {"udiv": "/", "lshr": ">>"}

_RELATIONS: Final = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}

_BITCASTS: Final = {
    ("float", "i32"): "__float_as_int({})",
    ("i32", "float"): "__int_as_float({})",
    ("double", "i64"): "__double_as_longlong({})",
    ("i64", "double"): "__longlong_as_double({})",
    ("i16", "half"): "{}",
    ("half", "i16"): "{}",
}

_CALLS: Final = {
    "fma": ("fmaf", "fma"),
    "fabs": ("fabsf", "fabs"),
    "sqrt": ("sqrtf", "sqrt"),
    "copysign": ("copysignf", "copysign"),
    "floor": ("floorf", "floor"),
    "ceil": ("ceilf", "ceil"),
    "trunc": ("truncf", "trunc"),
    "roundeven": ("rintf", "rint"),
}
"""The float's and the double's."""

_CHOICES: Final = {"smin": "<", "smax": ">", "umin": "<", "umax": ">"}


def literal(element: str, value: Number) -> str:
    """The text of a constant, which loses nothing.

    >>> literal("float", 0.1), literal("i64", -1), literal("double", float("inf"))
    ('0x1.99999a0000000p-4f', '-1ll', '__longlong_as_double(0x7ff0000000000000ll)')
    """
    match element:
        case "i1":
            return "true" if value else "false"
        case "float" | "double":
            return _float_literal(element, float(value))
        case "i64":
            least = int(value) == -1 << 63
            return "(-9223372036854775807ll - 1)" if least else f"{int(value)}ll"
        case "i32":
            return "(-2147483647 - 1)" if int(value) == -1 << 31 else str(int(value))
        case _:
            return f"({TYPES[element]}){int(value)}"


def _float_literal(element: str, value: float) -> str:
    with np.errstate(over="ignore"):
        rounded = float(np.float32(value)) if element == "float" else value
    if math.isfinite(rounded):
        return rounded.hex() + ("f" if element == "float" else "")
    if element == "float":
        return f"__int_as_float({int(np.float32(rounded).view(np.uint32)):#x})"
    return f"__longlong_as_double({int(np.float64(rounded).view(np.uint64)):#x}ll)"


@dataclass(slots=True)
class CudaBuilder(Builder):
    """The body of one function in C; every vector is a scalar."""

    depth: int = 1

    # text

    def line(self, text: str) -> None:
        self.lines.append("  " * self.depth + text)

    @contextmanager
    def braces(self, head: str = "") -> Iterator[None]:
        """`head { ... }`"""
        self.line(f"{head} {{".lstrip())
        self.depth += 1
        yield
        self.depth -= 1
        self.line("}")

    @contextmanager
    def unrolled(self, head: str) -> Iterator[None]:
        """A loop of a fixed count."""
        self.line("#pragma unroll")
        with self.braces(f"for ({head})"):
            yield

    def emit(self, text: str, type: Type, into: Value | None = None) -> Value:
        assert into is None
        return self.named(TYPES[type.element], text, type)

    def named(self, c_type: str, text: str, type: Type) -> Value:
        """`const c_type fresh = text;`"""
        name = self.fresh()
        self.line(f"const {c_type} {name} = {text};")
        return Value(name, type, self)

    def variable(self, value: Value) -> Value:
        """A variable that begins as `value`."""
        name = self.fresh("s")
        self.line(f"{TYPES[value.type.element]} {name} = {value.text};")
        return Value(name, value.type, self)

    def set(self, variable: Value, value: Value) -> None:
        self.line(f"{variable.text} = {value.text};")

    # scalars

    def constant(self, type: Type, value: Number) -> Value:
        return Value(literal(type.element, value), type, self)

    def binary(self, op: str, left: Value, right: Value) -> Value:
        a, c, element = left.text, right.text, left.type.element
        if op in _FLOAT_BINARY:
            return self.emit(f"{a} {_FLOAT_BINARY[op]} {c}", left.type)
        if op in _BITWISE:
            text = f"{a} {_BITWISE[op]} {c}"
        elif op in _WRAPPING:
            wide = UNSIGNED["i64" if element == "i64" else "i32"]
            text = f"({wide}){a} {_WRAPPING[op]} ({wide}){c}"
        elif op in _SIGNED:
            text = f"{a} {_SIGNED[op]} {c}"
        else:
            unsigned = UNSIGNED[element]
            text = f"({unsigned}){a} {_UNSIGNED[op]} ({unsigned}){c}"
        return self.emit(f"({TYPES[element]})({text})", left.type)

    def compare(self, predicate: str, left: Value, right: Value) -> Value:
        a, c, to = left.text, right.text, left.type.of("i1")
        if predicate == "uno":
            return self.emit(f"{a} != {a}" if a == c else f"{a} != {a} || {c} != {c}", to)
        if predicate == "one":
            return self.emit(f"{a} < {c} || {a} > {c}", to)
        relation = _RELATIONS.get(predicate) or _RELATIONS[predicate[1:]]
        if not left.type.is_float and predicate.startswith("u"):
            unsigned = UNSIGNED[left.type.element]
            a, c = f"({unsigned}){a}", f"({unsigned}){c}"
        return self.emit(f"{a} {relation} {c}", to)

    def select(self, condition: Value, yes: Value | Number, no: Value | Number) -> Value:
        like = yes if isinstance(yes, Value) else no
        assert isinstance(like, Value)
        yes, no = (x if isinstance(x, Value) else self.constant(like.type, x) for x in (yes, no))
        return self.emit(f"{condition.text} ? {yes.text} : {no.text}", like.type)

    def negate(self, value: Value) -> Value:
        text = value.text
        return self.emit(text[1:] if text.startswith("-") else f"-{text}", value.type)

    def convert(self, instruction: str, value: Value, element: str) -> Value:
        source, to = value.type.element, value.type.of(element)
        if to == value.type:
            return value
        match instruction, source, element:
            case "bitcast", _, _:
                return self.emit(_BITCASTS[source, element].format(value.text), to)
            case "fpext", "half", _:
                return self.emit(f"half_to_float({value.text})", to)
            case "zext" | "uitofp", _, _:
                return self.emit(f"({TYPES[element]})({UNSIGNED[source]}){value.text}", to)
            case _:
                return self.emit(f"({TYPES[element]}){value.text}", to)

    def call(self, symbol: str, type: Type, *args: Value, pure: bool = True) -> Value:
        """Of LLVM's intrinsics, those that scalar functions use."""
        name = symbol.removeprefix("llvm.").removesuffix(f".{args[0].type.suffix}")
        if name in _CALLS:
            function = _CALLS[name][args[0].type.element == "double"]
            return self.emit(f"{function}({', '.join(arg.text for arg in args)})", type)
        if name in _CHOICES:
            predicate = name[0] + {"<": "lt", ">": "gt"}[_CHOICES[name]]
            return self.select(self.compare(predicate, *args), *args)
        signed = name.startswith("fptosi.sat")
        assert signed or name.startswith("fptoui.sat"), symbol
        return self._saturated(args[0], type, signed=signed)

    def _saturated(self, x: Value, to: Type, *, signed: bool) -> Value:
        """x truncated, the nearest that there is for one that does not fit, and 0 for NaN."""
        c_type = TYPES[to.element] if signed else UNSIGNED[to.element]
        least, beyond = (
            (-(2.0 ** (to.bits - 1)), 2.0 ** (to.bits - 1)) if signed else (0.0, 2.0**to.bits)
        )
        low, high = int(least), int(beyond) - 1
        high = high if signed or to.bits < 64 else -1  # all bits of an unsigned one
        high = high if signed or to.bits == 64 else high - (1 << to.bits)
        bounds = (self.constant(x.type, least).text, self.constant(x.type, beyond).text)
        ends = (self.constant(to, low).text, self.constant(to, high).text)
        inside = f"({TYPES[to.element]})({c_type}){x.text}"
        zero = self.constant(to, 0).text
        chosen = (
            f"{x.text} >= {bounds[1]} ? {ends[1]} : {x.text} > {bounds[0]} ? {inside} : {ends[0]}"
        )
        return self.emit(f"{x.text} != {x.text} ? {zero} : {chosen}", to)

    def any(self, mask: Value) -> Value:
        return mask

    # functions

    def function(self, name: str, args: tuple[Value, ...], body: Callable[..., Value]) -> Value:
        """A call of a function of the module that is written once: `body(builder, *args)`."""
        return self.emit(self._call(name, args, body, "__forceinline__"), args[0].type)

    def outside(self, name: str, args: tuple[Value, ...], body: Callable[..., Value]) -> str:
        """The text of a call of a function that stays one, for arguments that are rare."""
        return self._call(name, args, body, "__noinline__")

    def _call(
        self, name: str, args: tuple[Value, ...], body: Callable[..., Value], how: str
    ) -> str:
        if not self.module.defines(name):
            inner = CudaBuilder(0, self.target, self.module)
            parameters = [inner.value(f"x{n}", arg.type) for n, arg in enumerate(args)]
            value = body(inner, *parameters)
            listed = ", ".join(f"{TYPES[x.type.element]} {x.text}" for x in parameters)
            header = f"static __device__ {how} {TYPES[value.type.element]} {name}({listed})"
            self.module.define(name, f"{header} {{\n{inner.text()}\n  return {value.text};\n}}")
        return f"{name}({', '.join(arg.text for arg in args)})"


@libm_where.register
def _(b: CudaBuilder, where: Value, function: str, value: Value, *args: Value) -> Value:
    """CUDA's own function, out of line: its long path would cost all others registers."""
    element = value.type.element
    symbol = function + {"float": "f", "double": ""}[element]

    def body(inner: CudaBuilder, *given: Value) -> Value:
        return inner.emit(f"{symbol}({', '.join(arg.text for arg in given)})", value.type)

    return b.emit(
        f"{where.text} ? {b.outside(f'far_{function}_{element}', args, body)} : {value.text}",
        value.type,
    )


@computed_where.register
def _(
    b: CudaBuilder, where: Value, name: str, value: Value, body: Callable[..., Value], *args: Value
) -> Value:
    symbol = f"{name.replace('.', '_')}_{value.type.element}"
    call = b.outside(symbol, (value, *args), body)
    return b.emit(f"{where.text} ? {call} : {value.text}", value.type)


@computed_by_lane_where.register
def _(
    b: CudaBuilder, where: Value, name: str, value: Value, body: Callable[..., Value], x: Value
) -> Value:
    call = b.outside(f"{name.replace('.', '_')}_{value.type.element}", (x,), body)
    return b.emit(f"{where.text} ? {call} : {value.text}", value.type)


@called.register
def _(b: CudaBuilder, name: str, body: Callable[..., Value], *args: Value) -> Value:
    symbol = f"{name.replace('.', '_')}_{args[0].type.element}"
    return b.emit(b.outside(symbol, args, body), args[0].type)


@looked_up.register
def _(b: CudaBuilder, name: str, words: Sequence[int], place: Value) -> Value:
    if not b.module.defines(name):
        listed = ", ".join(f"{word}u" for word in words)
        table = f"static __device__ const unsigned {name}[{len(words)}] = {{{listed}}};"
        b.module.define(name, table)
    return b.emit(f"(long long){name}[{place.text}]", Type("i64"))


@narrow.register
def _(b: CudaBuilder, x: Value, to: DType) -> Value:
    """One instruction."""
    function = "float_to_half" if to is float16 else "float_to_bfloat"
    return b.emit(f"{function}({x.text})", Type("i16"))
