"""Runs math functions from the emitter's text: no loop IR, no plan, one call per array."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm
import numpy as np

from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.math import MATH
from tracejit.codegen.llvm.target import AVX2, AVX512, NEON, SSE, Target
from tracejit.codegen.llvm.types import ELEMENTS, Type
from tracejit.dtypes import DType

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
HOST = llvm.get_host_cpu_features()
_ENGINES = []


@dataclass(frozen=True, slots=True)
class Machine:
    """A target, and the processor whose code LLVM is to write for it."""

    target: Target
    cpu: str
    runs_here: bool


MACHINES = {
    machine.target.name: machine
    for machine in (
        Machine(AVX512, "skylake-avx512", bool(HOST.get("avx512vl") and HOST.get("avx512dq"))),
        Machine(AVX2, "haswell", bool(HOST.get("avx2") and HOST.get("fma"))),
        Machine(SSE, "x86-64-v2", bool(HOST.get("sse4.2"))),
        Machine(NEON, "", bool(HOST.get("neon"))),
    )
}
RUNNABLE = [machine for machine in MACHINES.values() if machine.runs_here]
WIDEST = RUNNABLE[0]


def module_text(fn: Fn, dtype: DType, target: Target, *, scalar: bool = False) -> str:
    """`void f(ptr out, ptr x0, ..., i64 n)`: `out[i] = fn(x[i])`, n a multiple of the lanes."""
    width = 1 if scalar else target.lanes(dtype.itemsize)
    b = Builder(width, target)
    type = Type(ELEMENTS[dtype], 0 if scalar else width)
    i64 = Type("i64")
    b.start("entry")
    b.jump("loop")
    b.start("loop")
    following = b.value("%following", i64)
    first = b.phi(i64, (b.constant(i64, 0), "entry"), (following, "latch"))

    def pointer(base: str) -> Value:
        return b.emit(f"getelementptr {ELEMENTS[dtype]}, ptr {base}, {first}", Type("ptr"))

    args = [
        b.emit(f"load {type}, {pointer(f'%x{k}')}, align {dtype.itemsize}", type)
        for k in range(fn.arity)
    ]
    result = MATH[fn](b, *args)
    b.line(f"store {result}, {pointer('%out')}, align {dtype.itemsize}")
    b.jump("latch")
    b.start("latch")
    b.emit(f"add {first}, {width}", i64, into=following)
    b.branch(following < b.value("%n", i64), "loop", "done")
    b.start("done")
    b.line("ret void")
    pointers = ", ".join(f"ptr %x{k}" for k in range(fn.arity))
    header = f"define void @f(ptr %out, {pointers}, i64 %n) {target.attributes}"
    b.module.define("f", f"{header} {{\n{b.text()}\n}}")
    return b.module.text()


@cache
def compiled(fn: Fn, dtype: DType, target_name: str, scalar: bool = False) -> object:
    machine = MACHINES[target_name]
    module = llvm.parse_assembly(module_text(fn, dtype, machine.target, scalar=scalar))
    triple = llvm.Target.from_default_triple()
    tm = triple.create_target_machine(cpu=machine.cpu, opt=2, codemodel="jitdefault", jit=True)
    engine = llvm.create_mcjit_compiler(module, tm)
    engine.finalize_object()
    _ENGINES.append(engine)
    pointers = [ctypes.c_void_p] * (fn.arity + 1)
    return ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)(engine.get_function_address("f"))


def run(
    fn: Fn, dtype: DType, machine: Machine, *arrays: np.ndarray, scalar: bool = False
) -> np.ndarray:
    """`fn` of arrays of one length, computed with the machine's vectors."""
    count = arrays[0].size
    padded = [np.resize(array.astype(dtype.numpy), -(-count // 16) * 16) for array in arrays]
    out = np.empty_like(padded[0])
    function = compiled(fn, dtype, machine.target.name, scalar)
    function(out.ctypes.data, *(array.ctypes.data for array in padded), out.size)
    return out[:count]
