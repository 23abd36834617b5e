"""Graphs as text, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.ir.graphs import graphs
from tracejit import dtypes
from tracejit.ir.aval import aval
from tracejit.ir.graph import Apply, Constant, Graph, Input, params_key
from tracejit.ir.parser import parse_graph
from tracejit.ir.printer import print_graph
from tracejit.ir.verify import verify_graph
from tracejit.ops.registry import REGISTRY

TEXT = """\
%0: f32[2,3] = input()
%1: f32[2,3] = input(strides=(1, 2), memory=0)
%2: f32[] = scalar()
%3: f32[] = number(-0.0)
%4: f32[2,3] = multiply(%0, %3)  # model.py:12
%5: f32[2,3] = add(%4, %2)  # a model.py:13
%6: f64[2,3] = astype(%5, dtype=float64)
return %6, %0
write %1 <- %4"""


def test_the_text_of_a_graph_is_read_back_as_written():
    assert print_graph(parse_graph(TEXT, REGISTRY)) == TEXT


@settings(max_examples=30)
@given(graph=graphs())
def test_a_graph_read_from_its_text_has_that_text_and_is_well_formed(graph: Graph):
    text = print_graph(graph)
    again = verify_graph(parse_graph(text, REGISTRY))
    assert print_graph(again) == text


@settings(max_examples=30)
@given(graph=graphs())
def test_without_locations_the_text_does_not_tell_the_lines(graph: Graph):
    moved = graph.rewrite(
        lambda node: (
            Apply(node.op, node.inputs, node.params, node.aval) if isinstance(node, Apply) else None
        )
    )
    assert print_graph(graph, locations=False) == print_graph(moved)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -0.0, 1e-45])
def test_any_number_can_be_written(value: float):
    number = Constant(aval(dtypes.float32), value)
    text = print_graph(Graph((), (number,)))
    assert repr(parse_graph(text, {}).outputs[0].value) == repr(value)


def test_parameters_of_every_kind_are_read_back():
    params = params_key({
        "axes": (0,), "dtype": dtypes.bool_, "fill": float("inf"), "flag": True, "name": "a %1 # b:2", "none": None,
        "nested": ((1, -2), ()),
    })  # fmt: skip
    x = Input(aval(dtypes.float32, (2,)))
    text = print_graph(Graph((x,), (Apply(REGISTRY["negative"], (x,), params, x.aval),)))
    (again,) = parse_graph(text, REGISTRY).outputs
    assert again.params == params


@pytest.mark.parametrize(
    "line",
    ["%0 = input()", "%0: f31[2] = input()", "%1: f32[] = frobnicate()", "return %7", "write %0"],
)
def test_what_is_no_graph_is_refused_with_its_line(line: str):
    with pytest.raises(ValueError, match="line 2: "):
        parse_graph(f"%0: f32[2] = input()\n{line}", REGISTRY)
