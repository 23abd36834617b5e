"""Programs within a limit: the same bits, no more memory than the plan says, and an error where it cannot be."""

from __future__ import annotations

import re
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.memory import memory_taken
from tests.compiler.programs import arrays_of, fold_graph, index_graph
from tests.compiler.test_random_graphs import same_bits
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit._errors import MemoryLimitError
from tracejit.compiler import Executable, compile_graph
from tracejit.ir.aval import aval
from tracejit.ir.graph import Graph, Input, Node


def run(executable: Executable, arrays: list[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """The outputs and the inputs afterwards, and the bytes that were taken."""
    mine = [array.copy() for array in arrays]
    addresses = [array.ctypes.data for array in mine]
    with memory_taken() as taken:
        buffers = executable.run(addresses)
    pairs = zip(buffers, executable.graph.outputs)
    outputs = [b.array(node.aval.dtype.numpy, node.aval.sizes).copy() for b, node in pairs]
    return outputs + mine, taken.peak


def deep(layers: int, rows: int = 1024, width: int = 32) -> Graph:
    """Forward and backward through a chain of products: each layer's value is needed again, the first one's last."""
    x, w = Input(aval(dtypes.float32, (rows, width))), Input(aval(dtypes.float32, (width, width)))
    values: list[Node] = [x]
    for _ in range(layers):
        values.append(apply("tanh", apply("matmul", values[-1], w)))
    ct: Node = apply("multiply", values[-1], values[-1])
    for value in reversed(values[:-1]):
        ct = apply("multiply", apply("matmul", ct, w), value)
    return Graph((x, w), (ct,))


MAKERS = {"folds": fold_graph, "indexing": index_graph}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), part=st.floats(0, 1))
def test_within_any_limit_there_are_the_same_bits_or_there_is_an_error(maker, seed, part):
    rnd = Random(seed)
    graph = maker(rnd, rnd.choice((dtypes.float32, dtypes.float64)))
    arrays = arrays_of(graph, seed)
    free = compile_graph(graph)
    expected, taken = run(free, arrays)
    assert taken == free.peak_bytes
    limit = max(int(part * free.peak_bytes), 1)
    try:
        limited = compile_graph(graph, memory_limit=limit)
    except MemoryLimitError:
        return
    found, taken = run(limited, arrays)
    assert taken == limited.peak_bytes <= limit
    assert all(map(same_bits, found, expected))


def test_fewer_saved_values_cost_more_launches():
    graph = deep(24)
    arrays = [array / 8 for array in arrays_of(graph, 1)]
    free = compile_graph(graph)
    expected, _ = run(free, arrays)
    launches = [len(free.launches)]
    for part in (0.75, 0.5, 0.4):
        limited = compile_graph(graph, memory_limit=int(part * free.peak_bytes))
        found, taken = run(limited, arrays)
        assert taken == limited.peak_bytes <= part * free.peak_bytes
        assert all(map(same_bits, found, expected))
        launches.append(len(limited.launches))
    assert launches == sorted(launches)
    assert launches[0] < launches[-1] < 2 * launches[0]


def test_the_least_that_the_error_tells_is_enough():
    graph = deep(12)
    with pytest.raises(MemoryLimitError) as caught:
        compile_graph(graph, memory_limit=1)
    least = int(re.search(r"least .* is ([\d,]+) bytes", str(caught.value))[1].replace(",", ""))
    assert compile_graph(graph, memory_limit=least).peak_bytes == least
    with pytest.raises(MemoryLimitError):
        compile_graph(graph, memory_limit=least - 1)
