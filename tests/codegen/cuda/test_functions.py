"""The scalar functions in CUDA C: a row for each, and the bits of the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.accuracy import samples
from tests.codegen.harness import WIDEST
from tests.codegen.kernels import EMULATED, run, same_bits, skip_unless_emulated
from tests.codegen.test_emit_scalars import INPUTS, one_output_each
from tracejit.codegen.cuda import functions
from tracejit.codegen.cuda.builder import TYPES, UNSIGNED, literal
from tracejit.codegen.kernel import scalars
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.ir import Kind
from tracejit.codegen.llvm.math import MATH
from tracejit.codegen.llvm.types import ELEMENTS
from tracejit.dtypes import DType, float32, float64

WIDENED = [fn for fn in MATH if fn not in (Fn.FMOD, Fn.FLOORMOD, Fn.NEXTAFTER)]


def test_each_table_has_a_row_for_each_function_of_its_kind() -> None:
    assert functions.BOOL.keys() == scalars.BOOL.keys()
    assert functions.SIGNED.keys() == scalars.INTEGER.keys()
    assert functions.UNSIGNED_TABLE.keys() == scalars.INTEGER.keys()
    assert functions.FLOAT.keys() == scalars.FLOAT.keys()


def test_every_function_is_in_a_table() -> None:
    tables = (functions.BOOL, functions.SIGNED, functions.FLOAT)
    assert set().union(*tables) | scalars.ANY_DTYPE == set(Fn)


def test_every_element_has_a_c_type() -> None:
    assert {*ELEMENTS.values(), "half"} - {"bfloat"} == set(TYPES)
    assert set(UNSIGNED) == {element for element in TYPES if element.startswith("i")}


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("arity", [1, 2, 4])
def test_math_functions_have_the_bits_of_the_cpu(arity: int, dtype: DType) -> None:
    """Over the arguments at which their accuracy is measured."""
    skip_unless_emulated()
    names = [fn for fn in WIDENED if fn.arity == arity]
    kernel = one_output_each(dtype, [(fn, dtype) for fn in names], Kind.VECTOR)
    columns = samples({1: Fn.SIN, 2: Fn.POW, 4: Fn.ZETA}[arity], dtype, 400)
    count = columns[0].size
    inputs = [*columns, *[columns[0]] * (INPUTS - arity), np.zeros(count, bool)]
    ends = []
    for machine in (WIDEST, EMULATED):
        arrays = inputs + [np.zeros(count, dtype.numpy) for _ in names]
        run(kernel, machine, arrays, [count], tasks=1)
        ends.append(arrays[INPUTS + 1 :])
    for fn, cpu, cuda in zip(names, *ends, strict=True):
        differ = np.flatnonzero(~same_bits(cpu, cuda))[:3]
        assert not differ.size, (
            fn,
            [column[differ] for column in columns],
            cpu[differ],
            cuda[differ],
        )


@pytest.mark.parametrize("value", [0.1, -0.0, 1e-45, 3.4028235e38, float("inf"), float("-inf")])
def test_literals_lose_nothing(value: float) -> None:
    text = literal("float", value).removesuffix("f")
    if np.isfinite(np.float32(value)):
        assert np.float32(float.fromhex(text)).tobytes() == np.float32(value).tobytes()
    else:
        bits = int(text[len("__int_as_float(") : -1], 16)
        assert np.uint32(bits).view(np.float32) == np.float32(value)
