"""The writer of LLVM IR: constants to the bit, one instruction per operator, nothing declared twice."""

from __future__ import annotations

import llvmlite.binding as llvm
import ml_dtypes
import numpy as np
import pytest

from tracejit.codegen.llvm.builder import Builder, Module, Value, literal
from tracejit.codegen.llvm.target import AVX2
from tracejit.codegen.llvm.types import ELEMENTS, Type
from tracejit.dtypes import ALL

VECTOR = Type("float", 8)


def new_builder() -> Builder:
    return Builder(8, AVX2)


def argument(b: Builder, type: Type = VECTOR) -> Value:
    return b.value("%x", type)


@pytest.mark.parametrize("value", [0.0, -0.0, 0.1, 1e-45, 3.4e38, 1e39, float("inf"), -1.5])
def test_float_constants_keep_the_bits_of_the_rounded_value(value: float) -> None:
    with np.errstate(over="ignore"):
        single = np.float32(value)
        half = np.float16(value)
    assert int(literal("float", value), 16) == int(np.float64(single).view(np.uint64))
    assert int(literal("double", value), 16) == int(np.float64(value).view(np.uint64))
    assert literal("half", value) == f"0xH{int(half.view(np.uint16)):04X}"
    bfloat = single.astype(ml_dtypes.bfloat16)
    assert literal("bfloat", value) == f"0xR{int(bfloat.view(np.uint16)):04X}"


@pytest.mark.parametrize("element", ["half", "bfloat", "float", "double"])
def test_a_nan_constant_is_a_quiet_nan_that_llvm_reads(element: str) -> None:
    text = literal(element, float("nan"))
    module = llvm.parse_assembly(f"@x = global {element} {text}")
    assert text in str(module)


def test_every_dtype_has_an_element() -> None:
    assert ELEMENTS.keys() == set(ALL)


def test_operators_write_one_instruction_and_take_numbers() -> None:
    b = new_builder()
    x = argument(b)
    (1.0 - x * 0.5) / x
    assert b.text().splitlines() == [
        "  %v1 = fmul <8 x float> %x, splat (float 0x3FE0000000000000)",
        "  %v2 = fsub <8 x float> splat (float 0x3FF0000000000000), %v1",
        "  %v3 = fdiv <8 x float> %v2, %x",
    ]


def test_no_instruction_may_be_reassociated_or_contracted() -> None:
    b = new_builder()
    x = argument(b)
    b.select(x < 0.0, -x, x) * x + x
    assert not {"fast", "contract", "reassoc", "nnan", "nsz"} & set(b.text().split())


def test_comparisons_of_floats_are_ordered_but_for_not_equal() -> None:
    b = new_builder()
    x = argument(b)
    x < x, x >= x, x.eq(x), x.ne(x)
    assert [line.split()[3] for line in b.lines] == ["olt", "oge", "oeq", "une"]


def test_integers_use_integer_instructions_and_signed_comparisons() -> None:
    b = new_builder()
    n = argument(b, Type("i64"))
    n - 1, n & 7, n < 3
    assert [line.split()[2] for line in b.lines] == ["sub", "and", "icmp"]
    assert "slt" in b.text()


def test_a_conversion_to_the_same_type_writes_nothing() -> None:
    b = new_builder()
    x = argument(b)
    assert b.convert("fpext", x, "float") is x
    assert not b.lines


def test_a_module_writes_each_declaration_definition_and_node_once() -> None:
    module = Module()
    for _ in range(2):
        module.declare("float @sinf(float)")
        module.define("f", "define void @f() {\n  ret void\n}")
    assert module.metadata("!{i32 1}") == module.metadata("!{i32 1}") == "!0"
    assert module.metadata("!{i32 2}") == "!1"
    text = module.text()
    assert text.count("@sinf") == text.count("@f(") == text.count("!0 =") == 1
    llvm.parse_assembly(text).verify()


def test_a_loop_can_name_what_comes_later() -> None:
    b, i64 = new_builder(), Type("i64")
    b.start("entry")
    b.jump("loop")
    b.start("loop")
    following = b.value("%following", i64)
    index = b.phi(i64, (b.constant(i64, 0), "entry"), (following, "loop"))
    b.emit(f"add {index}, 1", i64, into=following)
    b.branch(following < 10, "loop", "done", unlikely=True)
    b.start("done")
    b.line(f"ret {index}")
    b.module.define("f", f"define i64 @f() {{\n{b.text()}\n}}")
    llvm.parse_assembly(b.module.text()).verify()
    assert b.block == "done"
