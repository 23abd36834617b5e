"""State that a function reads and writes: globals, closure variables, attributes, lists, dicts."""

# ruff: noqa: B007  # a loop variable is state that the compiled function reads

from __future__ import annotations

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector

SCALE = 2.0
CONFIG = {"scale": 2.0, "shift": 1.0}
CALLS = 0
BIAS = None


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


@case
def global_changed(compile):
    global SCALE

    @compile
    def f(x):
        return x * SCALE

    for SCALE in thrice(2.0, 3.0, 2.0):
        yield f(vector())


@case
def global_deleted_and_added_again(compile):
    global SCALE

    @compile
    def f(x):
        return x * SCALE

    for _ in range(3):
        yield f(vector())
    del SCALE
    for _ in range(2):
        yield attempt(f, vector())
    for SCALE in thrice(2.0, 5.0):
        yield f(vector())


@case
def global_dict_config(compile):
    global CONFIG
    CONFIG = {"scale": 2.0, "shift": 1.0}

    @compile
    def f(x):
        return x * CONFIG["scale"] + CONFIG["shift"]

    for scale in thrice(2.0, 4.0):
        CONFIG["scale"] = scale
        yield f(vector()), CONFIG
    CONFIG = {"shift": 7.0, "scale": 4.0}
    for _ in range(3):
        yield f(vector()), CONFIG


@case
def closure_changed(compile):
    scale = 2.0

    @compile
    def f(x):
        return x * scale

    for scale in thrice(2.0, 3.0, 2):
        yield f(vector())


@case
def closure_unbound_for_a_while(compile):
    scale = 2.0

    @compile
    def f(x):
        return x * scale

    for _ in range(3):
        yield f(vector())
    del scale
    yield attempt(f, vector())
    scale = 3.0
    for _ in range(3):
        yield f(vector())


@case
def closure_tensor_replaced(compile):
    weight = vector()

    @compile
    def f(x):
        return x * weight

    for _ in range(3):
        yield f(vector())
    weight = vector() * 2
    yield f(vector())
    weight = tj.tensor([[1.0], [2.0]])
    for _ in range(3):
        yield f(vector())
    weight = None
    yield attempt(f, vector())


@case
def flag_attribute(compile):
    model = Box(training=True)

    @compile
    def f(x):
        if model.training:
            return x * 2
        return x

    for model.training in thrice(True, False, True, 1, 0):
        yield f(vector())


@case
def tensor_attribute_replaced(compile):
    model = Box(w=vector())

    @compile
    def f(x):
        return x * model.w

    for _ in range(3):
        yield f(vector())
    model.w = model.w + 1
    for _ in range(3):
        yield f(vector())
    model.w = tj.tensor([1, 2, 3])
    for _ in range(3):
        yield f(vector())


@case
def object_replaced(compile):
    model = Box(w=vector(), k=2.0)

    @compile
    def f(x):
        return x * model.w * model.k

    for _ in range(3):
        yield f(vector())
    model = Box(w=vector() + 1, k=3.0)
    for _ in range(3):
        yield f(vector())
    model = type("Other", (Box,), {"k": 5.0})(w=vector())
    for _ in range(3):
        yield f(vector())


@case
def mutable_default(compile):
    @compile
    def f(x, seen=[]):  # noqa: B006  # the case  # the case
        seen.append(1)
        return x * len(seen)

    for _ in range(5):
        yield f(vector())


@case
def mutable_default_read(compile):
    factors = [2.0]

    @compile
    def f(x, factors=factors):
        return x * factors[0]

    for factors[0] in thrice(2.0, 3.0):
        yield f(vector())


@case
def list_append_tensor(compile):
    history = []

    @compile
    def f(x):
        y = x * 2
        history.append(y)
        return y

    for _ in range(6):
        yield f(vector()), history


@case
def dict_state(compile):
    state = {"last": vector()}

    @compile
    def f(x):
        y = x + state["last"]
        state["last"] = y
        return y * 2

    for _ in range(4):
        yield f(vector()), state
    state["last"] = vector()
    for _ in range(3):
        yield f(vector()), state


@case
def new_dict_key(compile):
    state = {}

    @compile
    def f(x):
        if "sum" not in state:
            state["sum"] = x * 0
        state["sum"] = state["sum"] + x
        return state["sum"]

    for _ in range(5):
        yield f(vector()), state
    state.clear()
    state["other"] = 1
    for _ in range(4):
        yield f(vector()), state


@case
def dict_order_after_reinsertion(compile):
    state = {"a": vector(), "b": vector() * 2}

    @compile
    def f(x):
        state["a"] = state["a"] + x
        return [name + name for name in state]

    for _ in range(4):
        yield f(vector()), state
    state["a"] = state.pop("a")
    for _ in range(4):
        yield f(vector()), state


@case
def counter_attribute(compile):
    model = Box(n=0)

    @compile
    def f(x):
        model.n += 1
        return x * model.n

    for _ in range(5):
        yield f(vector()), model
    model.n = 100
    for _ in range(2):
        yield f(vector()), model
    model.n = 2**63 - 2
    for _ in range(2):
        yield attempt(f, vector()), model


@case
def counter_every_third(compile):
    model = Box(n=0)

    @compile
    def f(x):
        model.n += 1
        if model.n % 3 == 0:
            return x * 10
        return x + 1

    for _ in range(12):
        yield f(vector()), model


@case
def global_counter(compile):
    global CALLS
    CALLS = 0

    @compile
    def f(x):
        global CALLS
        CALLS += 1
        return x + CALLS

    for _ in range(5):
        yield f(vector()), CALLS
    CALLS = -1
    for _ in range(3):
        yield f(vector()), CALLS


@case
def nonlocal_counter(compile):
    n = 0

    @compile
    def f(x):
        nonlocal n
        n += 1
        return x + n

    for _ in range(5):
        yield f(vector()), n
    n = 0.5
    for _ in range(3):
        yield f(vector()), n


@case
def global_becomes_a_tensor(compile):
    global BIAS
    BIAS = 1.0

    @compile
    def f(x):
        return x + BIAS if BIAS is not None else x

    for BIAS in [*thrice(1.0), *thrice(None), vector(), vector(), np.float32(2), 1]:
        yield f(vector())
