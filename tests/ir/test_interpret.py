"""What a graph means."""

from __future__ import annotations

import numpy as np

from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.ir.aval import aval
from tracejit.ir.graph import Effect, Graph, Input, ScalarInput
from tracejit.ir.interpret import interpret


def test_effects_are_values_from_before_any_write():
    x, y = Input(aval(dtypes.float32, (3,))), Input(aval(dtypes.float32, (3,)))
    swap = Graph((x, y), (apply("add", x, y),), (Effect(x, y), Effect(y, x)))
    a, b = np.arange(3, dtype=np.float32), np.ones(3, np.float32)
    (total,), (first, second) = interpret(swap, [a, b])
    assert total.tolist() == [1, 2, 3]
    assert first.tolist() == [1, 1, 1]
    assert second.tolist() == [0, 1, 2]
    assert not np.shares_memory(first, b)


def test_a_number_is_rounded_to_its_dtype():
    number = ScalarInput(aval(dtypes.float32))
    (found,), _ = interpret(Graph((number,), (number,)), [], [0.1])
    assert found == np.float32(0.1)
    assert found.dtype == np.float32
