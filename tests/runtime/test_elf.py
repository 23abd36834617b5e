"""Objects are put into memory without LLVM where they hold no more than is known, and by LLVM otherwise."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import pytest

from tracejit._errors import CompileError
from tracejit.artifact import KernelSource
from tracejit.runtime.cpu import compile as compiler
from tracejit.runtime.cpu import elf, llvm
from tracejit.runtime.cpu.link import address_of
from tracejit.runtime.cpu.target import host

pytestmark = pytest.mark.skipif(not elf.can_link(), reason="the objects here are of another kind")

CONSTANTS = """
@wide = private constant <4 x double> <double 1.0, double 2.0, double 3.0, double 4.0>, align 32
define double @{name}(double %x) {{
  %at = getelementptr double, ptr @wide, i64 2
  %c = load double, ptr %at
  %half = fmul double %x, 0.5
  %y = fadd double %half, %c
  ret double %y
}}
"""
CALLS = """
declare double @erf(double)
define internal double @helper(double %x) noinline {{
  %y = call double @erf(double %x)
  ret double %y
}}
define double @{name}(double %x) {{
  %y = call double @helper(double %x)
  %z = fadd double %y, {constant}
  ret double %z
}}
"""
VARIABLE = """
@{name}.count = global i64 {constant}
define i64 @{name}() {{
  %n = load i64, ptr @{name}.count
  %next = add i64 %n, 1
  store i64 %next, ptr @{name}.count
  ret i64 %next
}}
"""


def objects(constant: float = 1.0, **texts: str) -> dict[str, bytes]:
    return {
        name: llvm.compiled(KernelSource(name, text.format(name=name, constant=constant)), host())
        for name, text in texts.items()
    }


def of_doubles(address: int) -> Callable[[float], float]:
    return ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(address)


def test_constants_calls_and_equal_names_of_local_functions_are_resolved() -> None:
    addresses = elf.link(objects(elf_a=CONSTANTS, elf_b=CALLS, elf_c=CALLS), address_of)
    assert of_doubles(addresses["elf_a"])(8.0) == 7.0
    assert of_doubles(addresses["elf_b"])(0.0) == 1.0
    assert of_doubles(addresses["elf_c"])(30.0) == 2.0


def test_it_gives_what_llvm_gives() -> None:
    made = objects(elf_same=CALLS)
    ours = of_doubles(elf.link(made, address_of)["elf_same"])
    theirs = of_doubles(llvm.link(made)["elf_same"])
    assert [ours(x / 7) for x in range(9)] == [theirs(x / 7) for x in range(9)]


def test_code_and_constants_cannot_be_written() -> None:
    address = elf.link(objects(elf_fixed=CONSTANTS), address_of)["elf_fixed"]
    mappings = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    ends = {tuple(int(end, 16) for end in fields[0].split("-")): fields[1] for fields in mappings}
    (code,) = [place for place in ends if place[0] <= address < place[1]]
    assert ends[code].startswith("r-x")
    assert [mode[:3] for place, mode in ends.items() if place[0] == code[1]] == ["r--"]


def test_variables_can_be_written_and_are_each_functions_own() -> None:
    made = objects(constant=0, elf_v=VARIABLE, elf_w=VARIABLE)
    linked = elf.link(made, address_of)
    count, other = (ctypes.CFUNCTYPE(ctypes.c_int64)(linked[name]) for name in ("elf_v", "elf_w"))
    assert [count(), count(), other()] == [1, 2, 1]


def test_addresses_of_what_lies_elsewhere_are_found() -> None:
    text = "declare double @erf(double)\ndefine ptr @{name}() {{ ret ptr @erf }}"
    linked = elf.link(objects(elf_pointer=text), address_of)
    found = ctypes.CFUNCTYPE(ctypes.c_void_p)(linked["elf_pointer"])()
    assert found == address_of("erf")


def test_variables_with_a_value_are_left_to_llvm() -> None:
    with pytest.raises(elf.Unsupported, match="a section"):
        elf.link(objects(constant=40, elf_value=VARIABLE), address_of)
    source = KernelSource("elf_value", VARIABLE.format(name="elf_value", constant=40))
    function = ctypes.CFUNCTYPE(ctypes.c_int64)(compiler.load_kernels([source])[source.name])
    assert [function(), function()] == [41, 42]


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(elf.Unsupported, match="not an object"):
        elf.link({"f": bytes(200)}, address_of)


def test_llvm_links_where_we_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elf, "can_link", lambda: False)
    source = KernelSource("elf_by_llvm", CALLS.format(name="elf_by_llvm", constant="2.0"))
    assert of_doubles(compiler.load_kernels([source])[source.name])(0.0) == 2.0
    text = (
        "declare void @not_here()\ndefine void @elf_no() {\n  call void @not_here()\n  ret void\n}"
    )
    with pytest.raises(CompileError, match="no symbol not_here"):
        compiler.load_kernels([KernelSource("elf_no", text)])
