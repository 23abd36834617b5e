"""What kernels the compiler makes of graphs, and that no choice of kernel changes a bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.compiler.programs import run
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit._config import config
from tracejit.artifact import LaunchSpec
from tracejit.compiler import Executable, compile_graph
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.graph import Constant, Effect, Graph, Input, Node
from tracejit.ops import contract, sorting  # noqa: F401  # they register their ops

SUPER = 262_144


def array(*shape: int, dtype: DType = dtypes.float32) -> Input:
    return Input(aval(dtype, shape))


def number(value: float) -> Constant:
    return Constant(aval(dtypes.float32), value)


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def compiled(
    inputs: tuple[Input, ...], *outputs: Node, effects: tuple[Effect, ...] = ()
) -> Executable:
    return compile_graph(Graph(inputs, outputs, effects))


def total(x: Node, axis: int) -> Node:
    return apply("sum", x, axes=(axis,))


def result(x: Input, output: Node, data: np.ndarray) -> np.ndarray:
    return run(Graph((x,), (output,)), [data])[0]


# how many launches


def test_softmax_is_one_launch():
    x = array(16, 100)
    top = apply("reshape", apply("max", x, axes=(1,)), shape=(16, 1))
    e = apply("exp", apply("subtract", x, top))
    whole = apply("reshape", total(e, 1), shape=(16, 1))
    assert len(compiled((x,), apply("divide", e, whole)).launches) == 1


def test_updates_of_many_parameters_are_one_launch_that_writes_in_place():
    parameters = tuple(array(n, n) for n in (8, 16, 24))
    effects = tuple(Effect(p, apply("multiply", p, number(0.5))) for p in parameters)
    executable = compiled(parameters, effects=effects)
    (launch,) = executable.launches
    assert isinstance(launch, LaunchSpec)
    assert len(launch.segments) == 3
    assert len(executable.plan.kernels) == 1  # the copies that were not needed are not compiled
    assert executable.plan.arena_bytes == 0


def test_an_update_of_a_part_writes_only_the_part():
    x = array(64, 64)
    bounds = {"start": (1, 1), "stop": (3, 3), "step": (1, 1)}
    part = apply("multiply", apply("slice", x, **bounds), number(2.0))
    executable = compiled((x,), effects=(Effect(x, apply("update", x, part, **bounds)),))
    assert len(executable.launches) == 1
    assert executable.plan.arena_bytes == 0


def test_a_transposed_product_needs_no_copy():
    a, b = array(8, 4), array(4, 6)
    turned = apply("permute", apply("matmul", a, b), axes=(1, 0))
    assert len(compiled((a, b), turned).launches) == 1


def test_a_chain_reuses_the_memory_of_its_dead_values():
    a = array(32, 32)
    node: Node = a
    for _ in range(6):
        node = apply("matmul", node, a)
    assert compiled((a,), node).plan.arena_bytes == 2 * 32 * 32 * 4


# how many tasks


def tasks_of_a_sum(*shapes: tuple[int, ...]) -> int:
    """Of two arrays that broadcast."""
    inputs = tuple(array(*shape) for shape in shapes)
    (launch,) = compiled(inputs, apply("add", *inputs)).launches
    assert isinstance(launch, LaunchSpec)
    return sum(segment.tasks for segment in launch.segments)


def test_a_map_runs_in_vectors_along_the_last_axis_that_is_not_short():
    assert tasks_of_a_sum((640, 2), (2,)) == 2
    assert tasks_of_a_sum((640, 300), (300,)) == 640
    assert tasks_of_a_sum((3, 2), (2,)) == 3


def test_short_runs_of_a_map_are_several_to_a_task_where_there_are_tasks_enough():
    assert tasks_of_a_sum((80, 30, 20), (80, 1, 20)) == 80
    assert tasks_of_a_sum((8, 30, 20), (8, 1, 20)) == 8 * 30
    assert tasks_of_a_sum((80, 30, 2000), (80, 1, 2000)) == 80 * 30


@pytest.mark.parametrize("shape", [(70, 9, 11, 2), (65, 3, 2, 40), (2, 130, 17, 5)])
def test_maps_over_short_and_many_axes_write_every_element(shape: tuple[int, ...]):
    x = array(*shape)
    turned = apply("permute", x, axes=(0, 2, 1, 3))
    data = values(*shape)
    node = apply("reshape", turned, shape=(data.size,))
    np.testing.assert_array_equal(result(x, node, data), data.transpose(0, 2, 1, 3).ravel())
    half = apply("multiply", turned, number(0.5))
    np.testing.assert_array_equal(result(x, half, data), data.transpose(0, 2, 1, 3) * 0.5)


# which bits


def test_a_long_fold_shared_among_tasks_has_the_bits_of_one_task():
    n = 2 * SUPER + 1000
    x, rows = array(n), array(6, n)
    data = values(6, n)
    apart = result(rows, total(rows, 1), data)
    for row in (0, 5):
        assert result(x, total(x, 0), data[row]) == apart[row]


def test_long_columns_shared_among_tasks_have_the_bits_of_one_task():
    n = 4096 * 2 + 77
    few, many = array(n, 3), array(n, 400)
    data = values(n, 400)
    apart = result(many, total(many, 0), data)
    found = result(few, total(few, 0), np.ascontiguousarray(data[:, 7:10]))
    np.testing.assert_array_equal(found, apart[7:10])


@pytest.mark.parametrize("axis", [0, 1])
def test_sums_do_not_depend_on_how_an_array_lies_in_memory(axis):
    plain = array(300, 200)
    turned = Input(aval(dtypes.float32, (300, 200)), strides=(1, 300))
    data = values(300, 200)
    expected = result(plain, total(plain, axis), data)
    np.testing.assert_array_equal(result(turned, total(turned, axis), data.T.copy()), expected)


@pytest.mark.parametrize("shape", [(SUPER * 2 + 5,), (513, 1030), (9000, 5), (3, 50_000)])
def test_any_number_of_threads_gives_the_same_bits(shape: tuple[int, ...]):
    x = array(*shape)
    chain = apply("tanh", apply("multiply", x, x))
    outputs = tuple(total(chain, axis) for axis in range(len(shape)))
    graph = Graph((x,), (chain, *outputs))
    data = [values(*shape)]
    one, two, four = (run(graph, data, num_threads=threads) for threads in (1, 2, 4))
    for a, b, c in zip(one, two, four, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16], ids=str)
def test_half_precision_rounds_after_every_op_fused_or_not(dtype: DType):
    x, y = array(1000, dtype=dtype), array(1000, dtype=dtype)
    out = apply("add", apply("multiply", x, y), apply("divide", x, y))
    data = [values(1000, seed=seed).astype(dtype.numpy) for seed in (1, 2)]
    graph = Graph((x, y), (out,))
    product = (data[0].astype("f") * data[1].astype("f")).astype(dtype.numpy)
    quotient = (data[0].astype("f") / data[1].astype("f")).astype(dtype.numpy)
    expected = (product.astype("f") + quotient.astype("f")).astype(dtype.numpy)
    for fuse in (True, False):
        (found, *_) = run(graph, data, fuse=fuse)
        np.testing.assert_array_equal(found.view(np.uint16), expected.view(np.uint16))


# nothing at all


@pytest.mark.parametrize(("name", "expected"), [("sum", 0.0), ("prod", 1.0)])
def test_folds_of_no_elements_have_their_neutral_value(name: str, expected: float):
    x = array(3, 0)
    found = result(x, apply(name, x, axes=(1,)), np.empty((3, 0), np.float32))
    np.testing.assert_array_equal(found, np.full(3, expected, np.float32))
    assert not np.signbit(found).any()


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16], ids=str)
def test_a_neutral_value_is_stored_in_half_precision(dtype: DType):
    x = array(3, 0)
    one = apply("astype", apply("prod", x, axes=(1,)), dtype=dtype)
    found = result(x, one, np.empty((3, 0), np.float32))
    np.testing.assert_array_equal(found.astype(np.float32), np.ones(3, np.float32))


def test_arrays_of_no_elements_launch_nothing():
    x = array(0, 5)
    executable = compiled((x,), apply("exp", x), apply("sum", x, axes=(1,)))
    assert not executable.launches


def test_a_host_op_reads_a_computed_value_of_no_elements():
    x = Input(aval(dtypes.float32, (3, 0, 3)))
    ordered = apply("sort", apply("multiply", x, x), axis=1, stable=True)
    graph = Graph((x,), (apply("sum", ordered, axes=(1,)),))
    result, _ = run(graph, [np.zeros((3, 0, 3), np.float32)])
    assert result.tolist() == np.zeros((3, 3)).tolist()


def test_a_product_over_no_elements_is_zero():
    a, b = array(3, 0), array(0, 2)
    found: Any = run(
        Graph((a, b), (apply("matmul", a, b),)),
        [np.empty((3, 0), np.float32), np.empty((0, 2), np.float32)],
    )[0]
    np.testing.assert_array_equal(found, np.zeros((3, 2), np.float32))


def test_outputs_that_are_inputs_views_or_repeated_are_arrays_of_their_own():
    x = array(4, 3)
    y = apply("negative", x)
    turned = apply("permute", y, axes=(1, 0))
    data = values(4, 3)
    outs = run(Graph((x,), (x, y, y, turned)), [data])
    for found, expected in zip(outs, (data, -data, -data, -data.T), strict=False):
        np.testing.assert_array_equal(found, expected)


def test_a_number_may_be_an_output():
    x = array(3)
    (found, _) = run(Graph((x,), (number(2.5),)), [values(3)])
    assert found == 2.5


def test_two_inputs_may_change_places():
    x, y = array(5), array(5)
    graph = Graph((x, y), (), (Effect(x, y), Effect(y, x)))
    a, b = values(5, seed=1), values(5, seed=2)
    after = run(graph, [a, b])
    np.testing.assert_array_equal(after[0], b)
    np.testing.assert_array_equal(after[1], a)


def test_a_compile_leaves_the_settings_alone():
    epoch = config.epoch
    x = array(3)
    compiled((x,), apply("negative", x))
    assert config.epoch == epoch


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
@pytest.mark.parametrize("extent", range(2, 9))
def test_short_rows_have_the_bits_of_long_ones(name: str, extent: int):
    """Rows of a few elements are folded for many rows at once; padded with the neutral element they take the other way."""
    neutral = {"sum": -0.0, "prod": 1.0, "max": -np.inf, "min": np.inf}[name]
    data = values(100, extent)
    padded = np.full((100, 40), neutral, np.float32)
    padded[:, :extent] = data
    short, long = array(100, extent), array(100, 40)
    found = result(short, apply("exp", apply(name, short, axes=(1,))), data)
    expected = result(long, apply("exp", apply(name, long, axes=(1,))), padded)
    np.testing.assert_array_equal(found, expected)


def test_an_input_may_become_another_view_of_its_own_memory():
    x = Input(aval(dtypes.float32, (3, 2)), None, None, 0)
    turned = Input(aval(dtypes.float32, (2, 3)), (1, 2), None, 0)
    value = apply("reshape", apply("permute", turned, axes=(1, 0)), shape=(3, 2))
    backwards = Input(aval(dtypes.float32, (3, 2)), (-2, -1), None, 0)
    data = np.arange(6, dtype=np.float32)
    for source, addresses, expected in (
        (value, (0, 0), data),
        (backwards, (0, data.itemsize * 5), data[::-1]),
    ):
        after = data.copy()
        inputs = (x, turned if source is value else backwards)
        executable = compile_graph(Graph(inputs, (), (Effect(x, source),)))
        executable.run([after.ctypes.data + offset for offset in addresses])
        assert after.tolist() == expected.tolist()


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_dump_holds_the_assembly_where_it_is_asked_for(tmp_path: Path, is_asked: bool):
    with tj.config.scope(dump_dir=tmp_path, dump_asm=is_asked):
        tj.compile(lambda x: tj.exp(x) * 2 + 1)(tj.ones(5)).numpy()
    stages = {path.suffix for path in tmp_path.rglob("*.*")}
    assert {".ll", ".txt"} <= stages
    assert (".s" in stages) is is_asked
    for path in tmp_path.rglob("*.s"):
        assert "ret" in path.read_text()


def test_values_that_are_used_twice_again_and_again_are_walked_once():
    @tj.compile
    def f(x):
        for _ in range(60):  # 2 ** 60 ways lead from the result to x
            x = (x + 4 / x) / 2
        return x - x.sum()

    np.testing.assert_allclose(f(tj.ones(5)).numpy(), np.full(5, -8.0), rtol=1e-6)


# launches of several kernels


def test_small_launches_of_other_kernels_go_along():
    x, y = array(50), array(7, 9)
    outputs = apply("exp", x), total(y, 0), apply("matmul", y, apply("permute", y, axes=(1, 0)))
    (launch,) = compiled((x, y), *outputs).launches
    assert isinstance(launch, LaunchSpec)
    assert len(launch.segments) == len(launch.kernels) == len(set(launch.kernels)) == 3
    data = [values(50), values(7, 9)]
    found = run(Graph((x, y), outputs), data)
    for each, output in zip(found, outputs, strict=False):
        (alone,) = run(Graph((x, y), (output,)), data)[:1]
        assert each.tobytes() == alone.tobytes()


def test_launches_that_need_one_another_stay_apart():
    x = array(5, 10)
    z = total(apply("exp", x), 1)
    outer = apply("matmul", *(apply("reshape", z, shape=shape) for shape in ((5, 1), (1, 5))))
    assert len(compiled((x,), outer).launches) == 2


def test_a_small_launch_of_many_tasks_does_not_go_along_with_a_large_one_of_few():
    """Threads take as many tasks of either at a time."""
    x, y = array(300, 500), array(200, 30)
    product = apply("matmul", x, apply("permute", x, axes=(1, 0)))
    rows = total(y, 1)
    assert len(compiled((x, y), product, rows).launches) == 2
    assert (
        len(compiled((x, y), product, total(apply("reshape", y, shape=(2, 3000)), 1)).launches) == 1
    )
