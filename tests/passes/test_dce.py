"""Writes that change nothing go; inputs stay."""

from __future__ import annotations

from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.ir.aval import aval
from tracejit.ir.graph import Effect, Graph, Input
from tracejit.passes.dce import drop_dead

X, Y = (Input(aval(dtypes.float32, (3,))) for _ in range(2))


def test_a_write_of_what_is_there_is_dropped():
    graph = drop_dead(Graph((X, Y), (), (Effect(X, X), Effect(Y, X))))
    assert [effect.target for effect in graph.effects] == [Y]


def test_an_unused_input_keeps_its_place():
    assert drop_dead(Graph((X, Y), (apply("negative", Y),))).inputs == (X, Y)
