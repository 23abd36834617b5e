"""Each rule fires where its equation says, nowhere else, and changes no bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ir.graphs import apply, arrays_for, assert_same_bits, graphs
from tracejit import dtypes
from tracejit._config import config
from tracejit.ir.aval import aval
from tracejit.ir.graph import Constant, Graph, Input, Node, ScalarInput
from tracejit.ir.interpret import interpret
from tracejit.ir.verify import verify_graph
from tracejit.passes import algebra
from tracejit.passes.algebra import simplify
from tracejit.passes.pipeline import optimize

X = Input(aval(dtypes.float32, (2, 3)))
Y = Input(aval(dtypes.float32, (2, 3)))
ROW = Input(aval(dtypes.float32, (3,)))
HALF = Input(aval(dtypes.float16, (2, 3)))
WHOLE = Input(aval(dtypes.int32, (2, 3)))
C = Input(aval(dtypes.bool_, (2, 3)))
LR = ScalarInput(aval(dtypes.float32))
LONG = Input(aval(dtypes.int64, (2, 3)))
COUNT = Input(aval(dtypes.uint8, (2, 3)))
INPUTS = (X, Y, ROW, HALF, WHOLE, C, LR, LONG, COUNT)


def number(value: Any, dtype: dtypes.DType = dtypes.float32) -> Constant:
    return Constant(aval(dtype), value)


def ones(shape: tuple[int, ...] = (2, 3)) -> Node:
    return apply("constant", shape=shape, dtype=dtypes.float32, value=1)


def simplified(node: Node, **options: bool) -> Node:
    return verify_graph(simplify(Graph(INPUTS, (node,)), **options)).outputs[0]


def rows(start: int, stop: int, x: Node = X) -> Node:
    return apply("slice", x, start=(start, 0), stop=(stop, 3), step=(1, 1))


def with_rows(start: int, stop: int, x: Node, value: Node) -> Node:
    return apply("update", x, value, start=(start, 0), stop=(stop, 3), step=(1, 1))


PART = rows(0, 1, Y)
BECOMES: dict[str, tuple[Node, Node]] = {
    "x * 1": (apply("multiply", X, number(1.0)), X),
    "1 * x": (apply("multiply", number(1.0), X), X),
    "x * ones": (apply("multiply", X, ones()), X),
    "x * spread 1": (apply("multiply", X, apply("broadcast_to", number(1.0), shape=(2, 3))), X),
    "x / 1": (apply("divide", X, number(1.0)), X),
    "x - 0": (apply("subtract", X, number(0.0)), X),
    "x + -0.0": (apply("add", X, number(-0.0)), X),
    "int + 0": (apply("add", WHOLE, number(0, dtypes.int32)), WHOLE),
    "--x": (apply("negative", apply("negative", X)), X),
    "+x": (apply("positive", X), X),
    "not not c": (apply("logical_not", apply("logical_not", C)), C),
    "~~i": (apply("bitwise_invert", apply("bitwise_invert", WHOLE)), WHOLE),
    "max(x, x)": (apply("maximum", X, X), X),
    "where(c, x, x)": (apply("where", C, X, X), X),
    "where(true, x, y)": (apply("where", number(True, dtypes.bool_), X, Y), X),
    "where(false, x, y)": (apply("where", number(False, dtypes.bool_), X, Y), Y),
    "cast to itself": (apply("astype", X, dtype=dtypes.float32), X),
    "there and back": (
        apply("astype", apply("astype", HALF, dtype=dtypes.float64), dtype=dtypes.float16),
        HALF,
    ),
    "reshape to its shape": (apply("reshape", X, shape=(2, 3)), X),
    "reshape and back": (apply("reshape", apply("reshape", X, shape=(6,)), shape=(2, 3)), X),
    "transpose twice": (apply("permute", apply("permute", X, axes=(1, 0)), axes=(1, 0)), X),
    "broadcast to its shape": (apply("broadcast_to", X, shape=(2, 3)), X),
    "slice of all": (rows(0, 2), X),
    "update of all": (with_rows(0, 2, X, Y), Y),
    "read of what was written": (rows(0, 1, with_rows(0, 1, X, PART)), PART),
    "update by itself": (with_rows(1, 2, X, rows(1, 2)), X),
}


@pytest.mark.parametrize("name", BECOMES)
def test_rule_gives_its_right_side(name: str):
    before, after = BECOMES[name]
    assert simplified(before) is after


STAYS = {
    "x + 0.0 makes 0.0 of -0.0": apply("add", X, number(0.0)),
    "x - -0.0 makes 0.0 of -0.0": apply("subtract", X, number(-0.0)),
    "a row that is spread is no row": apply("multiply", ROW, ones()),
    "a number of the call may be another": apply("multiply", X, LR),
    "float64 holds no float16 of an overflow": apply(
        "astype", apply("astype", WHOLE, dtype=dtypes.float64), dtype=dtypes.int8
    ),
    "float16 rounds": apply(
        "astype", apply("astype", X, dtype=dtypes.float16), dtype=dtypes.float32
    ),
    "float64 rounds int64": apply(
        "astype", apply("astype", LONG, dtype=dtypes.float64), dtype=dtypes.int64
    ),
    "-x of an unsigned x is another number": apply("abs", apply("negative", COUNT)),
    "other rows": rows(1, 2, with_rows(0, 1, X, PART)),
    "a spread row is no part": rows(0, 1, with_rows(0, 1, X, ROW)),
    "log(1 + x)": apply("log", apply("add", X, number(1.0))),
}


@pytest.mark.parametrize("name", STAYS)
def test_what_looks_alike_is_left_alone(name: str):
    assert simplified(STAYS[name]) is STAYS[name]


def test_the_last_write_to_a_part_is_the_one_that_counts():
    found = simplified(with_rows(0, 1, with_rows(0, 1, X, rows(0, 1)), PART))
    assert found.inputs == (X, PART)


def test_a_cast_through_a_wider_dtype_is_one_cast():
    wide = apply("astype", HALF, dtype=dtypes.float32)
    assert simplified(apply("astype", wide, dtype=dtypes.float64)).inputs == (HALF,)


def extremes(dtype: dtypes.DType) -> np.ndarray:
    """Values where casts differ if they do: limits, what needs every bit, halves, zeros, NaN."""
    if dtype is dtypes.bool_:
        return np.array([False, True])
    if dtype.is_integer:
        limits = np.iinfo(dtype.numpy)
        near = [limits.min, limits.min + 1, limits.max - 1, limits.max, limits.max // 2 + 1, 0, 1]
        return np.array(near, dtype.numpy)
    limits = dtypes.finfo(dtype)
    numbers = [
        0.0,
        -0.0,
        0.5,
        -1.5,
        1 + float(limits.eps),
        127.9,
        float(limits.max),
        np.inf,
        -np.inf,
        np.nan,
    ]
    with np.errstate(all="ignore"):
        return np.array(numbers).astype(dtype.numpy)


@pytest.mark.parametrize("narrow", dtypes.ALL, ids=str)
def test_casts_are_merged_only_where_that_changes_nothing(narrow: dtypes.DType):
    values = extremes(narrow)
    x = Input(aval(narrow, values.shape))
    for wide in dtypes.ALL:
        for target in dtypes.ALL:
            twice = apply("astype", apply("astype", x, dtype=wide), dtype=target)
            graph = Graph((x,), (twice,))
            merged = simplify(graph)
            if len(merged.applies) == 2:
                continue
            assert_same_bits(interpret(merged, [values])[0], interpret(graph, [values])[0])


@pytest.mark.parametrize(
    ("before", "op"),
    [
        (apply("log", apply("add", number(1.0), X)), "log1p"),
        (apply("subtract", apply("exp", X), number(1.0)), "expm1"),
        (apply("divide", X, number(3.0)), "multiply"),
    ],
)
def test_fastmath_trades_bits_for_speed(before: Node, op: str):
    assert simplified(before, fastmath=True).op.name == op
    assert simplified(before) is before


def test_every_rule_is_an_equation():
    rules = {
        rule
        for table in (algebra.RULES, algebra.FASTMATH)
        for found in table.values()
        for rule in found
    }
    assert all("->" in (rule.__doc__ or "") for rule in rules)


@settings(max_examples=60)
@given(graph=graphs(), seed=st.integers(0, 99))
def test_the_pipeline_keeps_every_bit(graph: Graph, seed: int):
    values = arrays_for(graph, seed)
    with config.scope(verify_ir=True):
        better = optimize(graph)
    assert len(better.applies) <= len(graph.applies)
    (outputs, effects), (expected, expected_effects) = (
        interpret(better, *values),
        interpret(graph, *values),
    )
    assert_same_bits(outputs, expected)
    assert_same_bits(
        effects, expected_effects[: len(effects)]
    )  # a write of what is there is dropped


@pytest.mark.parametrize("name", BECOMES)
def test_each_rule_keeps_every_bit(name: str):
    graph = Graph(INPUTS, BECOMES[name])
    values = arrays_for(graph, 0)
    with np.errstate(all="ignore"):
        before, after = interpret(graph, *values)[0]
    assert_same_bits([before], [after])


def test_a_dump_sees_every_stage():
    stages: list[str] = []
    optimize(Graph(INPUTS, (X,)), dump=lambda name, graph: stages.append(name))
    assert stages == [
        "trace",
        "share_equal",
        "fold_constants",
        "simplify",
        "share_equal",
        "drop_dead",
    ]
