"""Small programs, each with something in it that a recorder could get wrong, compiled in several ways and run plainly."""

from __future__ import annotations

import contextlib
import copy
import gc
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]
CASES: dict[str, Callable[[Wrap], Any]] = {}


def case(build: Callable[[Wrap], Any]) -> Callable[[Wrap], Any]:
    CASES[build.__name__] = build
    return build


def vector() -> tj.Tensor:
    return tj.tensor([1.0, -2.0, 3.0])


def bits(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [bits(part) for part in value]
    array = np.asarray(value.detach() if hasattr(value, "aval") else value)
    return array.dtype, array.shape, array.tobytes()


@case
def a_filled_number(wrap: Wrap) -> Any:
    @wrap
    def f():
        t = tj.zeros(())
        t.fill_(3.0)
        u = t * 2
        t.add_(1)
        return t, u

    return f()


@case
def numbers_as_results(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        t = x * 0
        t.fill_(2)
        s = t[0]
        return t, s, s.reshape(1, 1), tj.where(tj.tensor(True), 1.0, 2.0)

    return f(vector())


@case
def one_value_in_two_places(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        a = x * 1
        b = tj.zeros(3)
        b.copy_(x)
        c = tj.zeros(3)
        c.copy_(a)
        return a, b, c, x

    return f(vector())


@case
def views_that_swap(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        a = x[:1]
        b = x[2:]
        t = a * 1
        a.copy_(b)
        b.copy_(t)
        return x, a, b

    return f(vector())


@case
def a_write_over_its_own_reverse(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        x.copy_(x[::-1])
        return x

    return f(vector())


@case
def a_sum_with_its_own_transpose(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        x.add_(x.T)
        return x, x.T

    return f(tj.arange(9).reshape(3, 3).astype(tj.float32))


@case
def overlapping_views(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        x[1:] = x[:-1]
        x[:-1].mul_(x[1:])
        return x

    return f(tj.arange(6).astype(tj.float32))


@case
def results_in_the_arguments_containers(wrap: Wrap) -> Any:
    @wrap
    def f(d):
        d["k"].append(d["x"] + 1)
        d["x"] = d["x"] * 2
        return d

    d = f({"k": [], "x": vector()})
    return d["k"][0], d["x"]


@case
def a_generator_as_argument(wrap: Wrap) -> Any:
    @wrap
    def f(g):
        return sum(g, start=tj.zeros(3))

    return (f(vector() * i for i in range(3)),)


@case
def an_exception_caught_inside(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        y = x + 1
        try:
            y @ tj.ones((2, 2))
        except ValueError:
            y.add_(10)
        return y

    return (f(vector()),)


@case
def gathered_rows(wrap: Wrap) -> Any:
    t = tj.arange(12).reshape(4, 3).astype(tj.float32)

    @wrap
    def f(i):
        return t[i], tj.take(t, i * 1, axis=0)

    return f(tj.tensor([0, 3, 1]))


@case
def an_index_outside(wrap: Wrap) -> Any:
    t = tj.ones((4, 3))
    log = vector()

    @wrap
    def f(i):
        log.add_(1)
        return tj.take(t, i, axis=0)

    try:
        f(tj.tensor([0, 9]))
        return (vector(),)
    except IndexError:
        return (log,)


@case
def a_write_by_mask(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        x[x > 0] = 0.5
        x[tj.tensor([0, 1])] = 9
        return x

    return (f(vector()),)


@case
def strided_numpy_memory(wrap: Wrap) -> Any:
    a = np.arange(24.0, dtype="f4").reshape(4, 6)[::2, ::-1]
    t = tj.from_numpy(a)

    @wrap
    def f():
        y = t * 2
        t[0] = 1
        z = t * 2
        return y, z, t.T

    r = f()
    return (*r, a.copy())


@case
def a_write_to_a_detached_view(wrap: Wrap) -> Any:
    x = vector().requires_grad_()

    @wrap
    def f():
        y = x * 2
        z = y.detach()
        z.add_(1)
        return (y * 3).sum()

    l = f()
    l.backward()
    return l, x.grad


@case
def gradient_hooks(wrap: Wrap) -> Any:
    x = vector().requires_grad_()
    seen = []

    @wrap
    def f():
        y = x * 2
        y.register_hook(lambda g: seen.append(float(g.sum())))
        (y * y).sum().backward()

    f()
    return x.grad, np.array(seen)


@case
def accumulated_gradients(wrap: Wrap) -> Any:
    x = vector().requires_grad_()

    @wrap
    def f():
        for _ in range(3):
            (x * x).sum().backward()

    f()
    f()
    return (x.grad,)


@case
def integers(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        return x // 3, x % 3, x << 2, x.astype(tj.int8) * 100, (x > 2).sum(), x.argmax(), x / 2, -x

    return f(tj.arange(-5, 6))


@case
def half_precision(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        y = (x * 1.1 + 0.3).exp()
        return y, y.sum(), y.astype(tj.float32), y @ y

    r = f(vector().astype(tj.float16))
    r2 = f(vector().astype(tj.bfloat16))
    return tuple(t.astype(tj.float32) for t in (*r, *r2))


@case
def no_elements(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        return x + 1, x.sum(), x.reshape(0, 3), tj.concat([x, x])

    return f(tj.zeros(0))


@case
def many_results(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        out = []
        for i in range(60):
            x = x + i
            out.append(x)
            out.append(x[1:])
        return out

    return f(vector())


@case
def dead_intermediates(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        l = [x]
        for _ in range(5):
            l.append(l[-1] * 2)
        l[3].add_(1)
        r = l[3] * l[4]
        del l
        return r

    return (f(vector()),)


@case
def a_tensor_in_a_cycle(wrap: Wrap) -> Any:
    class N:
        pass

    @wrap
    def f(x):
        n = N()
        n.me = n
        n.t = x * 2
        n.u = n.t + 1
        return n.u * 1

    r = f(vector())
    gc.collect()
    return (r,)


@case
def random_numbers(wrap: Wrap) -> Any:
    tj.random.seed(7)
    layer = tj.nn.Dropout(0.5)

    @wrap
    def f(x):
        return layer(x), tj.random.normal((3,))

    a = f(vector())
    b = f(vector())
    return (*a, *b)


@case
def branches_on_data(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        while x.sum() < 100:
            x = x * 2 + 1
        if x.max() > 50:
            return x - 1
        return x

    return (f(vector()),)


@case
def numpy_inside(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        a = np.zeros(3, "f4")
        a += x.numpy()
        a[1] = 5
        y = x + a
        a[:] = 0
        return y, x * a

    return f(vector())


@case
def a_write_to_a_numpy_array(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        b = np.empty(3)
        b[...] = x * 2
        return b, tj.tensor(b) + 1

    return f(vector())


@case
def tensors_made_of_tensors(wrap: Wrap) -> Any:
    @wrap
    def f(x):
        return tj.tensor([x[0] * 2, x[1]]), tj.stack([x, x * 2]), tj.asarray([x * 1, x * 2])

    return f(vector())


@case
def deep_copies(wrap: Wrap) -> Any:

    @wrap
    def f(x):
        y = x * 2
        z = copy.deepcopy(y)
        y.add_(1)
        return y, z

    return f(vector())


@case
def value_and_grad(wrap: Wrap) -> Any:
    f = lambda x: (x * x).sum()
    g = wrap(tj.value_and_grad(f))
    a, b = g(vector())
    return a, b


@case
def grad_of_grad(wrap: Wrap) -> Any:
    g = wrap(tj.grad(lambda x: (tj.grad(lambda y: (y**3).sum())(x) ** 2).sum()))
    return (g(vector()),)


@case
def printed_values(wrap: Wrap) -> Any:

    o = io.StringIO()

    @wrap
    def f(x):
        y = x * 2
        print(y)
        y.add_(1)
        print(y, y.sum())
        return y

    with contextlib.redirect_stdout(o):
        r = f(vector())
    return r, np.frombuffer(o.getvalue().encode(), "u1")


@pytest.mark.parametrize(
    "options", [{}, {"node_budget": 2}, {"fuse": False}, {"verify": 1}], ids=str
)
@pytest.mark.parametrize("name", CASES)
def test_compiled_means_what_plain_python_means(name: str, options: dict[str, Any]):
    settings = {key: value for key, value in options.items() if key != "verify"}
    expected = bits(CASES[name](lambda f: f))
    with tj.config.scope(**settings), warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bits(CASES[name](lambda f: tj.compile(f, verify=options.get("verify", 0))))
    assert found == expected
