"""Calls of libm, lane by lane and out of line, for arguments that are rare."""

from __future__ import annotations

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.types import Type


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
    """For each lane that `%where` selects, replaces the lane of `%value` by a call of `symbol`."""
    b = Builder(value.type.width, outer.target, outer.module)
    index, scalar = Type("i64"), Type(value.type.element)
    where = b.value("%where", value.type.of("i1"))
    vectors = [b.value(f"%x{position}", value.type) for position, _ in enumerate(args)]
    following, result = b.value("%following", index), b.value("%result", value.type)
    b.start("entry")
    b.jump("loop")
    b.start("loop")
    lane = b.phi(index, (b.constant(index, 0), "entry"), (following, "next"))
    current = b.phi(value.type, (b.value("%value", value.type), "entry"), (result, "next"))
    b.branch(b.extract(where, lane), "compute", "next")
    b.start("compute")
    one = b.call(symbol, scalar, *(b.extract(vector, lane) for vector in vectors))
    computed = b.insert(current, one, lane)
    b.jump("next")
    b.start("next")
    pairs = f"[ {current.text}, %loop ], [ {computed.text}, %compute ]"
    b.emit(f"phi {value.type} {pairs}", value.type, into=result)
    b.emit(f"add {lane}, 1", index, into=following)
    b.branch(following.eq(value.type.width), "done", "loop")
    b.start("done")
    b.line(f"ret {result}")
    parameters = ", ".join(map(str, (where, b.value("%value", value.type), *vectors)))
    header = f"define internal {value.type} @{name}({parameters}) noinline cold"
    return f"{header} {b.target.attributes} {{\n{b.text()}\n}}"
