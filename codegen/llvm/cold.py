"""Calls of libm, lane by lane and out of line, for arguments that are rare."""

from __future__ import annotations

from functools import singledispatch

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.types import Type


@singledispatch
def libm_where(b: Builder, where: Value, function: str, value: Value, *args: Value) -> Value:
    """`value`, but `function(*args)` in the lanes of `where`: a branch that is seldom taken.

    `function` is the name of the double-precision one.
    """
    rare, join, before = b.fresh("rare"), b.fresh("join"), b.fresh("before")
    some = b.any(where)
    b.jump(before)
    b.start(before)
    b.branch(some, rare, join, unlikely=True)
    b.start(rare)
    if value.type.width:
        mended = _call_lanes(b, function, where, value, args)
    else:
        mended = b.call(_symbol(function, value.type), value.type, *args)
    b.jump(join)
    b.start(join)
    return b.phi(value.type, (value, before), (mended, rare))


def _symbol(function: str, type: Type) -> str:
    return function + {"float": "f", "double": ""}[type.element]


def _call_lanes(
    b: Builder, function: str, where: Value, value: Value, args: tuple[Value, ...]
) -> Value:
    """Calls a function of the module that goes over the lanes."""
    name = f"lanes.{function}.{value.type.suffix}"
    if not b.module.defines(name):
        b.module.define(name, _lanes_function(b, name, _symbol(function, value.type), value, args))
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
