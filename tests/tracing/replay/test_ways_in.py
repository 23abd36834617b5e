"""Every way to have a compiled function, and to call it, is replayed and right; or stays in Python, and says why."""

from __future__ import annotations

import copy
import doctest
import functools
import linecache
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

import tracejit as tj
from tracejit.tracing.gradients import _made_by


def vector() -> tj.Tensor:
    return tj.tensor([1.0, -2.0, 3.0])


def bits(value: Any) -> Any:
    return value.detach().numpy().tobytes()


def agrees(
    compiled: Any, plain: Any, *args: Any, calls: int = 4, explained: Any = None, **kwargs: Any
) -> None:
    """Compiled and plain calls give the same, and some of the compiled ones are replayed."""
    for k in range(calls):
        x = vector() + k
        assert bits(compiled(x, *args, **kwargs)) == bits(plain(x, *args, **kwargs))
    found = tj.explain(compiled if explained is None else explained)
    assert found.calls["replay"] > 0, found.reasons


class Layer:
    count = 0

    def __init__(self, scale: float) -> None:
        self.scale = scale

    @tj.compile
    def method(self, x):
        return x * self.scale

    @classmethod
    @tj.compile
    def of_class(cls, x):
        return x + cls.count

    @staticmethod
    @tj.compile
    def static(x):
        return x + 1

    @property
    @tj.compile
    def doubled(self):
        return self.weight * 2

    def plain(self, x):
        return x - self.scale

    def __call__(self, x):
        return x / self.scale


class Sub(Layer):
    @tj.compile
    def plain(self, x):
        return super().plain(x) + 1

    @tj.compile
    def method(self, x):
        return super().method(x) + 1


def test_methods():
    one, two = Layer(2.0), Layer(3.0)
    agrees(one.method, lambda x: x * 2.0)
    agrees(two.method, lambda x: x * 3.0)
    assert bits(Layer.method(one, vector())) == bits(vector() * 2.0)


def test_methods_that_call_the_inherited_one():
    layer = Sub(2.0)
    agrees(layer.plain, lambda x: x - 2.0 + 1)
    for k in range(4):  # the inherited one is compiled, too
        assert bits(layer.method(vector() + k)) == bits((vector() + k) * 2.0 + 1)


def test_classmethods():
    agrees(Layer.of_class, lambda x: x + 0)
    agrees(Layer(1.0).of_class, lambda x: x + 0)
    Layer.count = 5
    try:
        agrees(Layer.of_class, lambda x: x + 5)
    finally:
        Layer.count = 0


def test_a_classmethod_is_compiled_inside():
    with pytest.raises(TypeError, match="cannot be called"):
        tj.compile(classmethod(lambda cls, x: x))


def test_staticmethods():
    agrees(Layer.static, lambda x: x + 1)
    agrees(Layer(1.0).static, lambda x: x + 1)


def test_properties():
    layer = Layer(1.0)
    for k in range(4):
        layer.weight = vector() + k
        assert bits(layer.doubled) == bits((vector() + k) * 2)
    assert tj.explain(Layer.doubled.fget).calls["replay"] > 0


def test_bound_methods_that_are_compiled():
    layer = Layer(2.0)
    f = tj.compile(layer.plain)
    agrees(f, lambda x: x - 2.0)
    layer.scale = 3.0
    agrees(f, lambda x: x - 3.0)


def test_a_method_compiled_on_the_instance():
    layer = Layer(2.0)
    layer.plain = tj.compile(layer.plain)
    agrees(layer.plain, lambda x: x - 2.0)


def test_partials():
    def scaled(a, x, *, b=1.0):
        return x * a + b

    f = tj.compile(functools.partial(scaled, 2.0, b=3.0))
    agrees(f, lambda x: x * 2.0 + 3.0)
    g = functools.partial(tj.compile(scaled), 2.0)
    agrees(g, lambda x: x * 2.0 + 1.0, explained=g.func)


