"""Loads and stores: scalars, runs of lanes, and gathers, with and without masks."""

from __future__ import annotations

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.casts import register
from tracejit.codegen.llvm.types import Type
from tracejit.dtypes import DType, bool_

POINTER = Type("ptr")
I1 = Type("i1")


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


def load_masked(b: Builder, pointer: Value, dtype: DType, mask: Value) -> Value:
    """Elements in a row; where the mask is false memory is not touched and the value is zero."""
    type = memory_type(dtype, mask.type.width)
    zero = b.value("zeroinitializer", type)
    value = b.call(f"llvm.masked.load.{type.suffix}.p0", type, pointer, mask, zero, pure=False)
    return from_memory(value, dtype)


def store_masked(b: Builder, pointer: Value, value: Value, mask: Value) -> None:
    stored = to_memory(b, value)
    type = stored.type
    b.module.declare(f"void @llvm.masked.store.{type.suffix}.p0({type}, ptr, {mask.type})")
    b.line(f"call void @llvm.masked.store.{type.suffix}.p0({stored}, {pointer}, {mask})")


def gather(b: Builder, pointers: Value, dtype: DType, mask: Value) -> Value:
    type = memory_type(dtype, pointers.type.width)
    zero = b.value("zeroinitializer", type)
    name = f"llvm.masked.gather.{type.suffix}.{pointers.type.suffix}"
    return from_memory(b.call(name, type, pointers, mask, zero, pure=False), dtype)


def scatter(b: Builder, pointers: Value, value: Value, mask: Value) -> None:
    stored = to_memory(b, value)
    name = f"llvm.masked.scatter.{stored.type.suffix}.{pointers.type.suffix}"
    b.module.declare(f"void @{name}({stored.type}, {pointers.type}, {mask.type})")
    b.line(f"call void @{name}({stored}, {pointers}, {mask})")
