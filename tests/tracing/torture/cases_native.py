"""Functions written in C that read what they are given, or what they hold: state that no line of the program reads."""

# ruff: noqa: B007  # a loop variable is state that the compiled function reads

from __future__ import annotations

import contextvars
import copy
import functools
import io
import itertools
import operator
import random
from dataclasses import dataclass, replace

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, matrix, thrice, vector


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


@case
def sums_and_extremes_of_a_list(compile):
    parts = [1.0, 2.0]

    @compile
    def f(x):
        return x * sum(parts), max(parts), min(parts, default=0.0), any(parts), all(parts)

    for parts[:] in thrice([1.0, 2.0], [1.0, 2.0, 5.0], [0.0, 2.0], [2.0, 0.0]):
        yield f(vector())


@case
def copies_of_containers(compile):
    parts, table = [1.0, 2.0], {"a": 1.0}

    @compile
    def f(x):
        return list(parts), tuple(parts), set(parts), dict(table, x=x), parts.copy(), [*parts, x]

    for parts[:], table["a"] in zip(thrice([1.0, 2.0], [2.0, 1.0], [3.0]), thrice(1.0, 2, True)):
        yield f(vector())


@case
def sorted_and_reversed_lists(compile):
    parts = [3.0, 1.0, 2.0]

    @compile
    def f(x):
        return [x * k for k in sorted(parts)], list(reversed(parts)), sorted(parts, reverse=True)

    for parts[:] in thrice([3.0, 1.0, 2.0], [1.0, 3.0], [True, 1.0, 1]):
        yield f(vector())


@case
def zip_map_filter_enumerate(compile):
    parts, names, start = [1.0, 0.0, 2.0], ["a", "b"], 0

    @compile
    def f(x):
        pairs = list(zip(parts, names))
        numbered = [x * at for at, _ in enumerate(parts, start)]
        return pairs, list(map(len, names)), list(filter(None, parts)), numbered

    yield from (f(vector()) for _ in range(3))
    parts.append(5.0)
    yield from (f(vector()) for _ in range(3))
    names[:] = ["long", "", "c"]
    yield from (f(vector()) for _ in range(3))
    start = 2
    yield from (f(vector()) for _ in range(3))
    start = 2.0
    yield attempt(f, vector())


@case
def zip_of_unpacked_rows(compile):
    rows = [[1.0, 2.0], [3.0, 4.0]]

    @compile
    def f(x):
        return [x * sum(column) for column in zip(*rows)]

    for _ in range(3):
        yield f(vector())
    rows[1][0] = 9.0
    for _ in range(3):
        yield f(vector())
    rows.append([1.0])
    for _ in range(3):
        yield f(vector())


@case
def getters_from_operator(compile):
    state = Box(k=2.0, table={"k": 3.0}, scaled=None)
    k_of, item_of = operator.attrgetter("k"), operator.itemgetter("k")
    twice = operator.methodcaller("mul_", 2.0)

    @compile
    def f(x):
        return x * k_of(state), x * item_of(state.table), twice(x.copy())

    for state.k, state.table["k"] in zip(thrice(2.0, 5.0), thrice(3.0, 3.0, 7.0)):
        yield f(vector())


@case
def functions_from_operator(compile):
    parts, state = [1.0, 2.0], Box(n=0)

    @compile
    def f(x):
        operator.setitem(parts, 0, parts[0] + 1)
        state.n = operator.iadd(state.n, 1)
        operator.iadd(parts, [state.n])
        return operator.mul(x, operator.getitem(parts, 0)), operator.contains(parts, 3)

    for _ in range(5):
        yield f(vector()), parts, state


@case
def getattr_setattr_vars(compile):
    state, name = Box(k=2.0, j=5.0, seen=None), "k"

    @compile
    def f(x):
        setattr(state, "seen", name)  # noqa: B010  # the case
        return x * getattr(state, name), hasattr(state, "gone"), getattr(state, "gone", x) is x

    for name in thrice("k", "j"):
        yield f(vector()), state
    state.gone = 1
    for _ in range(3):
        yield f(vector()), state
    name = "nothing"
    yield attempt(f, vector()), state


