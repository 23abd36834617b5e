"""Functions with a state of their own: cells, attributes, caches, recursion, frames, references."""

from __future__ import annotations

import functools
import gc
import inspect
import sys
import weakref

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, values, vector


class Box:
    pass


@case
def recursion(compile):
    def power(x, n):
        return x if n == 0 else power(x, n - 1) * x

    f = compile(power)
    for n in [2, 2, 2, 3, 3, 0]:
        yield f(vector(), n)


@case
def recursion_data(compile):
    @compile
    def f(x):
        if x.sum() > 50:
            return x
        return f(x * 2 + 1)

    for k in [0, 0, 0, 5, 5, 30]:
        yield f(vector() + k)


@case
def recursion_too_deep(compile):
    @compile
    def f(x, n):
        return x if n == 0 else f(x + 1, n - 1)

    for n in [1, 1, 1, 2]:
        yield f(vector(), n)
    before = sys.getrecursionlimit()
    depth = len(inspect.stack(0))
    for more in range(150, 200):
        sys.setrecursionlimit(depth + more)
        try:
            yield type(attempt(f, vector(), 10_000)).__name__
        finally:
            sys.setrecursionlimit(before)
    yield f(vector(), 1)


@case
def locals_frame(compile):
    @compile
    def f(x):
        y = x * 2
        return sorted(locals()), y

    for k in range(4):
        yield f(vector() + k)


@case
def frame_of_a_caller(compile):
    @compile
    def f(x):
        frame = sys._getframe(1)
        while frame.f_code.co_name != "frame_of_a_caller":
            frame = frame.f_back
        return x * frame.f_locals["k"]

    for k in thrice(2.0, 3.0):
        yield f(vector()), k


@case
def function_attribute_state(compile):
    def f(x):
        f.n += 1
        return x * f.n

    f.n = 0
    g = compile(f)
    for _ in range(4):
        yield g(vector()), f
    f.n = 10
    yield g(vector()), f


@case
def function_attribute_read(compile):
    def f(x):
        return x * f.scale

    f.scale = 2.0
    g = compile(f)
    for f.scale in thrice(2.0, 3.0):
        yield g(vector())
    del f.scale
    yield attempt(g, vector())


@case
def closure_factory_state(compile):
    def make(start):
        n = start

        @compile
        def count(x):
            nonlocal n
            n += 1
            return x * n

        return count

    one, other = make(0), make(10)
    for f in [one, one, one, other, other, other, one]:
        yield f(vector())


@case
def closures_made_in_a_loop(compile):
    factors = [1.0, 2.0, 3.0]
    late = [compile(lambda x: x * k) for k in factors]  # noqa: B023  # the case
    early = [compile(lambda x, k=k: x * k) for k in factors]
    for _ in range(3):
        yield [f(vector()) for f in late], [f(vector()) for f in early]


@case
def closure_over_loop_var(compile):
    steps = []
    for k in [1.0, 2.0]:
        steps.append(lambda x: x + k)  # noqa: B023, PERF401  # the case  # the case

    @compile
    def f(x):
        return [step(x) for step in steps]

    for _ in range(3):
        yield f(vector())
    k = 9.0
    for _ in range(3):
        yield f(vector())


@case
def shared_cell_between_functions(compile):
    n = 0

    def advance():
        nonlocal n
        n += 1

    @compile
    def f(x):
        advance()
        return x * n

    for _ in range(4):
        yield f(vector()), n
    advance()
    n += 0.5
    for _ in range(3):
        yield f(vector()), n


@case
def one_cell_holds_what_another_call_made(compile):
    last = None

    @compile
    def f(x):
        nonlocal last
        before, last = last, x * 2
        return before

    for k in range(6):
        yield f(vector() + k), last


@case
def lru_cached(compile):
    calls = []

    @functools.cache
    def table(n):
        calls.append(n)
        return tj.ones((n,)) * n

    @compile
    def f(x):
        return x + table(x.size)

    for _ in range(4):
        yield f(vector()), calls
    table.cache_clear()
    for _ in range(3):
        yield f(vector()), calls


@case
def object_with_call(compile):
    class Step:
        def __init__(self, by):
            self.by = by

        def __call__(self, x):
            return x * self.by

    step = Step(2.0)
    f, g = compile(step), compile(lambda x: step(x) + 1)
    for step.by in thrice(2.0, 3.0):
        yield f(vector()), g(vector())
    Step.__call__ = lambda self, x: x - self.by
    for _ in range(3):
        yield f(vector()), g(vector())


@case
def bound_method_stored(compile):
    class Model:
        def __init__(self, by):
            self.by = by

        def step(self, x):
            return x * self.by

    one, other = Model(2.0), Model(3.0)
    state = Box()

    @compile
    def f(x):
        return state.step(x)

    for state.step in thrice(one.step, other.step, one.step):
        yield f(vector())
    one.by = 7.0
    for _ in range(3):
        yield f(vector())


@case
def bound_method_compiled(compile):
    class Model:
        def __init__(self, by):
            self.by = by

        def step(self, x):
            return x * self.by

    one = Model(2.0)
    f = compile(one.step)
    for one.by in thrice(2.0, 3.0):
        yield f(vector())
    one.step = None
    yield f(vector())


@case
def model_is_freed_after_use(compile):
    class Model:
        pass

    @compile
    def f(model, x):
        model.seen = x * model.w
        return model.seen + 1

    for k in range(5):
        model = Model()
        model.w = vector() + k
        gone = weakref.ref(model), weakref.ref(model.w)
        result = values(f(model, vector()), model)
        del model
        gc.collect()
        yield result, [ref() is None for ref in gone]


@case
def new_object_each_call(compile):
    class Options:
        def __init__(self, scale, name):
            self.scale, self.name = scale, name

    @compile
    def f(x, options):
        return x * options.scale, options.name

    for scale, name in [(2.0, "a")] * 3 + [(3.0, "a")] * 3 + [(3.0, "b")] * 3:
        yield f(vector(), Options(scale, name))


@case
def weak_reference_read(compile):
    class Model:
        scale = 2.0

    model = Model()
    ref = weakref.ref(model)

    @compile
    def f(x):
        target = ref()
        return x if target is None else x * target.scale

    for _ in range(4):
        yield f(vector())
    del model
    gc.collect()
    for _ in range(3):
        yield f(vector())
