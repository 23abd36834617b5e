"""What is out of line: for arguments that are rare, calls of libm, lane by lane, and other formulas; and what is long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.types import Type


@singledispatch
def libm_where(b: Builder, where: Value, function: str, value: Value, *args: Value) -> Value:
    """`value`, but `function(*args)` in the lanes of `where`: a branch that is seldom taken.

    `function` is the name of the double-precision one.
    """

    def mended() -> Value:
        if value.type.width:
            return _call_lanes(b, function, where, value, args)
        return b.call(_symbol(function, value.type), value.type, *args)

    return _seldom(b, where, value, mended)


@singledispatch
def computed_where(
    b: Builder, where: Value, name: str, value: Value, body: Callable[..., Value], *args: Value
) -> Value:
    """`value`, but `body(builder, value, *args)` in the lanes of `where`: a branch that is seldom taken.

    `name` is that of the function which the body becomes.
    """

    def mended() -> Value:
        symbol, operands = f"{name}.{value.type.suffix}", (value, *args)
        if not b.module.defines(symbol):
            b.module.define(symbol, _out_of_line(b, symbol, body, operands))
        call = f"call {value.type} @{symbol}({', '.join(map(str, operands))})"
        return b.select(where, b.emit(call, value.type), value)

    return _seldom(b, where, value, mended)


@singledispatch
def computed_by_lane_where(
    b: Builder, where: Value, name: str, value: Value, body: Callable[..., Value], x: Value
) -> Value:
    """`value`, but `body(builder, x)`, which is of scalars, in the lanes of `where`: a branch that is seldom taken.

    `name` is that of the function which the body becomes.
    """
    symbol = f"{name}.{Type(x.type.element).suffix}"

    def mended() -> Value:
        if not b.module.defines(symbol):
            scalar = Builder(0, b.target, b.module)
            operand = scalar.value("%x", Type(x.type.element))
            b.module.define(symbol, _out_of_line(scalar, symbol, body, (operand,)))
        if value.type.width:
            return _call_lanes(b, symbol, where, value, (x,))
        return b.emit(f"call {value.type} @{symbol}({x})", value.type)

    return _seldom(b, where, value, mended)


@singledispatch
def called(b: Builder, name: str, body: Callable[..., Value], *args: Value) -> Value:
    """`body(builder, *args)` as a call of a function, for what is long and stands at several places.

    `name` is that of the function which the body becomes.
    """
    symbol = f"{name}.{args[0].type.suffix}"
    if not b.module.defines(symbol):
        b.module.define(symbol, _out_of_line(b, symbol, body, args, "noinline"))
    operands = ", ".join(map(str, args))
    return b.emit(f"call {args[0].type} @{symbol}({operands})", args[0].type)


@singledispatch
def looked_up(b: Builder, name: str, words: Sequence[int], place: Value) -> Value:
    """The word of 32 bits at a place of a table, as an integer of 64."""
    if not b.module.defines(name):
        listed = ", ".join(f"i32 {word}" for word in words)
        table = f"@{name} = internal constant [{len(words)} x i32] [{listed}]"
        b.module.define(name, table)
    at = b.emit(f"getelementptr i32, ptr @{name}, {place}", Type("ptr"))
    return b.convert("zext", b.emit(f"load i32, {at}", Type("i32")), "i64")


def _seldom(b: Builder, where: Value, value: Value, mended: Callable[[], Value]) -> Value:
    """`value`, or what `mended` computes if any lane of `where` is set."""
    rare, join, before = b.fresh("rare"), b.fresh("join"), b.fresh("before")
    some = b.any(where)
    b.jump(before)
    b.start(before)
    b.branch(some, rare, join, unlikely=True)
    b.start(rare)
    instead = mended()
    b.jump(join)
    b.start(join)
    return b.phi(value.type, (value, before), (instead, rare))


def _out_of_line(
    outer: Builder,
    symbol: str,
    body: Callable[..., Value],
    operands: tuple[Value, ...],
    how: str = "noinline cold",
) -> str:
    """The text of a function of vectors, or of scalars."""
    b = Builder(outer.width, outer.target, outer.module)
    parameters = [b.value(f"%x{n}", operand.type) for n, operand in enumerate(operands)]
    b.start("entry")
    result = body(b, *parameters)
    b.line(f"ret {result}")
    header = f"define internal {result.type} @{symbol}({', '.join(map(str, parameters))}) {how}"
    return f"{header} {b.target.attributes} {{\n{b.text()}\n}}"


def _symbol(function: str, type: Type) -> str:
    return function + {"float": "f", "double": ""}[type.element]


def _call_lanes(
    b: Builder, function: str, where: Value, value: Value, args: tuple[Value, ...]
) -> Value:
    """Calls a function of the module that goes over the lanes."""
    name = f"lanes.{function}.{value.type.suffix}"
    if not b.module.defines(name):
        symbol = function if b.module.defines(function) else _symbol(function, value.type)
        b.module.define(name, _lanes_function(b, name, symbol, value, args))
    operands = ", ".join(map(str, (where, value, *args)))
    return b.emit(f"call {value.type} @{name}({operands})", value.type)


def _lanes_function(
    outer: Builder, name: str, symbol: str, value: Value, args: tuple[Value, ...]
) -> str:
    """Replaces the lanes of `%value` that `%where` selects by calls of `symbol`, from the lowest set bit on."""
    type, scalar = value.type, Type(value.type.element)
    b = Builder(type.width, outer.target, outer.module)
    where, before = b.value("%where", type.of("i1")), b.value("%value", type)
    vectors = [b.value(f"%x{position}", type) for position, _ in enumerate(args)]
    b.start("entry")
    out, *columns = (_in_memory(b, vector) for vector in (before, *vectors))
    mask = Type(f"i{type.width}")
    every = b.convert("zext", b.emit(f"bitcast {where} to {mask}", mask), "i64")
    rest = b.value("%rest", every.type)
    b.jump("lane")
    b.start("lane")
    left = b.phi(every.type, (every, "entry"), (rest, "lane"))
    lane = b.emit(f"call i64 @llvm.cttz.i64({left}, i1 true)", left.type)
    b.module.declare("i64 @llvm.cttz.i64(i64, i1)")
    operands = [
        b.emit(f"load {scalar}, {_element(b, type.element, column, lane)}", scalar)
        for column in columns
    ]
    if b.module.defines(symbol):
        result = b.emit(f"call {scalar} @{symbol}({', '.join(map(str, operands))})", scalar)
    else:
        result = b.call(symbol, scalar, *operands)
    b.line(f"store {result}, {_element(b, type.element, out, lane)}")
    lower = left - 1
    b.emit(f"and {left}, {lower.text}", left.type, into=rest)
    b.branch(rest.ne(0), "lane", "done")
    b.start("done")
    b.line(f"ret {b.emit(f'load {type}, {out}', type)}")
    parameters = ", ".join(map(str, (where, before, *vectors)))
    header = f"define internal {type} @{name}({parameters}) noinline cold"
    return f"{header} {b.target.attributes} {{\n{b.text()}\n}}"


def _in_memory(b: Builder, vector: Value) -> Value:
    """The address of the stack's copy of a vector."""
    address = b.emit(f"alloca {vector.type}", Type("ptr"))
    b.line(f"store {vector}, {address}")
    return address


def _element(b: Builder, element: str, column: Value, lane: Value) -> Value:
    """The address of one lane of a vector in memory."""
    return b.emit(f"getelementptr {element}, {column}, {lane}", Type("ptr"))
