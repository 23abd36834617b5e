"""A kernel is compiled once: in this process, and on this machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from tests.runtime.plans import SCALE, kernel
from tracejit._config import config
from tracejit._errors import CompileError
from tracejit.artifact import KernelSource
from tracejit.runtime.cache import DiskCache
from tracejit.runtime.cpu import compile as compiler
from tracejit.runtime.cpu import elf, target
from tracejit.runtime.cpu import llvm as llvm_of_tracejit
from tracejit.runtime.cpu.compile import load_kernels, object_key
from tracejit.runtime.cpu.llvm import assembly
from tracejit.runtime.cpu.runner import runner_ir
from tracejit.runtime.cpu.target import LEVELS, Host, host, target_level


def test_a_kernel_is_compiled_once_in_a_process() -> None:
    first, second = kernel(SCALE, "once 1"), kernel(SCALE, "once 2")
    before = compiler.counts.compiled
    one = load_kernels([first])
    both = load_kernels([first, second, first])
    assert compiler.counts.compiled == before + 2
    assert both[first.name] == one[first.name]
    assert both[first.name] != both[second.name]


def test_another_process_reads_the_kernels_from_disk(
    tmp_path: Path, run_python: Callable[..., str]
) -> None:
    script = """
from tests.runtime.plans import *
from tracejit.runtime.cpu import compile as compiler
from tracejit.runtime.cache import disk_cache
compiler.load_kernels([kernel(SCALE, str(n)) for n in range(6)], disk_cache())
print(compiler.counts.compiled, compiler.counts.read)
"""
    directory = str(tmp_path / "cache")
    assert run_python(script, TRACEJIT_CACHE_DIR=directory).split() == ["6", "0"]
    assert run_python(script, TRACEJIT_CACHE_DIR=directory).split() == ["0", "6"]
    kept = DiskCache(tmp_path / "cache", 1 << 20).entries()
    kernels = [each for each in kept if host().triple.encode() not in each.path.read_bytes()]
    for entry in kernels[-2:]:
        entry.path.write_bytes(entry.path.read_bytes()[:-5])
    assert run_python(script, TRACEJIT_CACHE_DIR=directory).split() == ["2", "4"]


@pytest.mark.skipif(not elf.can_link(), reason="LLVM links here")
def test_a_process_that_compiles_nothing_does_not_load_llvm(
    tmp_path: Path, run_python: Callable[..., str]
) -> None:
    script = """
import sys
import tracejit as tj
print(tj.compile(lambda x: tj.sin(x) + 7)(tj.tensor([0.0])).item(), "llvmlite.binding" in sys.modules)
"""
    directory = str(tmp_path / "cache")
    assert run_python(script, TRACEJIT_CACHE_DIR=directory).split() == ["7.0", "True"]
    assert run_python(script, TRACEJIT_CACHE_DIR=directory).split() == ["7.0", "False"]


def test_the_host_that_is_remembered_is_the_one_that_llvm_finds(tmp_path: Path) -> None:
    found = llvm_of_tracejit.this_host()
    with config.scope(cache_dir=tmp_path):
        assert [host.__wrapped__(), host.__wrapped__()] == [found, found]
    with config.scope(cache_bytes=0):
        assert host.__wrapped__() == found


def test_another_start_of_the_machine_is_another_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if target._key_of_machine() is None:
        pytest.skip("the system does not tell its starts apart")
    before = target._key_of_machine()
    (tmp_path / "started").write_text("another")
    monkeypatch.setattr(target, "_STARTED", str(tmp_path / "started"))
    assert target._key_of_machine() not in (before, None)
    monkeypatch.setattr(target, "_STARTED", str(tmp_path / "absent"))
    assert target._key_of_machine() is None


def test_a_text_that_llvm_refuses_is_an_error_that_names_the_kernel() -> None:
    broken = KernelSource("kbroken", "define void @kbroken() { call void @nothing() ret void }")
    with pytest.raises(
        CompileError, match=r"kernel kbroken: LLVM refused its text: (?s:.*)nothing"
    ):
        load_kernels([broken])


def test_a_text_that_parses_but_does_not_verify_is_an_error() -> None:
    text = """
define void @kdominance(i1 %c) {
entry:
  br i1 %c, label %a, label %b
a:
  %x = add i32 1, 2
  br label %b
b:
  %y = add i32 %x, 1
  ret void
}"""
    with pytest.raises(CompileError, match="kernel kdominance: LLVM refused its text"):
        load_kernels([KernelSource("kdominance", text)])


def test_a_symbol_that_is_nowhere_is_an_error_that_names_it() -> None:
    text = "declare void @nowhere_to_be_found()\ndefine void @kmissing() {\n  call void @nowhere_to_be_found()\n  ret void\n}"
    with pytest.raises(CompileError, match="nowhere_to_be_found"):
        load_kernels([KernelSource("kmissing", text)])
    assert load_kernels([kernel(SCALE, "after a failure")])


def test_kernels_may_call_libm() -> None:
    text = "declare double @erf(double)\ndefine double @kerf(double %x) {\n  %y = call double @erf(double %x)\n  ret double %y\n}"
    assert load_kernels([KernelSource("kerf", text)])["kerf"]


def test_the_key_of_an_object_holds_the_text_and_the_processor() -> None:
    source = kernel(SCALE)
    assert object_key(source) == object_key(KernelSource(source.name, source.text))
    assert object_key(source) != object_key(KernelSource(source.name, source.text + "\n"))
    assert host().cpu in host().fingerprint


def test_assembly_is_text_for_people() -> None:
    source = kernel(SCALE)
    assert source.name in assembly(source.text)


def test_the_level_is_the_hosts_best_or_the_one_asked_for() -> None:
    best = target_level()
    assert best.name in LEVELS
    assert target_level(best.name) == best
    with pytest.raises(ValueError, match=r"target 'cray': this processor .* runs"):
        target_level("cray")


@pytest.mark.parametrize(
    "triple", ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "arm64-apple-darwin"]
)
def test_the_runner_is_valid_ir_on_every_system(triple: str) -> None:
    text = runner_ir(Host(triple, "", ""))
    llvm.parse_assembly(text, llvm.create_context()).verify()
    assert not re.search(r"{[A-Z]", text), "a name that was not filled in"
    assert ("pthread_create" in text) == ("linux" in triple)
