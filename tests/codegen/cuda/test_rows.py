"""Rows in registers, under the emulation: the CPU program's bits, for all lengths, dtypes and orders of threads."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.codegen.cuda.test_compiled import ARCHITECTURES, cost, rows
from tests.codegen.cuda.test_graphs import array, assert_same_as_cpu, kept, softmax
from tests.codegen.kernels import ORDERS, skip_unless_emulated
from tests.compiler.programs import run
from tests.compiler.test_random_graphs import same_bits
from tests.emulation.plans import Emulated, plan_of
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit._errors import DeviceUnavailable
from tracejit.artifact import LaunchSpec
from tracejit.codegen.cuda.registers import pairs_of, warps_of
from tracejit.compiler import cuda
from tracejit.dtypes import DType
from tracejit.ir.graph import Effect, Graph, Node
from tracejit.runtime.cuda import nvrtc


def normalized(x: Node) -> Node:
    """Two folds, the second over what the first has told; nothing in them is costly."""
    centred = apply("subtract", x, kept("sum", x))
    squares = kept("sum", apply("square", centred))
    return apply("divide", centred, apply("sqrt", squares))


def is_near(graph: Graph) -> bool:
    launches = [step for step in plan_of(graph).steps if isinstance(step, LaunchSpec)]
    return all(step.kernel.endswith("near") for step in launches)


@pytest.mark.parametrize("make", [softmax, normalized])
def test_rows_of_all_lengths(make: object) -> None:
    for width in (1, 2, 63, 66, 1000, 1001, 1024, 1026, 2048, 4096, 4099, 8190, 8192):
        x = array(3, width)
        graph = Graph((x,), (make(x),), ())  # type: ignore[operator]
        assert is_near(graph) or width == 1
        assert_same_as_cpu(graph, seed=width)


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16, dtypes.float64], ids=str)
def test_rows_of_other_dtypes(dtype: DType) -> None:
    for width in (70, 1000, 2049):
        x = array(3, width, dtype=dtype)
        assert_same_as_cpu(Graph((x,), (softmax(x), normalized(x)), ()))


def test_special_values_and_empty_rows() -> None:
    skip_unless_emulated()
    for width in (0, 5, 1500):
        x = array(4, width)
        graph = Graph((x,), (normalized(x), *([softmax(x)] if width else [])), ())
        values = np.linspace(-3, 3, 4 * width, dtype=np.float32).reshape(4, width)
        if width:
            values[0, -1], values[1, 0], values[2] = np.nan, np.inf, -0.0
        expected = run(graph, [values])
        for order in ORDERS:
            for want, have in zip(expected, Emulated(graph, [values.copy()], order).outputs):
                assert same_bits(np.asarray(want), have)


def test_rows_beside_other_arrays() -> None:
    """Several arrays are read in a loop: some at a time. One is broadcast along rows, one down columns."""
    for width in (130, 1025):
        x, y = array(5, width), array(5, width)
        scale, shift = array(width), array(5, 1)
        mixed = apply("add", apply("multiply", x, y), shift)
        out = apply("tanh", apply("multiply", softmax(mixed), scale))
        assert_same_as_cpu(Graph((x, y, scale, shift), (out,), ()))


def test_rows_are_updated_in_place() -> None:
    for width in (96, 3000):
        x, y = array(4, width), array(4, width)
        new = apply("add", softmax(x), y)
        assert_same_as_cpu(Graph((x, y), (kept("sum", new),), (Effect(x, new),)))


def test_costly_values_that_are_folded_are_kept_as_well() -> None:
    for width in (64, 777, 2000):
        x = array(3, width)
        e = apply("exp", x)
        total, most = kept("sum", e), kept("max", apply("tanh", x))
        assert_same_as_cpu(Graph((x,), (apply("divide", e, total), apply("subtract", x, most)), ()))


def test_longer_rows_are_not_kept_in_registers() -> None:
    assert is_near(rows(softmax, dtypes.float32, 8192))
    assert not is_near(rows(softmax, dtypes.float32, 8194))
    (step,) = plan_of(rows(softmax, dtypes.float32, 100)).steps
    assert isinstance(step, LaunchSpec)
    kernel = cuda._kernels[step.kernel.partition("_")[0]]
    assert pairs_of(kernel) == 16
    assert [warps_of(kernel, n) for n in (0, 1, 1024, 1025, 4097, 8192, 8193)] == [
        1,
        1,
        1,
        2,
        8,
        8,
        0,
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("make", [softmax, normalized])
def test_much_of_memory_is_asked_for_at_once(make: object, architecture: str) -> None:
    """Of rows of 16 KiB a processor holds six, all of which are read before anything waits."""
    try:
        nvrtc.library()
    except DeviceUnavailable as error:
        pytest.skip(str(error))
    (source,) = plan_of(rows(make, dtypes.float32, 4096)).kernels
    found = cost(source.text, architecture)
    assert found.spilled == 0
    registers = -(-found.registers // 8) * 8
    blocks = 65536 // (registers * 128)
    assert blocks >= 6
    ptx = nvrtc.compile_text(source.text, "compute_90").image.decode()
    before = ptx[: ptx.index("bar.sync")]
    assert len(re.findall(r"ld\.global\.v2\.\w+", before)) >= 16
    assert blocks * 128 * 16 * 8 >= 96 << 10
