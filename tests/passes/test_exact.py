"""What NumPy may compute in place of a compiled program: the same bits, NaN payloads and signs of zero included."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.compiler import compile_graph
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.graph import Graph, Input
from tracejit.ir.interpret import interpret
from tracejit.ops import elementwise as e
from tracejit.ops.op import Op
from tracejit.passes.exact import EXACT, is_exact

FLOATS = [dtypes.float16, dtypes.float32, dtypes.float64]
INTEGERS = [dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64]
UNSIGNED = [dtypes.uint8, dtypes.uint16, dtypes.uint32, dtypes.uint64]
CONVERTED = [dtypes.bool_, *FLOATS, *INTEGERS, *UNSIGNED]
LOGICAL = {e.logical_and, e.logical_or, e.logical_xor, e.logical_not}
BITWISE = {e.bitwise_and, e.bitwise_or, e.bitwise_xor, e.bitwise_invert}
NO_BOOLS = {e.add, e.subtract, e.multiply, e.negative, e.positive, e.abs, e.square, e.sign}
ROUNDED = {e.divide, e.sqrt, e.copysign, e.floor, e.ceil, e.trunc, e.round}


def taken_by(op: Op) -> list[DType]:
    """The dtypes that reach the op's kernels: calls convert others."""
    if op in LOGICAL:
        return [dtypes.bool_]
    if op in ROUNDED:
        return FLOATS
    whole = [*INTEGERS, *UNSIGNED]
    if op in BITWISE:
        return [dtypes.bool_, *whole]
    return [*FLOATS, *whole] if op in NO_BOOLS else [dtypes.bool_, *FLOATS, *whole]


def special(dtype: DType) -> np.ndarray:
    """Zeros, limits, halves, infinities, subnormals, three kinds of NaN, and random bits."""
    numpy = dtype.numpy
    if dtype.kind == "b":
        return np.array([False, True])
    bits = np.dtype(f"u{dtype.itemsize}")
    noise = np.random.default_rng(0).integers(0, np.iinfo(bits).max, 40, bits).view(numpy)
    if dtype.kind in "iu":
        limits = np.iinfo(numpy)
        return np.array([0, 1, 2, 3, limits.max, limits.min, limits.max - 1, *noise], numpy)
    limits = np.finfo(numpy)
    plain = [
        0.0,
        1.0,
        0.5,
        1.5,
        2.5,
        0.1,
        1e3,
        np.inf,
        limits.max,
        limits.tiny,
        limits.smallest_subnormal,
    ]
    values = np.array([*plain, *(-np.array(plain))], numpy)
    nan = np.array(np.nan, numpy).view(bits)
    sign = bits.type(1) << bits.type(8 * dtype.itemsize - 1)
    nans = np.array([nan, nan | bits.type(3), nan | bits.type(5) | sign], bits).view(numpy)
    return np.concatenate([values, nans, noise])


def operands(op: Op, dtype: DType) -> list[np.ndarray]:
    """All pairs of special values."""
    values = special(dtype)
    pairs = [each.ravel().copy() for each in np.meshgrid(values, values)]
    if op is e.where:
        return [np.arange(pairs[0].size) % 2 == 0, *pairs]
    arrays = [p for p in inspect.signature(op).parameters.values() if p.kind is p.POSITIONAL_ONLY]
    return pairs if len(arrays) == 2 else [values]


def graph_of(op: Op, arrays: list[np.ndarray], dtype: DType) -> Graph:
    inputs = tuple(
        Input(aval(dtypes.bool_ if x.dtype == bool else dtype, x.shape, "cpu")) for x in arrays
    )
    return Graph(inputs, (apply(op.name, *inputs),))


def assert_same_bits(graph: Graph, arrays: list[np.ndarray]) -> None:
    assert is_exact(graph)
    (buffer,) = compile_graph(graph).run([x.ctypes.data for x in arrays])
    (expected,), _ = interpret(graph, arrays)
    out = graph.outputs[0].aval
    found = buffer.array(out.dtype.numpy, out.sizes)
    differ = found.view(np.uint8) != expected.view(np.uint8)
    assert not differ.any(), graph.outputs[0]


@pytest.mark.parametrize("op", sorted(EXACT, key=str), ids=str)
def test_numpy_gives_the_bits_of_the_kernel(op: Op) -> None:
    for dtype in taken_by(op):
        arrays = operands(op, dtype)
        assert_same_bits(graph_of(op, arrays, dtype), arrays)


PAIRS = [(x, y) for x in CONVERTED for y in CONVERTED if not (x.is_float and y.is_integer)]


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=str)
def test_numpy_converts_to_the_same_bits(source: DType, target: DType) -> None:
    values = special(source)
    x = Input(aval(source, values.shape, "cpu"))
    assert_same_bits(Graph((x,), (apply("astype", x, dtype=target),)), [values])


def test_what_may_not_fit_into_an_integer_is_not_exact() -> None:
    x = Input(aval(dtypes.float32, (3,), "cpu"))
    assert not is_exact(Graph((x,), (apply("astype", x, dtype=dtypes.int32),)))


def test_arrangements_are_exact_and_other_functions_are_not() -> None:
    x = Input(aval(dtypes.float32, (3, 4), "cpu"))
    turned = apply("permute", x, axes=(1, 0))
    assert is_exact(Graph((x,), (apply("add", turned, turned),)))
    assert not is_exact(Graph((x,), (apply("exp", x),)))


@pytest.mark.parametrize("dtype", [dtypes.int8, dtypes.uint64], ids=str)
@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod", "linear_scan"])
def test_scans_of_integers_are_exact(name: str, dtype: DType) -> None:
    values = np.tile(special(dtype), 300)
    x = Input(aval(dtype, values.shape, "cpu"))
    sources = (x, x) if name == "linear_scan" else (x,)
    assert_same_bits(Graph((x,), (apply(name, *sources, axis=0),)), [values])
    y = Input(aval(dtypes.float32, values.shape, "cpu"))
    assert not is_exact(Graph((y,), (apply("cumulative_sum", y, axis=0),)))


def test_bfloat16_is_not() -> None:
    """NumPy's functions for it lose what a NaN carries."""
    x = Input(aval(dtypes.bfloat16, (3,), "cpu"))
    assert not is_exact(Graph((x,), (apply("negative", x),)))
