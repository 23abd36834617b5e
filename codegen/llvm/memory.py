"""Loads and stores: scalars, runs of lanes, and gathers, with and without masks."""

from __future__ import annotations

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.casts import register
from tracejit.codegen.llvm.types import Type
from tracejit.dtypes import DType, bool_

POINTER = Type("ptr")


def memory_type(dtype: DType, width: int = 0) -> Type:
    """The type of a value in memory: a bool is a byte there."""
    return Type("i8", width) if dtype is bool_ else register(dtype, width)


def to_memory(b: Builder, value: Value) -> Value:
    return b.convert("zext", value, "i8") if value.type.element == "i1" else value


def from_memory(value: Value, dtype: DType) -> Value:
    return value.ne(0) if dtype is bool_ else value


def element_pointer(b: Builder, pointer: Value, dtype: DType, offset: Value) -> Value:
    """`pointer + offset` elements; a vector of pointers if `offset` is a vector."""
    to = Type("ptr", offset.type.width)
    return b.emit(f"getelementptr {memory_type(dtype)}, {pointer}, {offset}", to)


def load(b: Builder, pointer: Value, dtype: DType, width: int = 0) -> Value:
    """One element, or `width` elements in a row."""
    type = memory_type(dtype, width)
    value = b.emit(f"load {type}, {pointer}, align {dtype.itemsize}", type)
    return from_memory(value, dtype)


def store(b: Builder, pointer: Value, value: Value, dtype: DType) -> None:
    b.line(f"store {to_memory(b, value)}, {pointer}, align {dtype.itemsize}")


def stream(b: Builder, pointer: Value, value: Value) -> None:
    """Stores past the caches, at a multiple of the vector's size; `fence` comes before others may look."""
    held = to_memory(b, value)
    mark = b.module.metadata("!{i32 1}")
    b.line(
        f"store {held}, {pointer}, align {max(held.type.width, 1) * held.type.bits // 8}, !nontemporal {mark}"
    )


def fence(b: Builder) -> None:
    """What has been streamed is there for other threads, as ordinary stores are by themselves."""
    if b.target.is_x86:
        b.module.declare("void @llvm.x86.sse.sfence()")
        b.line("call void @llvm.x86.sse.sfence()")


# The masked intrinsics are written as they were before LLVM 22, with the alignment as an operand: it upgrades them on reading.


def prefetch(b: Builder, pointer: Value) -> None:
    """Brings a line of memory near, if it is there at all."""
    b.module.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
    b.line(f"call void @llvm.prefetch.p0({pointer}, i32 0, i32 3, i32 1)")


def load_masked(b: Builder, pointer: Value, dtype: DType, mask: Value) -> Value:
    """Elements in a row; where the mask is false memory is not touched and the value is zero."""
    type = memory_type(dtype, mask.type.width)
    name = f"llvm.masked.load.{type.suffix}.p0"
    return from_memory(b.call(name, type, *_read(b, pointer, type, dtype, mask), pure=False), dtype)


def store_masked(b: Builder, pointer: Value, value: Value, dtype: DType, mask: Value) -> None:
    _write(b, "store", pointer, value, dtype, mask)


def gather(b: Builder, pointers: Value, dtype: DType, mask: Value) -> Value:
    """Elements anywhere; zero where the mask is false."""
    type = memory_type(dtype, mask.type.width)
    name = f"llvm.masked.gather.{type.suffix}.{pointers.type.suffix}"
    return from_memory(
        b.call(name, type, *_read(b, pointers, type, dtype, mask), pure=False), dtype
    )


def scatter(b: Builder, pointers: Value, value: Value, dtype: DType, mask: Value) -> None:
    """In the order of the lanes, where two meet."""
    _write(b, "scatter", pointers, value, dtype, mask)


def _read(b: Builder, place: Value, type: Type, dtype: DType, mask: Value) -> tuple[Value, ...]:
    return place, _alignment(b, dtype), mask, b.value("zeroinitializer", type)


def _write(b: Builder, kind: str, place: Value, value: Value, dtype: DType, mask: Value) -> None:
    operands = (to_memory(b, value), place, _alignment(b, dtype), mask)
    name = f"llvm.masked.{kind}.{operands[0].type.suffix}.{place.type.suffix}"
    b.module.declare(f"void @{name}({', '.join(str(operand.type) for operand in operands)})")
    b.line(f"call void @{name}({', '.join(map(str, operands))})")


def _alignment(b: Builder, dtype: DType) -> Value:
    return b.constant(Type("i32"), dtype.itemsize)
