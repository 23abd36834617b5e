"""Folds down wide columns of much memory, row by row: two launches, with the bits of one that goes down strips of columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.compiler.programs import run
from tests.ir.graphs import apply
from tracejit._config import config
from tracejit.codegen.kernel import lower
from tracejit.codegen.kernel.grain import CORES
from tracejit.compiler import compile_graph, cpu
from tracejit.dtypes import DType, float16, float32, float64, int32, int64
from tracejit.ir.aval import aval
from tracejit.ir.graph import Graph, Input, Node


def columns(x: Node, y: Node, axis: int) -> tuple[Node, ...]:
    """What is computed on the way, kept, and folded in several ways; and what follows from a sum."""
    way = apply("add", apply("multiply", x, y), x)
    folds = [apply(name, way, axes=(axis,)) for name in ("sum", "max", "min")]
    above = apply("any", apply("greater", way, y), axes=(axis,))
    return way, *folds, above, apply("multiply", folds[0], folds[1])


def graph(shape: tuple[int, ...], dtype: DType, axis: int = 0) -> Graph:
    x, y = (Input(aval(dtype, shape)) for _ in range(2))
    return Graph((x, y), columns(x, y, axis))


def samples(shape: tuple[int, ...], dtype: DType, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays = [(30 * rng.standard_normal(shape)).astype(dtype.numpy) for _ in range(2)]
    if dtype.is_float and arrays[0].size:
        for number, value in enumerate((np.nan, np.inf, -0.0, -np.inf)):
            arrays[number % 2].flat[7919 * number % arrays[0].size] = value
    return arrays


def with_grain(monkeypatch: pytest.MonkeyPatch, whole_rows: int) -> None:
    monkeypatch.setattr(cpu, "CORES", replace(CORES, whole_rows=whole_rows))


def launches(graph: Graph) -> int:
    return len(compile_graph(graph).launches)


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)  # any NaN is as good as another
        if a.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(a[a == 0]), np.signbit(b[b == 0]))


def test_much_memory_is_read_row_by_row() -> None:
    assert launches(graph((1024, 512), float32)) == 2
    assert launches(graph((1023, 512), float32)) == 1  # less than 2 MiB
    assert launches(graph((2048, 256), float32)) == 1  # rows are short
    assert launches(graph((128, 8192), float32)) == 1  # too few blocks of rows for several threads


def test_what_a_later_loop_needs_is_found_in_the_cache() -> None:
    """Columns that are gone through twice are read from memory once, strip by strip."""
    x = Input(aval(float32, (1024, 512)))
    mean = apply("reshape", apply("sum", x, axes=(0,)), shape=(1, 512))
    assert launches(Graph((x,), (apply("subtract", x, mean),))) == 1


@pytest.mark.parametrize("dtype", [float32, float64, float16, int32, int64], ids=str)
@pytest.mark.parametrize(
    "shape", [(1024, 512), (1100, 515), (3, 400, 600), (4097, 513), (257, 4100)]
)
def test_the_bits_are_those_of_strips(
    dtype: DType, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    folded, arrays = graph(shape, dtype, len(shape) - 2), samples(shape, dtype)
    with_grain(monkeypatch, 0)
    assert launches(folded) == 1
    expected = run(folded, arrays)
    with_grain(monkeypatch, CORES.whole_rows)
    assert launches(folded) == 2
    for threads in (1, 2):
        with config.scope(num_threads=threads):
            assert_same(run(folded, arrays), expected)


@settings(max_examples=30)
@given(
    st.integers(1, 700), st.integers(1, 90), st.sampled_from([float32, float64, int32]), st.data()
)
def test_any_sizes_have_the_bits_of_strips(
    rows: int, width: int, dtype: DType, data: st.DataObject
) -> None:
    shape = (*data.draw(st.sampled_from([(), (2,)])), rows, width)
    folded, arrays = graph(shape, dtype, len(shape) - 2), samples(shape, dtype, rows)
    with pytest.MonkeyPatch.context() as monkeypatch:
        with_grain(monkeypatch, 0)
        expected = run(folded, arrays)
        for name, value in (("WIDE", 1), ("ENOUGH_BLOCKS", 0), ("CHUNK", 64)):
            monkeypatch.setattr(lower, name, value)
        with_grain(monkeypatch, 1)
        assert_same(run(folded, arrays), expected)


def each_call(step: Callable[..., object], *arguments: object) -> object:
    for _ in range(3):
        found = step(*arguments)
    return found


def test_gradients_of_a_wide_layer_are_those_of_eager_code() -> None:
    rng = np.random.default_rng(3)
    x, weight, bias, out = (
        tj.tensor(rng.standard_normal(shape).astype(np.float32))
        for shape in ((1024, 16), (16, 512), (512,), (1024, 512))
    )

    def step(x: tj.Tensor, weight: tj.Tensor, bias: tj.Tensor, out: tj.Tensor) -> object:
        return tj.grad(lambda w, b: (tj.tanh(x @ w + b) * out).sum(), argnums=(0, 1))(weight, bias)

    expected, found = step(x, weight, bias, out), each_call(tj.compile(step), x, weight, bias, out)
    for a, b in zip(found, expected, strict=True):  # type: ignore[call-overload]
        np.testing.assert_array_equal(a.numpy(), b.numpy())
