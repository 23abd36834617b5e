"""A compiled function means what it means without."""

from __future__ import annotations

import copy
import functools
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit.compiler import compile_graph
from tracejit.ir.graph import ScalarInput
from tracejit.ir.printer import print_graph
from tracejit.ops.op import View
from tracejit.ops.registry import REGISTRY
from tracejit.tracing.tracer import INVERSES


def same(found: Any, expected: Any) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


def vector(*values: float) -> tj.Tensor:
    return tj.tensor(values or (1.0, -2.0, 3.0))


# One program


def test_a_chain_of_ops_is_one_program():
    @tj.compile
    def f(x):
        return (x * 2 + 1).exp().sum()

    same(f(vector()), (vector() * 2 + 1).exp().sum())
    assert len(tj.explain(f).graphs) == 1


def test_a_learning_rate_and_a_step_count_that_change_compile_once():
    @tj.compile
    def step(w, m, lr, count):
        g = w * 0.5
        m.mul_(0.9)
        m.add_(g * (1 - 0.9))
        w.sub_(m / (1 - 0.9**count) * lr)
        return (w * w).sum()

    w, m = vector(), vector(0.0, 0.0, 0.0)
    eager_w, eager_m = vector(), vector(0.0, 0.0, 0.0)
    for count in range(1, 101):
        found = step(w, m, 0.1 / count, count)
        same(found, step.function(eager_w, eager_m, 0.1 / count, count))
    same(w, eager_w)
    assert len(tj.explain(step).graphs) == 1
    assert tj.explain(step).recompiles == ()


def test_python_numbers_are_inputs_and_not_in_the_text():
    @tj.compile
    def f(x, a):
        return x * a + 0.123456

    f(vector(), 7.654321)
    (graph,) = tj.explain(f).graphs
    assert sum(isinstance(node, ScalarInput) for node in graph.inputs) == 2
    assert "123456" not in print_graph(graph)
    assert "654321" not in print_graph(graph)


def test_where_a_slice_begins_is_not_in_the_text():
    @tj.compile
    def f(x, start):
        return x[start : start + 2] * 2

    x = tj.arange(10)
    for start in range(8):
        same(f(x, start), x[start : start + 2] * 2)
    assert len(tj.explain(f).graphs) == 1


def test_another_shape_is_another_program_and_explained():
    @tj.compile
    def f(x):
        return x + 1

    for size in (2, 3, 2, 3):
        same(f(tj.ones(size)), tj.ones(size) + 1)
    assert tj.explain(f).recompiles == ("input 0: f32[2] -> f32[3]",)


def test_functions_of_one_text_share_their_program():
    def make() -> Any:
        return tj.compile(lambda x: x * 3 - 1)

    f, g = make(), make()
    f(vector())
    g(vector())
    assert f.programs.compiled[0].program is g.programs.compiled[0].program


# Looking at values


@pytest.mark.parametrize(
    "look",
    [
        bool, float, int, repr, str, "{:.2f}".format,
        lambda t: t.item(), lambda t: t.tolist(), lambda t: t.numpy().item(), lambda t: np.asarray(t).item(),
    ],
)  # fmt: skip
def test_a_value_that_is_looked_at_is_there(look: Any):
    def f(x):
        total = (x * 2).sum()
        return look(total), total + 1

    seen, after = tj.compile(f)(vector())
    expected, expected_after = f(vector())
    assert seen == expected
    same(after, expected_after)


