"""Running sums, products and linear recurrences: NumPy's values, one order of additions, and launches only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import tracejit as tj
from tests.compiler import machines
from tests.compiler.programs import run
from tests.compiler.test_random_graphs import same_bits
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.artifact import LaunchSpec
from tracejit.compiler import compile_graph
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.graph import Apply, Effect, Graph, Input
from tracejit.ops.scan import linear_scan
from tracejit.runtime.slabs import KERNEL

LONG = [((2500,), 0), ((3, 1100), 1), ((1100, 20), 0), ((2, 1030, 3), 1), ((1025, 2), 0)]
"""Shapes and axes of several superblocks."""

shapes = array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=70).filter(
    lambda shape: np.prod(shape) < 20_000
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """An array, of any strides, and an axis of it."""
    shape, axis = draw(st.one_of(st.sampled_from(LONG), shapes.map(lambda s: (s, -1))))
    if axis < 0:
        axis = draw(st.integers(0, len(shape) - 1))
    seed = draw(st.integers(0, 100))
    values = np.random.default_rng(seed).standard_normal(tuple(2 * n for n in shape))
    steps = draw(st.lists(st.sampled_from((1, 2, -1)), min_size=len(shape), max_size=len(shape)))
    part = values[tuple(slice(None, None, step) for step in steps)]
    array = part[tuple(slice(0, n) for n in shape)]
    if draw(st.booleans()):
        array, axis = array.T, array.ndim - 1 - axis
    return array, axis


def bound(x: np.ndarray, axis: int, dtype: Any) -> np.ndarray:
    """Eight roundings of the running sum of magnitudes."""
    return 8 * np.finfo(dtype).eps * np.cumsum(np.abs(x.astype(np.float64)), axis)


@settings(max_examples=80, deadline=None)
@given(case=cases(), dtype=st.sampled_from(["float32", "float64"]))
def test_running_sums_of_floats_are_numpys_but_for_roundings(
    case: tuple[np.ndarray, int], dtype: str
) -> None:
    x, axis = case[0].astype(dtype), case[1]
    found = tj.cumulative_sum(tj.asarray(x), axis=axis).numpy()
    exact = np.cumsum(x.astype(np.longdouble), axis)
    assert found.dtype == dtype
    assert (np.abs(found - exact) <= bound(x, axis, dtype)).all()
    compiled = tj.compile(lambda x: tj.cumulative_sum(x * 1, axis=axis) + 0)
    for _ in range(2):
        assert same_bits(compiled(tj.asarray(x)).numpy(), found + 0)


@settings(max_examples=80, deadline=None)
@given(
    case=cases(),
    dtype=st.sampled_from(["int8", "uint8", "int32", "uint64", "int64"]),
    name=st.sampled_from(["cumulative_sum", "cumulative_prod"]),
)
def test_integers_are_numpys(case: tuple[np.ndarray, int], dtype: str, name: str) -> None:
    x, axis = (case[0] * 50).astype(np.int8).astype(dtype), case[1]
    reference = {"cumulative_sum": np.cumsum, "cumulative_prod": np.cumprod}[name]
    found = getattr(tj, name)(tj.asarray(x), axis=axis, dtype=dtype).numpy()
    np.testing.assert_array_equal(found, reference(x, axis, dtype=dtype))


@settings(max_examples=60, deadline=None)
@given(case=cases(), dtype=st.sampled_from(["float32", "float64"]))
def test_products_and_recurrences_are_numpys_to_the_bit(
    case: tuple[np.ndarray, int], dtype: str
) -> None:
    x, axis = case[0].astype(dtype), case[1]
    with np.errstate(all="ignore"):
        expected = np.cumprod(x, axis)
        recurrence = linear_scan.eval(x, x, axis=axis)
    t = tj.asarray(x)
    assert same_bits(tj.cumulative_prod(t, axis=axis).numpy(), expected)
    assert same_bits(linear_scan(t, t, axis=axis).numpy(), recurrence)


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16], ids=str)
def test_half_precision_is_added_in_float32_and_rounded_once(dtype: DType) -> None:
    x = np.random.default_rng(0).standard_normal((2, 2500)).astype(dtype.numpy)
    found = tj.cumulative_sum(tj.asarray(x), axis=1).numpy()
    in_single = tj.cumulative_sum(tj.asarray(x.astype(np.float32)), axis=1).numpy()
    np.testing.assert_array_equal(found, in_single.astype(dtype.numpy))


@pytest.mark.parametrize("count", [5, 40, 1030])
@pytest.mark.parametrize("place", [0, 3, -1])
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_on_from_its_place(special: float, place: int, count: int) -> None:
    x = np.ones(count, np.float32)
    x[place] = special
    for axis, layout in ((0, x), (1, np.tile(x, (9, 1))), (0, np.tile(x[:, None], (1, 20)))):
        found = tj.cumulative_sum(tj.tensor(layout), axis=axis).numpy()
        np.testing.assert_array_equal(found, np.cumsum(layout, axis))
    both = np.float32([np.inf, *[1] * count, -np.inf, 2])
    found = tj.cumulative_sum(tj.tensor(both)).numpy()
    np.testing.assert_array_equal(found, [np.inf] * (count + 1) + [np.nan] * 2)


def test_a_product_of_nothing_stays_nothing_whatever_follows() -> None:
    x = np.float32([0, *[1e30] * 3000])
    assert not tj.cumulative_prod(tj.tensor(x)).numpy().any()
    assert not linear_scan(tj.tensor(x * 0), tj.tensor(x), axis=0).numpy().any()


@pytest.mark.parametrize("count", [1, 40, 1100])
def test_negative_zeros_add_up_to_one(count: int) -> None:
    found = tj.cumulative_sum(tj.full((count,), -0.0)).numpy()
    assert np.signbit(found).all()


def test_the_first_decay_is_of_no_account() -> None:
    x, decay = tj.tensor(np.float32([3, 4])), tj.tensor(np.float32([np.nan, 2]))
    assert linear_scan(x, decay, axis=0).tolist() == [3, 10]


def test_the_order_follows_from_the_length_alone() -> None:
    x = np.random.default_rng(0).standard_normal(2500).astype(np.float32)
    line = tj.cumulative_sum(tj.tensor(x)).numpy()
    for width in (1, 3, 8, 70):
        wide = tj.tensor(np.tile(x[:, None], (1, width)))
        for column in tj.cumulative_sum(wide, axis=0).numpy().T:
            np.testing.assert_array_equal(column, line)
        for row in tj.cumulative_sum(wide.T, axis=1).numpy():
            np.testing.assert_array_equal(row, line)


def test_what_is_broadcast_is_read_where_it_is() -> None:
    row = tj.arange(40, dtype="float32")
    wide = tj.broadcast_to(row, (3, 40))
    np.testing.assert_array_equal(tj.cumulative_sum(wide, axis=0)[2].numpy(), 3 * row.numpy())
    column = tj.broadcast_to(tj.ones(3)[:, None], (3, 2000))
    counts = tj.cumulative_sum(column, axis=1).numpy()
    np.testing.assert_array_equal(counts, np.tile(np.arange(1, 2001), (3, 1)))


def test_threads_change_no_bit() -> None:
    x = tj.tensor(np.random.default_rng(0).standard_normal((3, 50_000)).astype(np.float32))
    before = tj.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            tj.set_num_threads(threads)
            found.append(tj.cumulative_sum(x, axis=1).numpy())
    finally:
        tj.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


# programs


def in_the_middle(shape: tuple[int, ...], axis: int) -> tuple[Input, Apply]:
    x = Input(aval(dtypes.float32, shape))
    running = apply("cumulative_sum", apply("exp", x), axis=axis)
    return x, apply("tanh", apply("multiply", running, running))


@pytest.mark.parametrize(
    ("shape", "axis", "count"), [((1000, 30), 0, 3), ((7, 900), 1, 3), ((5000,), 0, 5)], ids=str
)
def test_a_sum_in_the_middle_is_launches_only(
    shape: tuple[int, ...], axis: int, count: int
) -> None:
    x, result = in_the_middle(shape, axis)
    steps = compile_graph(Graph((x,), (result,))).launches
    assert [type(step) for step in steps] == [LaunchSpec] * count


def test_long_sums_take_no_memory_of_their_own_twice() -> None:
    x = Input(aval(dtypes.float32, (1 << 20,)))
    graph = Graph((x,), (apply("cumulative_sum", x, axis=0),))
    assert compile_graph(graph).plan.arena_bytes < 1 << 14


@pytest.mark.parametrize("shape", [(300,), (9, 60), (2100,), (70, 3)], ids=str)
@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
def test_a_scan_may_replace_what_it_reads(name: str, shape: tuple[int, ...]) -> None:
    x = Input(aval(dtypes.float32, shape))
    data = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    scan = apply(name, x, axis=0)
    in_place = Graph((x,), (), (Effect(x, scan),))
    launches = len(compile_graph(in_place).launches)
    arena = compile_graph(in_place).plan.arena_bytes
    assert arena == 0 if launches == 1 else arena < 4 * x.aval.size + 256  # in between once
    np.testing.assert_array_equal(run(in_place, [data])[0], run(Graph((x,), (scan,)), [data])[0])


def test_slabs_leave_a_scan_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    x, result = in_the_middle((64, 300), 1)
    graph = Graph((x,), (apply("square", result),))
    data = np.random.default_rng(0).standard_normal((64, 300)).astype(np.float32)
    expected = run(graph, [data])[0]
    machines.choose(monkeypatch, least_bytes=1, slab_bytes=1, least_rows=1)
    steps = compile_graph(graph).launches
    assert all(isinstance(step, LaunchSpec) and step.kernel != KERNEL for step in steps)
    np.testing.assert_array_equal(run(graph, [data])[0], expected)


def test_a_replay_calls_no_numpy() -> None:
    f = tj.compile(lambda x: tj.cumulative_sum(x.exp(), axis=1).sum(0))
    x = tj.tensor(np.random.default_rng(0).standard_normal((5, 2100)).astype(np.float32))
    expected = tj.cumulative_sum(x.exp(), axis=1).sum(0).numpy()
    for _ in range(3):
        np.testing.assert_array_equal(f(x).numpy(), expected)
    assert all("numpy" not in str(kernel) for kernel in tj.explain(f).kernels)