@case
def dict_of_an_object(compile):
    state = Box(a=1.0)

    @compile
    def f(x):
        state.__dict__["last"] = x
        return x * sum(k for k in vars(state).values() if isinstance(k, float)), list(vars(state))

    for _ in range(4):
        yield f(vector()), state
    state.b = 2.0
    for _ in range(3):
        yield f(vector()), state


@case
def reduce_from_a_start_by_name(compile):
    """From Python 3.14 on; before, it is an error."""

    @compile
    def f(x):
        return functools.reduce(lambda a, b: a + b, [1.0, 2.0], initial=x)

    for _ in range(3):
        yield attempt(f, vector())


@case
def reduce_and_accumulate(compile):
    parts = [1.0, 2.0]
    scale = 1.0

    @compile
    def f(x):
        total = functools.reduce(lambda a, b: a + b * scale, parts, x)
        return total, list(itertools.accumulate(parts)), list(itertools.chain(parts, [scale]))

    for parts[:] in thrice([1.0, 2.0], [1.0, 2.0, 3.0]):
        yield f(vector())
    for scale in thrice(2.0, 3.0):
        yield f(vector())


@case
def iterators_with_a_state(compile):
    cycle, numbers = itertools.cycle([1.0, 2.0, 3.0]), iter([1.0, 2.0, 3.0, 4.0])

    @compile
    def f(x):
        return x * next(cycle), [k for k, _ in zip(numbers, range(1))]

    for _ in range(6):
        yield f(vector())


@case
def string_methods_on_state(compile):
    state = Box(name="Layer.0", parts=["a", "b"])

    @compile
    def f(x):
        kind, _, at = state.name.partition(".")
        text = "{0.name}:{1}".format(state, state.parts)  # noqa: UP030, UP032  # the case
        return x * float(at), kind.lower(), "-".join(state.parts), text, state.name in "Layer.01"

    for state.name in thrice("Layer.0", "Block.1"):
        yield f(vector())
    state.parts.append("c")
    for _ in range(3):
        yield f(vector())


@case
def list_methods_that_search(compile):
    parts = ["a", "b"]

    @compile
    def f(x, name):
        return x * parts.index(name), parts.count(name), name in parts

    for _ in range(3):
        yield f(vector(), "b")
    parts.insert(0, "b")
    for _ in range(3):
        yield f(vector(), "b")
    yield attempt(f, vector(), "z")


@case
def list_methods_that_write(compile):
    parts, table = [2.0, 1.0], {"k": 1.0}

    @compile
    def f(x):
        parts.sort()
        parts.insert(0, x.size)
        parts.extend([4.0])
        table.update(k=table["k"] + 1)
        table.setdefault("first", len(parts))
        return x * parts[0]

    for _ in range(4):
        yield f(vector()), parts, table
    parts[:], table["first"] = [1.0], 0
    for _ in range(3):
        yield f(vector()), parts, table


@case
def tensors_made_of_a_list(compile):
    numbers, rows = [1.0, 2.0, 3.0], [vector(), vector() + 1]

    @compile
    def f(x):
        return x + tj.tensor(numbers), tj.stack(rows), tj.concat(rows + [x])

    for _ in range(3):
        yield f(vector())
    numbers[0] = 9
    rows[0] = vector() * 5
    for _ in range(3):
        yield f(vector())
    rows.append(vector())
    for _ in range(3):
        yield f(vector())
    numbers[1] = 2
    numbers[2] = 3
    for _ in range(3):
        yield f(vector())


@case
def indices_in_lists_and_tuples(compile):
    state = Box(at=[0, 1], place=(0, slice(None)))

    @compile
    def f(x):
        return x[state.at], x[state.place], tj.take(x, tj.tensor(state.at), axis=0)

    for state.at[:] in thrice([0, 1], [1, 0], [1]):
        yield f(matrix())
    for state.place in thrice((1, slice(None)), (slice(None), -1), (..., 0), (None, 1)):
        yield f(matrix())


@case
def arrays_made_of_a_list(compile):
    numbers = [1.0, 2.0, 3.0]

    @compile
    def f(a):
        return a + np.array(numbers), np.asarray(numbers).sum(), np.stack([a, numbers])

    for numbers[:] in thrice([1.0, 2.0, 3.0], [4.0, 2.0, 3.0], [1, 2, 3]):
        yield f(np.ones(3))


