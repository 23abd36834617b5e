"""What a call does to the outside besides state: output, logs, random streams, clocks, the environment, finalizers."""

from __future__ import annotations

import os
import random
from itertools import count

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import case, thrice, vector


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


@case
def print_each_call(compile):
    @compile
    def f(x):
        print("called", x.shape)
        return x * 2

    for _ in range(4):
        yield f(vector())


@case
def print_tensor_value(compile):
    @compile
    def f(x):
        print(x.sum())
        return x * 2

    for k in range(4):
        yield f(vector() + k)


@case
def log_to_list_of_strings(compile):
    log = []

    @compile
    def f(x):
        log.append(f"sum {x.sum().item():.1f}")
        return x * 2

    for k in range(4):
        yield f(vector() + k), log


@case
def random_module(compile):
    @compile
    def f(x):
        return x * random.random()

    for _ in range(4):
        yield f(vector())


@case
def np_random(compile):
    @compile
    def f(x):
        return x * float(np.random.rand())

    for _ in range(4):
        yield f(vector())


@case
def own_generator(compile):
    g = tj.random.Generator(3)

    @compile
    def f(x):
        return x + g.random((3,))

    for _ in range(4):
        yield f(vector()), g
    g.seed(3)
    for _ in range(2):
        yield f(vector()), g


@case
def own_generator_side_exit(compile):
    g = tj.random.Generator(3)

    @compile
    def f(x):
        noise = g.random((3,))
        if x.sum() > 5:
            return x - noise
        return x + noise * g.random((3,))

    for k in [0, 0, 0, 2, 2, 0, 2, 0]:
        yield f(vector() + k), g


@case
def default_stream_seeded_between_calls(compile):
    @compile
    def f(x):
        return x + tj.random.normal((3,)), tj.random.integers(0, 10, (2,))

    for k in range(6):
        if k == 4:
            tj.random.seed(0)
        yield f(vector())


@case
def generator_replaced(compile):
    state = Box(g=tj.random.Generator(1))

    @compile
    def f(x):
        return x * state.g.random((3,))

    for _ in range(4):
        yield f(vector()), state
    first, state.g = state.g, tj.random.Generator(1)
    for _ in range(3):
        yield f(vector()), state, first


@case
def time_call(compile):
    clock = count()

    @compile
    def f(x):
        return x * next(clock)

    for _ in range(4):
        yield f(vector())


@case
def environ(compile):
    name = "TRACEJIT_TORTURE_SCALE"

    @compile
    def f(x):
        return x * float(os.environ.get(name, "1"))

    try:
        for value in thrice("2", "3"):
            os.environ[name] = value
            yield f(vector())
    finally:
        del os.environ[name]
    yield f(vector())


@case
def finalizer_that_writes_state(compile):
    log = []

    class Noisy:
        def __del__(self):
            log.append("gone")

    @compile
    def f(x):
        noisy = Noisy()
        y = x * 2
        del noisy
        log.append("after")
        return y

    for _ in range(4):
        yield f(vector()), list(log)
