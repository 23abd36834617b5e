"""Cases against the guards on containers and namespaces: type, len, keys, truth, what is there and what is not."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


@case
def type_of_a_container(compile):
    @compile
    def f(parts, x):
        return [x * k for k in parts]

    class Doubled(list):
        def __iter__(self):
            return iter([k * 2 for k in list.__iter__(self)])

    for parts in thrice([1.0, 2.0], (1.0, 2.0), Doubled([1.0, 2.0]), {1.0: 0, 2.0: 0}, np.ones(2)):
        yield f(parts, vector())


@case
def type_of_a_dict_with_missing(compile):
    class Filled(dict):
        def __missing__(self, name):
            return 7.0

    state = Box()

    @compile
    def f(x):
        return x * state.table["k"], "k" in state.table, state.table.get("k")

    for state.table in thrice({"k": 2.0}, Filled(), Filled(k=2.0), {}):
        yield attempt(f, vector())


@case
def len_seen_by_a_negative_index(compile):
    parts = [1.0, 2.0]

    @compile
    def f(x):
        return x * parts[-1], parts[0:2]

    for _ in range(3):
        yield f(vector())
    for k in [3.0, 3.0]:
        parts.append(k)
        yield f(vector())
    del parts[1:]
    for _ in range(3):
        yield f(vector())


@case
def len_seen_by_unpacking(compile):
    state = Box()

    @compile
    def f(x):
        a, *rest = state.parts
        b, c = state.pair
        return x * a, rest, b * c

    state.parts, state.pair = [1.0, 2.0], (3.0, 4.0)
    for _ in range(3):
        yield f(vector())
    state.parts.append(5.0)
    for _ in range(3):
        yield f(vector())
    for state.pair in thrice([3.0, 4.0], (3.0, 4.0, 5.0), "ab", {1: 0, 2: 0}):
        yield attempt(f, vector())


@case
def keys_in_another_order(compile):
    table = {"a": 1.0, "b": 2.0}

    @compile
    def f(x):
        return [name + name for name in table], [x * k for k in table.values()], {**table, "x": x}

    for _ in range(3):
        yield f(vector())
    table["a"] = table.pop("a")
    for _ in range(3):
        yield f(vector())
    table[True] = table.pop("b")
    for _ in range(3):
        yield f(vector())
    table[1] = 5.0
    for _ in range(3):
        yield f(vector())


@case
def nokey_that_appears_in_globals(compile):
    global sum

    @compile
    def f(parts):
        return sum(parts)  # noqa: F821  # a builtin, most of the time

    for _ in range(3):
        yield f([vector(), 1.0])
    sum = lambda parts: parts[0] * 100
    for _ in range(3):
        yield f([vector(), 1.0])
    del sum
    for _ in range(3):
        yield f([vector(), 1.0])


@case
def haskey_with_another_value(compile):
    table = {"k": 1}

    @compile
    def f(x):
        return (x * 2 if "k" in table else x), table.get("k") is None

    for _ in range(3):
        yield f(vector())
    table["k"] = None
    for _ in range(3):
        yield f(vector())
    del table["k"]
    for _ in range(3):
        yield f(vector())


@case
def truth_of_containers(compile):
    state = Box()

    @compile
    def f(x):
        return x * 2 if state.parts and not state.options else x

    for state.parts in [[], [0], [[]]]:
        for state.options in thrice({}, {"k": 0}, None):
            yield f(vector())


@case
def noattr_that_appears_on_the_instance(compile):
    class Model:
        k = 2.0

        def act(self, x):
            return x + 1

    model = Model()

    @compile
    def f(x):
        return model.act(x) * model.k

    for _ in range(3):
        yield f(vector())
    model.k = 3.0
    for _ in range(3):
        yield f(vector())
    model.act = tj.exp
    for _ in range(3):
        yield f(vector())


@case
def modules_of_the_process(compile):
    name = "tracejit_torture_module"
    sys.modules[name] = SimpleNamespace(k=2.0)

    @compile
    def f(x):
        import tracejit_torture_module as module

        return x * module.k

    try:
        for _ in range(3):
            yield f(vector())
        sys.modules[name].k = 3.0
        for _ in range(3):
            yield f(vector())
        sys.modules[name] = SimpleNamespace(k=5.0)
        for _ in range(3):
            yield f(vector())
    finally:
        del sys.modules[name]


@case
def dicts_told_apart_by_their_keys_or_not(compile):
    state = {"a": {"n": 0}, "b": {"n": 0}, "c": {"n": 0, "m": 1}}

    @compile
    def f(x):
        for key, value in state["a"].items():
            state["a"][key] = value + 1
        return x * state["b"]["n"] + state["c"]["m"]

    for _ in range(4):
        yield f(vector()), state
    state["b"] = state["a"]
    for _ in range(3):
        yield f(vector()), state
    state["a"] = state["c"]
    for _ in range(3):
        yield f(vector()), state
    state["b"] = {"n": 3, "m": 2}
    for _ in range(3):
        yield f(vector()), state