@case
def ranges_and_slices_of_a_tuple(compile):
    state = Box(bounds=(0, 3))

    @compile
    def f(x):
        return [x * k for k in range(*state.bounds)], x[slice(*state.bounds)], divmod(*state.bounds)

    for state.bounds in thrice((0, 3), (1, 3), [2, 1]):
        yield f(vector())
    yield attempt(f, vector()), attempt(setattr, state, "bounds", (1, 0)), attempt(f, vector())


@case
def context_variable(compile):
    scale = contextvars.ContextVar("scale", default=2.0)

    @compile
    def f(x):
        return x * scale.get()

    for _ in range(3):
        yield f(vector())
    token = scale.set(3.0)
    for _ in range(3):
        yield f(vector())
    scale.reset(token)
    yield f(vector())


@case
def own_random_generators(compile):
    one, other = random.Random(0), np.random.default_rng(0)

    @compile
    def f(x):
        return x * one.random(), float(other.random()), one.choice([1, 2, 3])

    for _ in range(4):
        yield f(vector())


@case
def text_stream_written(compile):
    stream = io.StringIO()

    @compile
    def f(x):
        stream.write(f"{x.shape}")
        print("line", file=stream)
        return x * 2, stream.tell()

    for _ in range(4):
        yield f(vector()), stream.getvalue()


@case
def copies_of_objects(compile):
    @dataclass
    class Options:
        k: float
        parts: list

    options = Options(2.0, [1])

    @compile
    def f(x):
        shallow, deep = copy.copy(options), copy.deepcopy(options)
        deep.parts.append(x.size)
        return (
            x * replace(options, k=options.k + 1).k,
            shallow,
            deep,
            shallow.parts is options.parts,
        )

    for options.k in thrice(2.0, 3.0):
        yield f(vector()), options
    options.parts.append(5)
    for _ in range(3):
        yield f(vector()), options


@case
def isinstance_decided_by_the_class(compile):
    class Meta(type):
        def __instancecheck__(cls, instance):
            return cls.answer

    class Any(metaclass=Meta):
        answer = True

    @compile
    def f(x):
        return x * 2 if isinstance(x, Any) else x

    for Any.answer in thrice(True, False):
        yield f(vector())


@case
def identity_numbers(compile):
    state = Box(a=vector(), b=vector())

    @compile
    def f(x):
        return id(state.a) == id(state.b), len({id(state.a), id(x)}), hash(state.a) == hash(state.a)

    for _ in range(3):
        yield f(vector())
    state.b = state.a
    for _ in range(3):
        yield f(vector()), f(state.a)


@case
def single_dispatch(compile):
    @functools.singledispatch
    def act(x):
        return "other"

    @act.register
    def _(x: tj.Tensor):
        return x * 2

    @compile
    def f(x):
        return act(x)

    for _ in range(3):
        yield f(vector())
    act.register(tj.Tensor, lambda x: x * 5)
    for _ in range(3):
        yield f(vector())
    act.register(int, lambda x: x + 1)
    yield f(1), f("a")


@case
def guards_run_no_user_code(compile):
    log = []

    class Text(str):
        def __eq__(self, other):
            log.append("eq")
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    class Table(dict):
        def __getitem__(self, name):
            log.append("getitem")
            return dict.__getitem__(self, name)

        def __contains__(self, name):
            log.append("contains")
            return dict.__contains__(self, name)

        def __len__(self):
            log.append("len")
            return dict.__len__(self)

    class Model:
        def __getattr__(self, name):
            log.append("getattr")
            return 1.0

    state = Box(mode=Text("train"), table=Table(k=2.0), model=Model())

    @compile
    def f(x):
        y = x * state.table["k"] if state.mode == "train" else x
        return y * state.model.scale

    for _ in range(5):
        yield f(vector()), list(log)
    state.mode = "train"
    for _ in range(3):
        yield f(vector()), list(log)
    state.table, state.model.scale = {"k": 3.0}, 2.0
    for _ in range(4):
        yield f(vector()), list(log)
