"""Compiled graphs against the interpreter of graphs, fused against unfused."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.programs import arrays_of, fold_graph, index_graph, run
from tracejit import dtypes
from tracejit.ir.graph import Graph
from tracejit.ir.interpret import interpret

MAKERS = {"folds": fold_graph, "indexing": index_graph}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@settings(max_examples=60)
@given(seed=st.integers(0, 10**6))
def test_fused_and_unfused_agree_to_the_bit_and_with_numpy(maker, seed):
    rnd = Random(seed)
    graph = maker(rnd, rnd.choice((dtypes.float32, dtypes.float64)))
    arrays = arrays_of(graph, seed)
    fused = run(graph, arrays, fuse=True)
    apart = run(graph, arrays, fuse=False)
    for a, b in zip(fused, apart, strict=True):
        assert same_bits(a, b)
    for a, b in zip(apart, expected(graph, arrays), strict=True):
        assert near(a, b)


def expected(graph: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    with np.errstate(all="ignore"):
        outputs, effects = interpret(graph, [array.copy() for array in arrays], [])
    after = list(arrays)
    for effect, value in zip(graph.effects, effects, strict=True):
        after[graph.inputs.index(effect.target)] = np.asarray(value)
    return [np.asarray(output) for output in outputs] + after


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal, signs of zeros included; any NaN equals any other."""
    return np.array_equal(a, b, equal_nan=True) and np.array_equal(
        np.signbit(a[a == a]), np.signbit(b[b == b])
    )


def near(a: np.ndarray, b: np.ndarray) -> bool:
    """Within what reordered sums of a long program may differ by, also where they overflow."""
    with np.errstate(all="ignore"):
        x, y = np.arctan(a.astype(np.float64)), np.arctan(b.astype(np.float64))
    return np.allclose(x, y, rtol=2e-3, atol=2e-3, equal_nan=True)
