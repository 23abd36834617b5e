"""Functions: decorators, partials, lambdas, replaced code, functions that are made or compiled inside."""

# ruff: noqa: B007, B020  # a loop variable is state that the compiled function reads

from __future__ import annotations

import functools

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector


def helper(x):
    return x * 2


def other_helper(x):
    return x * 3


class Box:
    pass


@case
def monkeypatched_function(compile):
    global helper

    @compile
    def f(x):
        return helper(x) + 1

    for helper in thrice(helper, other_helper, tj.exp, helper):
        yield f(vector())


@case
def monkeypatched_module_function(compile):
    module = type(tj)("module")
    module.op = tj.exp

    @compile
    def f(x):
        return module.op(x)

    for module.op in thrice(tj.exp, tj.tanh, lambda x: x * 2, tj.exp):
        yield f(vector())
    del module.op
    yield attempt(f, vector())


@case
def code_of_a_helper_replaced(compile):
    def inner(x):
        return x * 2

    @compile
    def f(x):
        return inner(x) + 1

    for code in thrice(inner.__code__, (lambda x: x - 5).__code__):
        inner.__code__ = code
        yield f(vector())


@case
def code_of_the_function_replaced(compile):
    def f(x):
        return x * 2

    g = compile(f)
    for code in thrice(f.__code__, other_helper.__code__, f.__code__):
        f.__code__ = code
        yield g(vector())


@case
def globals_builtin_shadow(compile):
    global len

    @compile
    def f(x, parts):
        return x * len(parts)  # noqa: F821  # a builtin, most of the time

    for _ in range(3):
        yield f(vector(), [1, 2])
    len = lambda parts: 10
    for _ in range(3):
        yield f(vector(), [1, 2])
    del len
    for _ in range(3):
        yield f(vector(), [1, 2])


@case
def builtin_replaced_for_all(compile):
    import builtins

    before = builtins.abs

    @compile
    def f(x):
        return abs(x) + 1

    try:
        for builtins.abs in thrice(before, lambda x: x * 100, before):
            yield f(vector())
    finally:
        builtins.abs = before


@case
def decorator_wraps(compile):
    factor = 2.0

    def scaled(g):
        @functools.wraps(g)
        def wrapper(*args, **kwargs):
            return g(*args, **kwargs) * factor

        return wrapper

    @compile
    @scaled
    def f(x):
        """Adds one."""
        return x + 1

    for factor in thrice(2.0, 3.0):
        yield f(vector()), f.__name__, f.__doc__


@case
def decorated_outside(compile):
    calls = []

    def counted(g):
        def wrapper(*args):
            calls.append(len(args))
            return g(*args)

        return wrapper

    @counted
    @compile
    def f(x, k=1.0):
        return x * k

    for _ in range(4):
        yield f(vector()), calls
    for _ in range(2):
        yield f(vector(), 3.0), calls


@case
def lambdas_in_list(compile):
    steps = [lambda x: x + 1, lambda x: x * 2]

    @compile
    def f(x):
        for step in steps:
            x = step(x)
        return x

    for _ in range(3):
        yield f(vector())
    steps.reverse()
    for _ in range(3):
        yield f(vector())
    steps.append(tj.tanh)
    for _ in range(3):
        yield f(vector())


@case
def a_lambda_compiled(compile):
    scale = 2.0
    f, g = compile(lambda x: x * scale), compile(lambda x: x + scale)
    for scale in thrice(2.0, 3.0):
        yield f(vector()), g(vector())


@case
def closure_returned(compile):
    @compile
    def f(x):
        y = x * 2

        def later(z):
            return y + z

        return later, y

    for k in range(4):
        later, y = f(vector() + k)
        yield later(vector()), y, later.__closure__[0].cell_contents is y


@case
def inner_def_called_later(compile):
    state = Box()
    state.step = None

    @compile
    def f(x):
        if state.step is not None:
            x = state.step(x)

        def step(z):
            return z + 1

        state.step = step
        return x

    for _ in range(5):
        yield f(vector())


@case
def nested_compiled(compile):
    scale = 2.0

    @compile
    def inner(x):
        return x * scale

    @compile
    def f(x):
        return inner(x) + inner(x + 1)

    for scale in thrice(2.0, 3.0):
        yield f(vector()), inner(vector())


@case
def nested_compiled_with_state(compile):
    state = {"n": 0}

    @compile
    def inner(x):
        state["n"] += 1
        return x * state["n"]

    @compile
    def f(x):
        first = inner(x)
        state["n"] += 10
        return first, inner(x)

    for _ in range(4):
        yield f(vector()), state
    for _ in range(4):
        yield inner(vector()), state


@case
def compiled_method(compile):
    class Model:
        def __init__(self, scale):
            self.scale, self.calls = scale, 0

        @compile
        def __call__(self, x):
            self.calls += 1
            return self.forward(x)

        @compile
        def forward(self, x):
            return x * self.scale

    one, other = Model(2.0), Model(3.0)
    for model in [one, one, one, other, other, one, other]:
        yield model(vector()), model.forward(vector()), model
    one.scale = 5.0
    for _ in range(3):
        yield one(vector()), Model.forward(one, vector()), one


@case
def partial_(compile):
    def f(x, y, scale=1.0):
        return x * scale + y

    p = functools.partial(f, vector(), scale=2.0)
    g = compile(p)
    for _ in range(3):
        yield g(vector())
    p.keywords["scale"] = 3.0
    for _ in range(3):
        yield g(vector())
    yield g(vector(), scale=4.0), p


@case
def partial_with_places(compile):
    """For arguments to come, from Python 3.14 on."""
    place = getattr(functools, "Placeholder", None)
    more = () if place is None else (vector(),)

    @compile
    def f(p, *given):
        return p(*given)

    def of_three(x, by, y):
        return y - (by if x is None else x * by)

    inner = functools.partial(of_three, place, 2.0)
    for p in thrice(inner, functools.partial(inner, *more)):
        given = () if p.args[0] is not place else more
        yield attempt(f, p, *given, vector() * 3), attempt(f, p)


@case
def partial_in_state(compile):
    def scaled(x, by, shift=0.0):
        return x * by + shift

    state = Box()

    @compile
    def f(x):
        return state.step(x)

    steps = [functools.partial(scaled, by=2.0), functools.partial(scaled, by=3.0, shift=1.0)]
    for state.step in thrice(*steps, functools.partial(steps[0], shift=5.0), tj.exp):
        yield f(vector())


@case
def exec_no_source(compile):
    scope = {"scale": 2.0}
    exec("def f(x):\n    return x * scale\n", scope)
    f = compile(scope["f"])
    for scope["scale"] in thrice(2.0, 3.0):
        yield f(vector())
