"""Programs within a limit: the same bits, no more memory than the plan says, and an error where it cannot be."""

from __future__ import annotations

import re
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.memory import memory_taken
from tests.compiler.programs import arrays_of, fold_graph, index_graph, long_graph
from tests.compiler.test_random_graphs import same_bits
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit._config import config
from tracejit._errors import Location, MemoryLimitError
from tracejit.artifact import HostCall, LaunchSpec, Place
from tracejit.compiler import Executable, compile_graph
from tracejit.ir.aval import aval
from tracejit.ir.graph import Effect, Graph, Input, Node


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


MAKERS = {"folds": fold_graph, "indexing": index_graph, "long": long_graph}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), part=st.floats(0, 1), fuse=st.booleans())
def test_every_limit_from_the_least_that_can_be_kept_is_kept_with_the_same_bits(
    maker, seed, part, fuse
):
    rnd = Random(seed)
    graph = maker(rnd, rnd.choice((dtypes.float32, dtypes.float64)))
    arrays = arrays_of(graph, seed)
    with config.scope(fuse=fuse):
        free = compile_graph(graph)
        expected, taken = run(free, arrays)
        assert taken == free.peak_bytes
        least = least_of(graph)
        limit = least + int(part * (free.peak_bytes - least))
        limited = compile_graph(graph, memory_limit=limit)
    found, taken = run(limited, arrays)
    assert taken == limited.peak_bytes <= limit
    assert all(map(same_bits, found, expected))


def least_of(graph: Graph) -> int:
    """The least limit that can be kept, as the error tells it."""
    with pytest.raises(MemoryLimitError) as caught:
        compile_graph(graph, memory_limit=1)
    return int(re.search(r"least .* is ([\d,]+) bytes", str(caught.value))[1].replace(",", ""))


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


def test_the_least_that_the_error_tells_is_enough_and_no_less_is():
    graph = deep(12)
    least = least_of(graph)
    assert compile_graph(graph, memory_limit=least).peak_bytes == least
    with pytest.raises(MemoryLimitError):
        compile_graph(graph, memory_limit=least - 1)


def test_an_error_names_the_lines_that_hold_the_memory():
    x = Input(aval(dtypes.float32, (100, 100)))
    y = apply("matmul", x, x, loc=Location("model.py", 7))
    out = apply("matmul", y, y, loc=Location("model.py", 8))
    with pytest.raises(
        MemoryLimitError, match=r"40,000 model\.py:8: .* 40,000 model\.py:7: matmul"
    ):
        compile_graph(Graph((x,), (out,)), memory_limit=1000)


def test_what_writes_is_done_once_and_last():
    """An optimizer's step beside a deep chain: the parameter is read again by what is computed anew, and then written."""
    graph = deep(16)
    x, w = graph.inputs
    (ct,) = graph.outputs
    gradient = apply("matmul", apply("permute", ct, axes=(1, 0)), x)
    graph = Graph((x, w), (), (Effect(w, apply("subtract", w, gradient)),))
    arrays = [array / 8 for array in arrays_of(graph, 1)]
    free = compile_graph(graph)
    limited = compile_graph(graph, memory_limit=int(0.6 * free.peak_bytes))
    assert len(limited.launches) > len(free.launches)
    pairs = zip(run(limited, arrays)[0], run(free, arrays)[0])
    assert all(same_bits(a, b) for a, b in pairs)
    assert [place for place, launch in enumerate(limited.launches) if writes_input(launch, 1)] == [
        len(limited.launches) - 1
    ]


def writes_input(launch: LaunchSpec | HostCall, number: int) -> bool:
    """Whether the last argument, which is what a kernel of one result writes, lies in an input."""
    assert isinstance(launch, LaunchSpec)
    last = [segment.arguments[-1] for segment in launch.segments]
    return any(argument.place is Place.INPUT and argument.index == number for argument in last)
