"""How a function is called: defaults, keywords, positions, types and numbers of arguments."""

from __future__ import annotations

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector


class Box:
    pass


@case
def kwargs_defaults(compile):
    @compile
    def f(x, scale=2.0, *, shift=1.0, **rest):
        return x * scale + shift, rest

    for _ in range(3):
        yield f(vector())
    for _ in range(3):
        yield f(vector(), scale=3.0)
    yield f(vector(), 3.0)
    yield f(vector(), shift=0.0, scale=2.0)
    yield f(x=vector(), b=1, a=vector())
    yield f(x=vector(), a=vector(), b=1)
    yield f(vector())


@case
def default_replaced(compile):
    def f(x, scale=2.0):
        return x * scale

    g = compile(f)
    for scale in thrice(2.0, 3.0, 2):
        f.__defaults__ = (scale,)
        yield g(vector())


@case
def defaults_added(compile):
    def f(x, scale=None):
        return x if scale is None else x * scale

    g = compile(f)
    for _ in range(3):
        yield g(vector())
    f.__defaults__ = (vector(), 5.0)
    for _ in range(2):
        yield g()
    for _ in range(2):
        yield g(vector() + 1)
    f.__defaults__ = None
    yield attempt(g, vector())
    yield g(vector(), 1.0)


@case
def keyword_default_replaced(compile):
    def f(x, *, scale=2.0):
        return x * scale

    g = compile(f)
    for _ in range(3):
        yield g(vector())
    f.__kwdefaults__["scale"] = 4.0
    for _ in range(3):
        yield g(vector())
    f.__kwdefaults__ = None
    yield attempt(g, vector())
    yield g(vector(), scale=1.0)


@case
def default_arg_object(compile):
    options = Box()
    options.scale = 2.0

    def f(x, options=options):
        return x * options.scale

    g = compile(f)
    for options.scale in thrice(2.0, 3.0):
        yield g(vector())
    other = Box()
    other.scale = 7.0
    f.__defaults__ = (other,)
    for _ in range(3):
        yield g(vector())


@case
def default_of_a_helper_replaced(compile):
    def scaled(x, by=2.0):
        return x * by

    @compile
    def f(x):
        return scaled(x) + scaled(x, 1.0)

    for _ in range(3):
        yield f(vector())
    scaled.__defaults__ = (5.0,)
    for _ in range(3):
        yield f(vector())


@case
def positional_only_and_keyword_only(compile):
    @compile
    def f(x, /, y, *, z=1.0):
        return x + y * z

    for _ in range(3):
        yield f(vector(), vector(), z=2.0)
    for _ in range(3):
        yield f(vector(), y=vector())
    yield attempt(f, x=vector(), y=vector())
    yield attempt(f, vector(), vector(), 3.0)
    yield attempt(f, vector())
    yield f(vector(), z=2.0, y=2.0)


@case
def number_of_arguments_changes(compile):
    @compile
    def f(*args, **kwargs):
        total = sum(args[1:], start=args[0])
        for name, value in kwargs.items():
            total = total * 2 + value * len(name)
        return total, len(args), list(kwargs)

    for n in thrice(1, 2, 3):
        yield f(*[vector()] * n)
    for kwargs in [{"a": 1.0}] * 3 + [{"a": 1.0, "bb": 2.0}] * 3 + [{"bb": 2.0, "a": 1.0}] * 3:
        yield f(vector(), **kwargs)


@case
def args_and_kwargs_are_new_each_call(compile):
    state = Box()
    given = {"k": 2.0}

    @compile
    def f(*args, **kwargs):
        state.args, state.kwargs = args, kwargs
        kwargs["seen"] = True
        return args[0] * kwargs["k"]

    for given["k"] in thrice(2.0, 3.0):
        before = getattr(state, "kwargs", None)
        yield f(vector(), **given), state, given, state.kwargs is before, state.kwargs is given


@case
def star_args_from_state(compile):
    extra, options = [vector()], {"scale": 2.0}

    def g(*parts, scale):
        return sum(parts[1:], start=parts[0]) * scale

    @compile
    def f(x):
        return g(x, *extra, **options)

    for _ in range(3):
        yield f(vector())
    extra.append(vector() * 2)
    for _ in range(3):
        yield f(vector())
    options["scale"] = 3.0
    for _ in range(3):
        yield f(vector())
    options["shift"] = 1.0
    yield attempt(f, vector())


@case
def isinstance_args(compile):
    @compile
    def f(x):
        if isinstance(x, tj.Tensor):
            return x * 2
        if isinstance(x, list | tuple):
            return [part * 3 for part in x]
        return x

    for x in [vector(), vector(), vector(), [vector()], (vector(), 1), 2.0, None, vector(), [1]]:
        yield f(x)


@case
def keys_of_keyword_arguments(compile):
    def g(x, **options):
        return x * options.get("k", 1.0), list(options)

    options = {"k": 2.0}

    @compile
    def f(x):
        return g(x, **options)

    for _ in range(3):
        yield f(vector())
    options["other"] = 1
    for _ in range(3):
        yield f(vector())
    del options["k"]
    for _ in range(3):
        yield f(vector())


@case
def number_of_arguments_and_their_names(compile):
    @compile
    def f(x, *rest, k=1.0, **more):
        return x * k, len(rest), sorted(more)

    for _ in range(3):
        yield f(vector(), k=2.0)
    for _ in range(3):
        yield f(vector(), 2.0)
    for _ in range(3):
        yield f(vector(), **{"k": 2.0, "not a name": 1})
    yield attempt(f, k=2.0)


@case
def fndef_more_defaults_than_before(compile):
    def g(x, k=None, j=None):
        return x if k is None else x * k if j is None else x * j

    @compile
    def f(x):
        return g(x), g(x, 2.0)

    for defaults in thrice((None, None), (None,), (None, 5.0), (3.0, None)):
        g.__defaults__ = defaults
        yield attempt(f, vector())


@case
def arguments_that_cannot_be_spread(compile):
    state = Box()
    state.shape = 3

    @compile
    def f(x):
        return x.reshape(*state.shape)

    @compile
    def g(x):
        return x.sum(**state.shape)

    for state.shape in thrice((3, 1), 6, (1, 3)):
        yield attempt(f, vector()), attempt(g, vector())
