"""The emitted scalar functions against NumPy scalars."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.harness import WIDEST, Machine
from tests.codegen.kernels import EMITTED, assert_emitted_as_interpreted, run, same_bits, samples
from tracejit.codegen.kernel import scalars
from tracejit.codegen.kernel.builder import ScalarBuilder
from tracejit.codegen.kernel.fn import COMPARISONS, Fn
from tracejit.codegen.kernel.ir import Address, Buffer, Kernel, Kind, Size
from tracejit.codegen.llvm import functions
from tracejit.codegen.llvm.math import MATH
from tracejit.dtypes import ALL, DType, bool_, float32, float64

COMPUTED = [dtype for dtype in ALL if not dtype.is_float or dtype.itemsize >= 4]
ROUNDED = frozenset(MATH) - {Fn.FMOD, Fn.FLOORMOD, Fn.NEXTAFTER}
"""Of floats; these differ from NumPy's in the last places."""

INPUTS = max(fn.arity for fn in Fn)

machines = pytest.mark.parametrize("machine", EMITTED, ids=lambda machine: machine.target.name)


def one_output_each(source: DType, outputs: list[tuple[Fn, DType]], kind: Kind) -> Kernel:
    """Every function of inputs of one dtype and a condition, each to an output of its own."""
    s, size = ScalarBuilder(), Size("n")
    inputs = [Buffer(source, "x") for _ in range(INPUTS)]
    condition = Buffer(bool_, "c")
    outs = [Buffer(dtype, "out", written=True) for _, dtype in outputs]
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.loop(size, kind) as i:
        here = Address(((i, 1),))
        args = [s.load(buffer, here).operand for buffer in inputs]
        chosen = s.load(condition, here).operand
        for out, (fn, dtype) in zip(outs, outputs, strict=True):
            operands = (chosen, *args[:2]) if fn is Fn.SELECT else args[: fn.arity]
            s.store(out, here, s.let(fn, dtype, *operands))
    return Kernel((*inputs, condition, *outs), (size,), (), tuple(body))


def exact_functions(dtype: DType) -> list[tuple[Fn, DType]]:
    inexact = ROUNDED if dtype.is_float else frozenset()
    return [
        (fn, bool_ if fn in COMPARISONS else dtype)
        for fn in Fn
        if scalars.takes(fn, dtype) and fn not in inexact and fn is not Fn.CAST
    ]


def check(machine: Machine, source: DType, outputs: list[tuple[Fn, DType]], kind: Kind) -> None:
    count = 333
    arrays = [samples(source, count, seed) for seed in range(INPUTS)]
    arrays.append(samples(bool_, count))
    arrays += [np.zeros(count, dtype.numpy) for _, dtype in outputs]
    assert_emitted_as_interpreted(one_output_each(source, outputs, kind), machine, arrays, [count])


def test_each_table_has_a_row_for_each_function_of_its_kind() -> None:
    assert functions.BOOL.keys() == scalars.BOOL.keys()
    assert functions.SIGNED.keys() == functions.UNSIGNED.keys() == scalars.INTEGER.keys()
    assert functions.FLOAT.keys() == scalars.FLOAT.keys()


def test_every_function_is_in_a_table() -> None:
    tables = (functions.BOOL, functions.SIGNED, functions.FLOAT)
    assert set().union(*tables) | scalars.ANY_DTYPE == set(Fn)


@machines
@pytest.mark.parametrize("dtype", COMPUTED, ids=str)
def test_exact_functions_give_the_interpreters_bits_in_vectors(
    machine: Machine, dtype: DType
) -> None:
    check(machine, dtype, exact_functions(dtype), Kind.VECTOR)


@pytest.mark.parametrize("dtype", COMPUTED, ids=str)
def test_exact_functions_give_the_interpreters_bits_in_scalars(dtype: DType) -> None:
    check(WIDEST, dtype, exact_functions(dtype), Kind.SERIAL)


@machines
@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_casts_give_the_interpreters_bits(machine: Machine, dtype: DType) -> None:
    check(machine, dtype, [(Fn.CAST, to) for to in ALL], Kind.VECTOR)


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_casts_of_scalars_give_the_interpreters_bits(dtype: DType) -> None:
    check(WIDEST, dtype, [(Fn.CAST, to) for to in ALL], Kind.SERIAL)


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_math_functions_give_scalars_the_bits_they_give_vectors(dtype: DType) -> None:
    outputs = [(fn, dtype) for fn in sorted(ROUNDED, key=lambda fn: fn.method)]
    count = 200
    inputs = [samples(dtype, count, seed) for seed in range(INPUTS)] + [samples(bool_, count)]
    ends = []
    for kind in (Kind.VECTOR, Kind.SERIAL):
        arrays = inputs + [np.zeros(count, dtype.numpy) for _ in outputs]
        run(one_output_each(dtype, outputs, kind), WIDEST, arrays, [count], tasks=1)
        ends.append(arrays[INPUTS + 1 :])
    for (fn, _), vector, scalar in zip(outputs, *ends, strict=True):
        assert same_bits(vector, scalar).all(), fn