def test_control_flow_follows_the_data():
    @tj.compile
    def collatz(n):
        steps = 0
        while n > 1:
            n = tj.where(n % 2 == 0, n // 2, 3 * n + 1)
            steps += 1
        return steps

    assert collatz(tj.tensor(27)) == 111
    assert len(tj.explain(collatz).graphs) <= 4


def test_a_graph_runs_at_its_node_budget():
    @tj.compile
    def f(x):
        for _ in range(50):
            x = x + 1
        return x

    with tj.config.scope(node_budget=10):
        same(f(vector()), vector() + 50)
    assert all(len(graph.applies) <= 10 for graph in tj.explain(f).graphs)


def test_loops_of_many_lengths_are_run_in_pieces_that_are_alike():
    @tj.compile
    def f(x, n):
        for _ in [None] * n:
            x = x + 1
        return x

    for n in range(40, 140):
        same(f(vector(), n), vector() + n)
    assert len(tj.explain(f).graphs) < 90
    assert "pieces" in tj.explain(f).reasons[0]


# The world outside


scale = 2.0


@tj.compile
def plus_one(x):
    return x + 1


def test_globals_and_closures_that_change_are_seen():
    global scale
    offset = vector(1.0, 1.0, 1.0)

    @tj.compile
    def f(x):
        return x * scale + offset

    scale = 2.0
    same(f(vector()), vector() * 2.0 + offset)
    scale = 3.0
    offset = vector(5.0, 5.0, 5.0)
    same(f(vector()), vector() * 3.0 + 5.0)
    offset.add_(1)
    same(f(vector()), vector() * 3.0 + 6.0)
    assert len(tj.explain(f).graphs) == 1


def test_python_side_effects_happen_at_every_call():
    seen = []

    @tj.compile
    def f(x):
        seen.append(x + 1)
        return len(seen)

    assert [f(vector()) for _ in range(3)] == [1, 2, 3]
    same(seen[1], vector() + 1)


def test_an_exception_leaves_what_eager_execution_leaves():
    def f(x, log):
        x.add_(1)
        log.append(x * 2)
        x[0] = 7
        raise KeyError("stop")

    found, expected = vector(), vector()
    found_log: list[Any] = []
    expected_log: list[Any] = []
    with pytest.raises(KeyError, match="stop"):
        tj.compile(f)(found, found_log)
    with pytest.raises(KeyError):
        f(expected, expected_log)
    same(found, expected)
    same(found_log[0], expected_log[0])


def test_a_wrong_shape_is_told_where_it_stands():
    @tj.compile
    def f(x):
        x.add_(1)
        return x @ tj.ones((2, 2))

    x = vector()
    with pytest.raises(tj.ShapeError, match=r"test_compile\.py:\d+: matmul"):
        f(x)
    same(x, vector() + 1)


# Writes and views


def test_a_view_shows_later_writes_to_its_base():
    def f(x):
        y = x * 1
        row, column = y[0], y.T[0]
        y.add_(10)
        row.mul_(2)
        column.sub_(1)
        return y, row, column, y.reshape(-1)[1:3]

    x = tj.arange(6).reshape(2, 3).astype(tj.float32)
    for found, expected in zip(tj.compile(f)(x), f(x)):
        same(found, expected)


def test_arguments_and_their_views_are_written_in_place():
    def f(x, part):
        part.add_(100)
        y = x * 2
        x[1] = part
        x.T[0] = y[1]
        return y

    def world() -> tuple[tj.Tensor, tj.Tensor]:
        x = tj.arange(9).reshape(3, 3).astype(tj.float32)
        return x, x[0]

    found, expected = world(), world()
    same(tj.compile(f)(*found), f(*expected))
    same(found[0], expected[0])


def test_every_view_can_be_written_through():
    views = {
        name
        for name, op in REGISTRY.items()
        if isinstance(op.recipe, View) and "overlaps" not in op.traits
    }
    assert views == set(INVERSES)


def test_a_long_chain_of_views_is_no_deep_recursion():
    def f(x):
        y = view = x + 1
        for _ in range(3000):
            view = view.T
        view.mul_(2)
        return y, view + 1

    x = tj.ones((2, 3))
    for found, expected in zip(tj.compile(f)(x), f(x)):
        same(found, expected)


def test_values_swap_without_one_overwriting_the_other():
    @tj.compile
    def swap(a, b):
        old = a * 1
        a.copy_(b)
        b.copy_(old)

    a, b = vector(1.0, 2.0), vector(3.0, 4.0)
    swap(a, b)
    same(a, vector(3.0, 4.0))
    same(b, vector(1.0, 2.0))


def test_a_result_that_is_an_argument_is_that_tensor():
    x = vector()
    assert tj.compile(lambda t: t.add_(1))(x) is x
    view = tj.compile(lambda t: t[1:])(x)
    view.zero_()
    same(x, vector(2.0, 0.0, 0.0))


def test_memory_that_numpy_sees_is_read_and_written_at_once():
    x = vector()
    array = x.numpy()

    @tj.compile
    def f():
        y = x * 2
        array[0] = 100
        z = x * 2
        x.add_(1)
        return y, z, array.copy()

    y, z, seen = f()
    same(y, vector(2.0, -4.0, 6.0))
    same(z, vector(200.0, -4.0, 6.0))
    same(seen, np.float32([101, -1, 4]))


def test_memory_that_numpy_saw_once_is_like_any_other_again():
    x = vector()
    total = x.numpy().sum()
    f = tj.compile(lambda t: t.add_(1))
    f(x)
    assert total == 2
    (graph,) = tj.explain(f).graphs
    assert len(graph.effects) == 1


def test_nan_infinity_and_negative_zero_come_through():
    def f(x):
        negative = -x
        return x * 1, x + 0.0, x - 0.0, -negative, tj.where(x > 0, x, x), x / 1

    x = vector(float("nan"), float("inf"), -0.0, 0.0)
    for found, expected in zip(tj.compile(f)(x), f(x)):
        same(found, expected)


def test_random_numbers_are_the_same_stream():
    def f(g):
        return g.random((3,)), g.normal((2,)), g.integers(10, shape=(4,))

    found, expected = tj.random.Generator(3), tj.random.Generator(3)
    for _ in range(2):
        for x, y in zip(tj.compile(f)(found), f(expected)):
            same(x, y)


# What can be compiled


class Layer:
    """Adds its bias."""

    def __init__(self, bias: float) -> None:
        self.bias = vector(bias, bias, bias)

    @tj.compile
    def method(self, x):
        return x + self.bias

    def __call__(self, x):
        return x - self.bias


def test_methods_are_compiled_for_each_instance():
    one, two = Layer(1.0), Layer(2.0)
    same(one.method(vector()), vector() + 1)
    same(two.method(vector()), vector() + 2)
    assert tj.explain(Layer.method).calls == {"replay": 1, "record": 1, "eager": 0}
    assert len(tj.explain(one.method).graphs) == 1


def test_lambdas_partials_and_objects_are_compiled():
    same(tj.compile(lambda x: x * 2)(vector()), vector() * 2)
    same(tj.compile(functools.partial(lambda x, y: x * y, y=3))(vector()), vector() * 3)
    layer = tj.compile(Layer(1.0))
    same(layer(vector()), vector() - 1)
    same(layer.bias, vector(1.0, 1.0, 1.0))


def test_a_compiled_function_keeps_its_name_and_its_words():
    @tj.compile(fastmath=True)
    def named(x):
        """What it does."""
        return x

    assert (named.__name__, named.__doc__) == ("named", "What it does.")


def test_a_compiled_module_is_a_module():
    compiled = tj.compile(tj.nn.Linear(3, 2))
    net = tj.nn.Sequential(compiled, tj.nn.ReLU())
    assert isinstance(compiled, tj.nn.Module)
    assert [tuple(p.shape) for p in net.parameters()] == [(2, 3), (2,)]
    net(tj.ones((1, 3))).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    twin = copy.deepcopy(compiled)
    same(twin(tj.ones((1, 3))).detach(), compiled(tj.ones((1, 3))).detach())
    assert twin.weight is not compiled.weight
    assert len(tj.explain(twin).graphs) == 1
    compiled.training = False
    assert not compiled.function.training
    compiled.train()
    assert compiled.training


def test_a_compiled_function_is_copied_and_pickled_as_a_function_is():
    assert copy.deepcopy({"f": plus_one})["f"] is plus_one
    assert pickle.loads(pickle.dumps(plus_one)) is plus_one


def test_a_compiled_method_is_copied_with_its_object():
    net = tj.nn.Linear(3, 2)
    net.forward = tj.compile(net.forward)
    twin = copy.deepcopy(net)
    with tj.no_grad():
        net.weight.fill_(0)
        net.bias.fill_(0)
    assert twin.forward.__self__ is twin
    assert net(tj.ones(3)).tolist() == [0, 0]
    assert (
        twin(tj.ones(3)).tolist()
        == tj.nn.functional.linear(tj.ones(3), twin.weight, twin.bias).tolist()
    )


def test_a_compiled_function_inside_another_joins_it():
    inner = tj.compile(lambda x: x * 2)
    outer = tj.compile(lambda x: inner(x) + inner(x + 1))
    same(outer(vector()), vector() * 2 + (vector() + 1) * 2)
    assert len(tj.explain(outer).graphs) == 1
    assert tj.explain(inner).graphs == ()


def test_a_generator_made_in_a_compiled_call_runs_on_eagerly():
    @tj.compile
    def rows(x):
        for row in x:
            yield row * 2

    same(list(rows(tj.ones((2, 3))))[1], tj.ones(3) * 2)
    assert "generator" in tj.explain(rows).reasons[0]


def test_each_thread_records_by_itself():
    @tj.compile
    def f(x, n):
        for _ in range(20):
            x = x + n
        return x

    results: dict[int, Any] = {}

    def work(n: int) -> None:
        results[n] = f(vector(), n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, found in results.items():
        expected = vector()
        for _ in range(20):
            expected = expected + n
        same(found, expected)


def test_a_value_that_waits_can_be_taken_by_another_thread():
    @tj.compile
    def f(x):
        y = x * 2
        seen = []
        thread = threading.Thread(target=lambda: seen.append(y + 1))
        thread.start()
        thread.join()
        return seen[0] + y

    same(f(vector()), vector() * 4 + 1)


def test_threads_that_take_each_others_values_do_not_wait_for_ever():
    shared: list[Any] = [None, None]
    ready = threading.Barrier(2)

    @tj.compile
    def f(x, me):
        for _ in range(30):
            shared[me] = x = x + 1
            ready.wait()
            x = x + shared[1 - me] * 0
            ready.wait()
        return x

    results: list[Any] = [None, None]

    def work(me: int) -> None:
        results[me] = f(vector(), me)

    threads = [threading.Thread(target=work, args=(me,), daemon=True) for me in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    for found in results:
        same(found, vector() + 30)


def test_a_program_that_fails_is_told_to_whoever_asks_for_its_values(monkeypatch):
    def fail(graph: Any, **options: Any) -> Any:
        raise tj.CompileError("no such kernel")

    kept: list[Any] = []
    f = tj.compile(lambda x: kept.append(x * 1.25 - 0.75))
    with monkeypatch.context() as patch:
        patch.setattr("tracejit.tracing.programs.program_of", fail)
        with pytest.raises(tj.CompileError, match="no such kernel"):
            f(vector())
    with pytest.raises(tj.CompileError, match="lost when its program failed"):
        kept[0].tolist()
    f(vector())
    same(kept[1], vector() * 1.25 - 0.75)


# Options


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"device": "cuda:99"}, tj.DeviceUnavailable),
        ({"device": "tpu"}, tj.DeviceUnavailable),
        ({"on_miss": "wait"}, ValueError),
        ({"verify": -1}, ValueError),
        ({"dynamic": 3}, ValueError),
    ],
)
def test_an_option_that_cannot_be_kept_is_refused(options: dict[str, Any], error: type[Exception]):
    with pytest.raises(error):
        tj.compile(lambda x: x, **options)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="cannot be called"):
        tj.compile(3)  # type: ignore[call-overload]


def test_fastmath_is_asked_for_by_name():
    fast = tj.compile(lambda x: (x.exp() - tj.ones(3)).sum(), fastmath=True)
    fast(vector())
    optimised = compile_graph(fast.programs.compiled[0].program.graph, fastmath=True).graph
    ops = [node.op.name for node in optimised.applies]
    assert "exp" in ops or "expm1" in ops
