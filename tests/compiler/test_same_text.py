"""A graph is compiled to the same text each time: what is kept on disk, and in artifacts, is known by it."""

from __future__ import annotations

from random import Random

import pytest

from tests.compiler.programs import fold_graph, index_graph, long_graph
from tracejit import dtypes
from tracejit.compiler import plan_graph

MAKERS = {"folds": fold_graph, "indexing": index_graph, "long": long_graph}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_graph_has_one_plan(kind: str) -> None:
    for seed in range(30):
        graph = MAKERS[kind](Random(seed), dtypes.float32)
        plans = [plan_graph(graph)[2] for _ in range(3)]
        assert plans[0] == plans[1] == plans[2], seed
