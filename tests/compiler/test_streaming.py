"""Large results are written past the caches: the same bits, and only where nobody reads them soon."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.compiler import Executable, compile_graph
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.graph import Effect, Graph, Input, Node

ASSEMBLY = import_module("tracejit.compiler.assembly")
DTYPES = (dtypes.float32, dtypes.float64, dtypes.float16, dtypes.int8, dtypes.int64)


def compiled(graph: Graph, least: int, monkeypatch: pytest.MonkeyPatch) -> Executable:
    monkeypatch.setattr(ASSEMBLY, "STREAM_FROM", least)
    return compile_graph(graph)


def is_streaming(executable: Executable) -> bool:
    texts = [kernel.text for kernel in executable.plan.kernels]
    return any("!nontemporal" in text for text in texts)


def results(executable: Executable, arrays: list[np.ndarray]) -> list[np.ndarray]:
    buffers = executable.run([array.ctypes.data for array in arrays])
    pairs = zip(buffers, executable.graph.outputs)
    return [b.array(node.aval.dtype.numpy, node.aval.sizes).copy() for b, node in pairs]


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 4095, 4096, 4097, 100_003])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_streamed_results_have_the_same_bits(
    dtype: DType, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = (Input(aval(dtype, (size,))) for _ in range(2))
    graph = Graph((x, y), (apply("add", apply("multiply", x, y), y), apply("less", x, y)))
    rng = np.random.default_rng(size)
    arrays = [rng.integers(-9, 9, size).astype(dtype.numpy) for _ in range(2)]
    streamed, plain = (compiled(graph, least, monkeypatch) for least in (1, 1 << 60))
    for found, expected in zip(results(streamed, arrays), results(plain, arrays), strict=True):
        assert found.tobytes() == expected.tobytes()
    assert is_streaming(streamed) == (size > 1)
    assert not is_streaming(plain)


def chain(rows: int, columns: int) -> tuple[Input, Node]:
    x = Input(aval(dtypes.float32, (rows, columns)))
    return x, apply("exp", x)


def test_a_result_that_is_read_again_stays_in_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = chain(64, 64)
    total = apply("sum", y, axes=(0,))
    again = compiled(Graph((x,), (y, apply("matmul", y, y), total)), 1, monkeypatch)
    assert not is_streaming(again)
    alone = compiled(Graph((x,), (y,)), 1, monkeypatch)
    assert is_streaming(alone)


def test_small_results_are_not_streamed() -> None:
    x, y = chain(64, 64)
    assert not is_streaming(compile_graph(Graph((x,), (y,))))
    x, y = chain(2048, 2049)
    assert is_streaming(compile_graph(Graph((x,), (y,))))


def test_what_is_written_in_place_is_not_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may begin anywhere."""
    x, y = chain(64, 64)
    assert not is_streaming(compiled(Graph((x,), (), (Effect(x, y),)), 1, monkeypatch))