def test_callable_objects():
    layer = Layer(2.0)
    f = tj.compile(layer)
    agrees(f, lambda x: x / 2.0)
    f.scale = 4.0
    assert layer.scale == 4.0
    agrees(f, lambda x: x / 4.0)


def test_modules():
    class Net(tj.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = tj.nn.Linear(3, 3)
            self.rest = tj.nn.Sequential(tj.nn.Tanh(), tj.nn.Linear(3, 2))

        def forward(self, x, flip=False):
            y = self.rest(self.first(x))
            return -y if flip else y

    net = Net()
    f = tj.compile(net)
    agrees(f, net)
    agrees(f, net, flip=True)
    with tj.no_grad():
        net.first.weight.mul_(2)
    agrees(f, net)
    assert isinstance(f, tj.nn.Module)
    assert [*f.state_dict()] == [*net.state_dict()]
    outer = tj.nn.Sequential(f, tj.nn.ReLU())
    assert bits(outer(vector())) == bits(net(vector()).relu())


def test_lambdas():
    agrees(tj.compile(lambda x: x * 2 + 1), lambda x: x * 2 + 1)
    first, second = tj.compile(lambda x: x * 2), tj.compile(lambda x: x * 3)
    agrees(first, lambda x: x * 2)
    agrees(second, lambda x: x * 3)


def test_closures_made_in_a_loop():
    functions = []
    for k in range(3):

        @tj.compile
        def f(x, k=k):
            return x * k

        functions.append(f)

    def made(k):
        return tj.compile(lambda x: x + k)

    for k, f in enumerate(functions):
        agrees(f, lambda x, k=k: x * k)
    for k in range(3):
        agrees(made(k), lambda x, k=k: x + k)


def test_closures_that_share_a_variable():
    def late():
        k = 1.0

        def set_k(new):
            nonlocal k
            k = new

        return tj.compile(lambda x: x * k), set_k

    f, set_k = late()
    agrees(f, lambda x: x * 1.0)
    set_k(3.0)
    agrees(f, lambda x: x * 3.0)


def doubling(f: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return f(*args, **kwargs) * 2

    return wrapped


def test_decorators_around_and_inside():
    @doubling
    @tj.compile
    def outside(x, k=1.0):
        return x + k

    @tj.compile
    @doubling
    def inside(x, k=1.0):
        return x + k

    for f in (outside, inside):
        agrees(f, lambda x, k=1.0: (x + k) * 2)
        agrees(f, lambda x, k=1.0: (x + k) * 2, k=3.0)
    assert outside.__name__ == "outside"
    assert tj.explain(outside).name.endswith("outside")


def test_options_and_plain_decorators():
    @tj.compile(fastmath=False)
    def f(x):
        return x * 2

    agrees(f, lambda x: x * 2)


def test_compiled_functions_inside_others():
    @tj.compile
    def inner(x):
        return x * 2

    @tj.compile
    def outer(x):
        return inner(x) + inner(x + 1)

    agrees(outer, lambda x: x * 2 + (x + 1) * 2)
    assert sum(tj.explain(inner).calls.values()) == 0 or tj.explain(inner).calls["replay"] == 0


def test_many_kinds_of_parameters():
    @tj.compile
    def f(x, /, a, *rest, b=1.0, **named):
        y = x * a + b
        for part in rest:
            y = y + part
        for name in named:
            y = y * named[name]
        return y

    agrees(f, lambda x, a: x * 2.0 + 1.0, 2.0)
    for _ in range(3):
        found = f(vector(), 2.0, 1.0, 2.0, b=4.0, p=3.0, q=5.0)
    expected = f.function(vector(), 2.0, 1.0, 2.0, b=4.0, p=3.0, q=5.0)
    assert bits(found) == bits(expected)


def test_recursion():
    @tj.compile
    def power(x, n):
        return x if n == 0 else power(x * 2, n - 1)

    agrees(power, lambda x, n: x * 8, 3)


def test_copies_and_pickles():
    layer = Layer(2.0)
    f = tj.compile(layer, on_miss="error")
    for g in (copy.copy(f), copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        agrees(g, lambda x: x / 2.0)
        with pytest.raises(tj.RecompileError):
            g(tj.ones(5))


def test_calls_on_another_thread():
    f = tj.compile(lambda x: x * 2)
    f(vector())
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(f(vector())))
    thread.start()
    thread.join()
    assert bits(found[0]) == bits(vector() * 2)
    assert tj.explain(f).calls["replay"] == 1


# Where the source is


def example(x):
    """
    >>> import tracejit as tj
    >>> @tj.compile
    ... def f(x):
    ...     y = x * 2
    ...     return y + 1
    >>> for _ in range(3):
    ...     f(tj.ones(2))
    tensor([3., 3.])
    tensor([3., 3.])
    tensor([3., 3.])
    >>> tj.explain(f).calls["replay"]
    2
    """


def test_functions_in_doctests():
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(example, "example", globs={})
    runner = doctest.DocTestRunner()
    assert runner.run(test).failed == 0


def run_cell(text: str, name: str, scope: dict[str, Any]) -> dict[str, Any]:
    """Runs text as a cell of a notebook: its lines are known under the name of the cell."""
    linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
    exec(compile(text, name, "exec"), scope)
    return scope


CELL = """
import tracejit as tj

@tj.compile
def f(x):
    y = x * scale
    return y + 1
"""


def test_functions_in_cells_of_a_notebook():
    scope: dict[str, Any] = {"scale": 2.0}
    run_cell(CELL, "<ipython-input-1>", scope)
    agrees(scope["f"], lambda x: x * 2.0 + 1)
    scope["scale"] = 3.0
    agrees(scope["f"], lambda x: x * 3.0 + 1)
    assert "<ipython-input-1>:6: global scale" in "\n".join(tj.explain(scope["f"]).guards)
    again = run_cell(CELL.replace("+ 1", "- 1"), "<ipython-input-2>", scope)["f"]
    agrees(again, lambda x: x * 3.0 - 1)


def test_a_cell_that_was_run_again_under_its_name_is_not_mistaken():
    scope: dict[str, Any] = {"scale": 2.0}
    first = run_cell(CELL, "<ipython-input-3>", scope)["f"]
    second = run_cell(CELL.replace("+ 1", "- 1"), "<ipython-input-3>", scope)["f"]
    for _ in range(3):
        assert bits(first(vector())) == bits(vector() * 2.0 + 1)
        assert bits(second(vector())) == bits(vector() * 2.0 - 1)
    assert "source text is not that of this function" in tj.explain(first).reasons[0]


def test_functions_without_source_stay_right_and_say_why():
    scope: dict[str, Any] = {"scale": 2.0}
    exec(CELL, scope)
    f = scope["f"]
    for k in range(4):
        assert bits(f(vector() + k)) == bits((vector() + k) * 2.0 + 1)
    scope["scale"] = 5.0
    assert bits(f(vector())) == bits(vector() * 5.0 + 1)
    found = tj.explain(f)
    assert found.tier == 1
    assert "no source text for <string>" in found.reasons[0]
    assert "a cell of a notebook" in found.reasons[0]


def test_builtin_functions_stay_right():
    f = tj.compile(len)
    assert [f([1, 2]) for _ in range(4)] == [2] * 4


# Gradients outside


def test_backward_passes_of_what_was_replayed_are_recorded():
    w = tj.tensor([1.0, 2.0, 3.0], requires_grad=True)

    @tj.compile
    def f(x):
        return {"loss": ((w * x).exp() / 100).sum()}

    def gradient(g, x):
        w.grad = None
        g(x)["loss"].backward()
        return bits(w.grad)

    for k in range(4):
        assert gradient(f, vector() - k) == gradient(f.function, vector() - k)
    assert tj.explain(f).calls["replay"] == 3
    found = tj.explain(f)
    assert len(found.graphs) == 2  # forward; backward, at every call the same
    assert _made_by[f(vector())["loss"].autograd.node] is f.gradients
