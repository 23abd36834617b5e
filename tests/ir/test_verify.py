"""The verifier names the line that is wrong, and why."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.ir.graphs import apply, graphs
from tracejit import dtypes
from tracejit._errors import CompileError
from tracejit.ir.aval import aval
from tracejit.ir.graph import Apply, Constant, Effect, Graph, Input, ScalarInput
from tracejit.ir.verify import verify_graph
from tracejit.ops.registry import REGISTRY

F32 = aval(dtypes.float32, (2, 3))


@settings(max_examples=30)
@given(graph=graphs())
def test_random_graphs_are_well_formed(graph: Graph):
    assert verify_graph(graph) is graph


def wrong_graphs() -> dict[str, Graph]:
    x, y = Input(F32), Input(aval(dtypes.float32, (3,)))
    number = Input(aval(dtypes.float32))
    add = REGISTRY["add"]
    return {
        r"%0: f32\[2,3\] = add\(%1, %1\): the op gives f32\[3\]": Graph(
            (), (Apply(add, (y, y), (), F32),)
        ),
        r"the op gives": Graph((x,), (Apply(add, (x, x), (), y.aval),)),
        r"does not list this input": Graph((), (apply("negative", x),)),
        r"listed twice": Graph((x, x), (x,)),
        r"one stride per dimension": Graph((strided := Input(F32, (1,)),), (strided,)),
        r"a number has 0 dimensions": Graph((number, bad := ScalarInput(F32)), (bad,)),
        r"1 is no float": Graph((), (Constant(aval(dtypes.float32), 1),)),
        r"not sorted": Graph((x,), (Apply(add, (x, x), (("b", 1), ("a", 1)), F32),)),
        r"unhashable": Graph((x,), (Apply(add, (x, x), (("axes", []),), F32),)),
        r"does not fit": Graph((x, y), (), (Effect(x, y),)),
        r"written twice": Graph((x,), (), (Effect(x, x), Effect(x, x))),
        r"the target is no input": Graph((x,), (), (Effect(Input(F32), x),)),
        r"share memory": Graph((spread := Input(F32, (0, 1)), x), (), (Effect(spread, x),)),
        r"the shapes do not broadcast": Graph(
            (x, z := Input(aval(dtypes.float32, (4,)))), (Apply(add, (x, z), (), F32),)
        ),
    }


@pytest.mark.parametrize("why", list(wrong_graphs())[1:])
def test_an_ill_formed_graph_is_refused_with_the_reason(why: str):
    with pytest.raises(CompileError, match=why):
        verify_graph(wrong_graphs()[why], after="a pass")
