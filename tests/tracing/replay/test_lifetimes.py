"""A compiled function keeps nothing alive: models, optimizers, tensors and arrays die when their owners let go."""

from __future__ import annotations

import functools
import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit.tracing.replay.tree import MOST_ROOTS


class Model(tj.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = tj.nn.Linear(3, 2)
        self.scale = 2.0
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.layer(x).relu() * self.scale


class Box:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def method(self, x):
        return self.weight * x


def train(model, optimizer, x):
    optimizer.zero_grad()
    loss = (model(x) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss


def training() -> tuple[Any, ...]:
    model = Model()
    return model, tj.optim.Adam(model.parameters(), lr=0.01), tj.ones((4, 3))


def stored(box, x):
    box.weight.add_(x)
    box.last = x * 2
    box.log.append(box.last)
    box.names["x"] = x
    return box.last


def storing() -> tuple[Any, ...]:
    return Box(weight=tj.ones(3), log=[], names={}), tj.ones(3)


def with_callback(box, x):
    return box.callback(x) + box.part(x)


def calling_back() -> tuple[Any, ...]:
    box = Box(weight=tj.ones(3))
    box.callback, box.part = box.method, functools.partial(Box.method, box)
    return box, tj.ones(3)


def of_arrays(a, box):
    a += 1
    box.last = a * 2
    return box.last


def with_arrays() -> tuple[Any, ...]:
    return np.ones(3), Box(last=None)


def by_data(box, x):
    while (box.weight * x).sum() < 100:
        box.weight.mul_(2)
    return box.weight * 1


@pytest.mark.parametrize(
    ("function", "world"),
    [
        (train, training),
        (stored, storing),
        (with_callback, calling_back),
        (of_arrays, with_arrays),
        (by_data, storing),
    ],
)
@pytest.mark.parametrize("verify", [0, 2])
def test_arguments_die_while_the_compiled_function_lives(function: Any, world: Any, verify: int):
    f = tj.compile(function, verify=verify)
    refs = []
    for _ in range(3):
        args = world()
        refs += [weakref.ref(arg) for arg in args]
        for _ in range(5):
            result = f(*args)
        refs.append(weakref.ref(result))
        del args, result
    gc.collect()
    assert [ref for ref in refs if ref() is not None] == []
    assert tj.explain(f).calls["replay"]
    assert tj.explain(f).divergences == ()


def test_arguments_of_calls_in_tier_1_die():
    @tj.compile
    def f(box, x):
        print(box)
        box.last = x * 2
        return box.last

    box, x = Box(last=None), tj.ones(3)
    refs = [weakref.ref(box), weakref.ref(x)]
    for _ in range(4):
        f(box, x)
    assert tj.explain(f).tier == 1
    del box, x
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_arguments_of_calls_that_raised_die():
    @tj.compile
    def f(x):
        return x @ tj.ones((2, 2))

    x = tj.ones(3)
    ref = weakref.ref(x)
    for _ in range(3):
        with pytest.raises(tj.ShapeError):
            f(x)
    del x
    gc.collect()
    assert ref() is None


def test_what_the_function_closes_over_dies_with_it():
    def world() -> list[weakref.ref[Any]]:
        model, optimizer, x = training()
        cache: dict[str, Any] = {}

        @tj.compile
        def f(x):
            cache["last"] = x
            return train(model, optimizer, x)

        for _ in range(5):
            f(x)
        assert tj.explain(f).calls["replay"]
        return [weakref.ref(each) for each in (model, optimizer, x, f, f.function, f.replays.tree)]

    refs = world()
    gc.collect()
    assert [ref for ref in refs if ref() is not None] == []


def test_methods_of_many_instances_leave_none_behind():
    class Layer:
        def __init__(self, k: float) -> None:
            self.weight = tj.full(3, k)

        @tj.compile
        def forward(self, x):
            return x * self.weight

    refs = []
    for k in range(20):
        layer = Layer(float(k))
        assert layer.forward(tj.ones(3)).tolist() == [k] * 3
        refs.append(weakref.ref(layer))
    del layer
    gc.collect()
    assert [ref for ref in refs if ref() is not None] == []
    assert tj.explain(Layer.forward).calls == {"replay": 19, "record": 1, "eager": 0}


def test_functions_that_were_arguments_are_kept_by_few_recordings():
    """A guard on a function holds it, and so what it closes over; there are only so many guards."""

    @tj.compile
    def f(g, x):
        return g(x)

    refs = []
    for k in range(3 * MOST_ROOTS):
        weight = tj.full(3, float(k))

        def g(x, weight=weight):
            return x * weight

        refs.append(weakref.ref(g))
        f(g, tj.ones(3))
    del g, weight
    gc.collect()
    assert sum(ref() is not None for ref in refs) <= MOST_ROOTS


def test_backward_passes_outside_leave_nothing_behind():
    @tj.compile
    def f(w, x):
        return (w * x).sum()

    w, x = tj.ones(3).requires_grad_(), tj.ones(3)
    for _ in range(4):
        f(w, x).backward()
    refs = [weakref.ref(w), weakref.ref(x)]
    del w, x
    gc.collect()
    assert [ref() for ref in refs] == [None, None]
