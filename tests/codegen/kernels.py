"""Runs kernels through LLVM, as emulated CUDA C, and through the interpreter, and compares the outcomes bit for bit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

from tests.codegen.harness import RUNNABLE, Machine
from tests.emulation.emulate import guarded, unavailable
from tests.emulation.launch import launch, shapes
from tracejit.codegen.cuda.builder import CUDA
from tracejit.codegen.kernel.interpret import interpret
from tracejit.codegen.kernel.ir import Address, Kernel, Size, Var
from tracejit.codegen.kernel.printer import print_kernel
from tracejit.codegen.kernel.verify import verify
from tracejit.codegen.llvm.emit import emit
from tracejit.dtypes import DType

Array = np.ndarray[Any, Any]

EMULATED = Machine(CUDA, "", runs_here=True)
"""A GPU, as the emulation has it: kernels are emitted as CUDA C."""
EMITTED = [*RUNNABLE, EMULATED]
ORDERS = (0, 1, 7)
"""Of the threads of a block: ascending, descending, shuffled."""

SCRATCH_BYTES = 1 << 20
_ENGINES: list[object] = []
_COMPILED: dict[tuple[str, str], Callable[..., None]] = {}


def at(index: Var, stride: Size | int = 1, offset: Size | int = 0) -> Address:
    return Address(((index, stride),), offset)


def compiled(kernel: Kernel, machine: Machine) -> Callable[..., None]:
    key = (print_kernel(verify(kernel)), machine.target.name)
    if key not in _COMPILED:
        module = llvm.parse_assembly(emit(kernel, "kernel", machine.target))
        module.verify()
        triple = llvm.Target.from_default_triple()
        options = {"opt": 1, "codemodel": "jitdefault", "jit": True}
        target_machine = triple.create_target_machine(cpu=machine.cpu, **options)
        engine = llvm.create_mcjit_compiler(module, target_machine)
        engine.finalize_object()
        _ENGINES.append(engine)
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        signature = ctypes.CFUNCTYPE(None, pointer, pointer, pointer, integer, integer, pointer)
        _COMPILED[key] = signature(engine.get_function_address("kernel"))
    return _COMPILED[key]


def run(
    kernel: Kernel,
    machine: Machine,
    arrays: Sequence[Array],
    sizes: Sequence[int],
    tasks: int,
    origins: Sequence[int] | None = None,
) -> None:
    """All tasks, in place; a pointer is to `array[origin]`."""
    if machine is EMULATED:
        skip_unless_emulated()
        launch(kernel, [(arrays, sizes, tasks)], origins=origins)
        return
    starts = [
        array.ctypes.data + origin * array.itemsize
        for array, origin in zip(arrays, origins or [0] * len(arrays), strict=True)
    ]
    pointers = (ctypes.c_void_p * len(arrays))(*starts)
    dims = (ctypes.c_int64 * max(1, len(sizes)))(*sizes)
    scratch = np.full(SCRATCH_BYTES + 64, 0xA5, np.uint8)
    aligned = scratch.ctypes.data + -scratch.ctypes.data % 64
    compiled(kernel, machine)(
        None, ctypes.addressof(pointers), ctypes.addressof(dims), 0, tasks, aligned
    )


def assert_emitted_as_interpreted(
    kernel: Kernel,
    machine: Machine,
    arrays: Sequence[Array],
    sizes: Sequence[int] = (),
    *,
    tasks: int = 1,
    origins: Sequence[int] | None = None,
) -> list[Array]:
    """Runs the kernel both ways on copies; every array must end with the same bits. The arrays as they end."""
    expected, got = ([array.copy() for array in arrays] for _ in range(2))
    interpret(kernel, expected, sizes, origins)
    if machine is EMULATED:
        return assert_launched(kernel, expected, arrays, sizes, tasks, origins)
    run(kernel, machine, got, sizes, tasks, origins)
    assert_same(expected, got)
    return got


def assert_launched(
    kernel: Kernel,
    expected: Sequence[Array],
    arrays: Sequence[Array],
    sizes: Sequence[int],
    tasks: int,
    origins: Sequence[int] | None,
) -> list[Array]:
    """Whatever the order of threads, the shape of the launch, and where arrays begin."""
    skip_unless_emulated()
    for shape in shapes(kernel, [(sizes, tasks)]):
        for order, aligned in zip(ORDERS, (True, False, True), strict=True):
            got = [guarded(array, aligned=aligned) for array in arrays]
            launch(kernel, [(got, sizes, tasks)], origins=origins, order=order, shape=shape)
            assert_same(expected, got)
    return got


def skip_unless_emulated() -> None:
    if reason := unavailable():
        pytest.skip(reason)


def assert_same(expected: Sequence[Array], got: Sequence[Array]) -> None:
    """Every array has the same bits."""
    for number, (want, have) in enumerate(zip(expected, got, strict=True)):
        differ = np.flatnonzero(~same_bits(want, have))
        places = [(int(at), want[at], have[at]) for at in differ[:5]]
        assert not places, f"argument {number}: (place, interpreted, emitted): {places}"


def same_bits(a: Array, b: Array) -> Array:
    """Elementwise: equal to the bit, or both NaN."""
    bits = np.dtype(f"u{a.itemsize}")
    both_nan = (a != a) & (b != b)
    return np.asarray((a.view(bits) == b.view(bits)) | both_nan)


def samples(dtype: DType, count: int, seed: int = 0) -> Array:
    """Numbers of all magnitudes, with the special ones strewn among them."""
    rng = np.random.default_rng(seed)
    if dtype.kind == "b":
        return rng.integers(0, 2, count).astype(bool)
    if dtype.kind in "iu":
        info = np.iinfo(dtype.numpy)
        wide = rng.integers(info.min, info.max, count, dtype=dtype.numpy, endpoint=True)
        small = rng.integers(max(info.min, -9), 9, count).astype(dtype.numpy)
        special = np.array([info.min, info.max, 0, 1, info.min + 1], dtype.numpy)
        values = np.where(rng.random(count) < 0.5, wide, small)
    else:
        exponents = np.where(
            rng.random(count) < 0.7, rng.uniform(-3, 3, count), rng.uniform(-60, 60, count)
        )
        with np.errstate(over="ignore"):
            values = (rng.standard_normal(count) * 2.0**exponents).astype(dtype.numpy)
            special = np.array(
                [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, 1.5, 2.5, 1e-42]
            ).astype(dtype.numpy)
    places = rng.random(count) < 0.15
    values[places] = rng.choice(special, int(places.sum()))
    return values
