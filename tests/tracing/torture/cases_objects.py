"""Objects that a call makes and takes; operators, equality and truth of the user's classes."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, field

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


class Vec:
    def __init__(self, t):
        self.t = t

    def __add__(self, other):
        return Vec(self.t + (other.t if isinstance(other, Vec) else other))

    __radd__ = __add__

    def __eq__(self, other):
        return type(other) is Vec and bool((self.t == other.t).all())

    def __hash__(self):
        return 1

    def __lt__(self, other):
        return bool(self.t.sum() < other.t.sum())


@dataclass
class Config:
    scale: float = 2.0
    names: list = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Result:
    loss: tj.Tensor
    config: Config


@case
def dataclass_out(compile):
    @compile
    def f(x):
        return Result(x.sum(), Config(3.0)), Config()

    kept = []
    for k in range(4):
        result, config = f(vector() + k)
        config.names.append(k)
        kept.append((result, config))
        yield kept


@case
def dataclass_in(compile):
    @compile
    def f(config, x):
        return x * config.scale, config.names[0]

    config = Config(2.0, ["a"])
    for _ in range(3):
        yield f(config, vector())
    config.scale = 3.0
    for _ in range(3):
        yield f(config, vector())
    for names in thrice(["b"], ["c", "d"]):
        yield f(Config(4.0, names), vector())
    yield attempt(f, Config(), vector())


@case
def dataclass_with_post_init(compile):
    made = []

    @dataclass
    class Pair:
        x: object
        y: object = None

        def __post_init__(self):
            made.append(1)
            self.y = self.x * 2

    @compile
    def f(x):
        return Pair(x)

    for k in range(4):
        yield f(vector() + k), made


@case
def fresh_object_state(compile):
    @compile
    def f(x):
        box = Box(total=x, n=0)
        for _ in range(3):
            box.n += 1
            box.total = box.total * box.n
        return box

    for k in range(4):
        yield f(vector() + k)


@case
def operator_overload_user(compile):
    @compile
    def f(a, b):
        return a + b + 1.0

    for k in range(4):
        yield f(Vec(vector() + k), Vec(vector()))
    Vec.__add__, before = (lambda self, other: self), Vec.__add__
    try:
        for k in range(3):
            yield f(Vec(vector() + k), Vec(vector()))
    finally:
        Vec.__add__ = before


@case
def len_bool_user(compile):
    class Bag:
        def __init__(self, n):
            self.n = n

        def __len__(self):
            return self.n

    bag = Bag(1)

    @compile
    def f(x):
        return x * len(bag) if bag else x - 1

    for bag.n in thrice(1, 2, 0):
        yield f(vector())
    Bag.__bool__ = lambda self: True
    for _ in range(3):
        yield f(vector())


@case
def user_eq_hash_keys(compile):
    state = {Vec(vector()): 1.0}

    @compile
    def f(x):
        state[Vec(x)] = state.get(Vec(x), 0.0) + 1.0
        return x * state[Vec(x)]

    for k in [0, 0, 1, 0, 1]:
        yield f(vector() + k), list(state.values())


@case
def sorted_users(compile):
    @compile
    def f(parts):
        return [part.t for part in sorted(parts)]

    for order in [(0, 1, 2)] * 3 + [(2, 0, 1)] * 3:
        yield f([Vec(vector() + k) for k in order])


@case
def fresh_then_mutated_state(compile):
    state = Box(log=None)

    @compile
    def f(x):
        log = [x]
        state.log = log
        log.append(x * 2)
        state.log.append(x * 3)
        return log

    for k in range(4):
        yield f(vector() + k), state


@case
def read_after_write_same_attr(compile):
    state = Box(w=vector(), n=1)

    @compile
    def f(x):
        before = state.w
        state.w = x
        after = state.w
        state.n = 5
        return before * after * state.n, after is x

    for k in range(5):
        yield f(vector() + k), state


@case
def inplace_on_fresh_alias_of_state(compile):
    state = Box(w=None)

    @compile
    def f(x):
        y = x * 2
        state.w = y
        y.add_(1)
        state.w.mul_(3)
        return x

    for k in range(5):
        yield f(vector() + k), state


@case
def tensor_subclass(compile):
    class Weight(tj.Tensor):
        def scaled(self):
            return self * 3

    @compile
    def f(x):
        return x.scaled() if hasattr(x, "scaled") else x * 2, type(x).__name__

    for x in [vector(), vector(), vector(), Weight([1.0]), Weight([2.0]), Weight([2.0]), vector()]:
        yield f(x)


@case
def tensor_subclass_with_its_own_operator(compile):
    class Loud(tj.Tensor):
        calls = 0

        def __mul__(self, other):
            Loud.calls += 1
            return tj.Tensor.__mul__(self, 10)

    weight = Loud([1.0, 2.0, 3.0])

    @compile
    def f(x):
        return weight * x, x * weight

    for _ in range(4):
        yield f(vector()), Loud.calls
    del Loud.__mul__
    for _ in range(3):
        yield f(vector()), Loud.calls


@case
def module_list_of_modules(compile):
    class Layer:
        def __init__(self, w):
            self.w = w

        def __call__(self, x):
            return x * self.w

    layers = [Layer(vector()), Layer(2.0)]

    @compile
    def f(x):
        for layer in layers:
            x = layer(x)
        return x

    for _ in range(3):
        yield f(vector())
    layers[1].w = 3.0
    for _ in range(3):
        yield f(vector())
    layers.insert(0, layers[1])
    for _ in range(3):
        yield f(vector())
    layers[:] = [Layer(vector() + 1)]
    for _ in range(3):
        yield f(vector())


@case
def objects_that_differ_in_their_attributes(compile):
    @compile
    def f(box, x):
        return x * box.scale + getattr(box, "shift", 0.0)

    for box in thrice(Box(scale=2.0), Box(scale=2.0, shift=1.0), Box(shift=1.0, scale=3.0)):
        yield f(box, vector())
    yield attempt(f, Box(shift=1.0), vector())


@case
def namedtuple_with_its_own_new(compile):
    class Pair(namedtuple("Pair", "x y")):
        def __new__(cls, x):
            return super().__new__(cls, x, x * 2)

    @compile
    def f(pair):
        return pair.x + pair.y

    for k in range(4):
        yield f(Pair(vector() + k))


@case
def result_with_its_own_iteration(compile):
    class Rows(list):
        walked = 0

        def __iter__(self):
            Rows.walked += 1
            return list.__iter__(self)

    @compile
    def f(x):
        return Rows([x, x * 2])

    for k in range(4):
        yield len(f(vector() + k)), Rows.walked


@case
def methods_called_through_the_class(compile):
    class Model:
        def __init__(self, k):
            self.k = k

        def __matmul__(self, x):
            return x * self.k

        def __getitem__(self, name):
            return getattr(self, name)

        def __contains__(self, name):
            return name in self.__dict__

    model = Model(2.0)

    @compile
    def f(x):
        return model @ x, model["k"], "k" in model, Model.__matmul__(model, x)

    for model.k in thrice(2.0, 3.0):
        yield f(vector())
    model.__getitem__ = lambda name: "ignored"
    for _ in range(3):
        yield f(vector())
    Model.__contains__ = lambda self, name: False
    for _ in range(3):
        yield f(vector())


@case
def slot_that_is_empty(compile):
    class Slotted:
        __slots__ = ("n",)

    class Falling:
        __slots__ = ("n",)

        def __getattr__(self, name):
            return calls.append(name) or 7

    slotted, falling, calls = Slotted(), Falling(), []

    @compile
    def f(x):
        made = Falling()
        return (
            x * falling.n,
            hasattr(slotted, "n"),
            getattr(slotted, "n", 5),
            made.n,
            attempt(lambda: slotted.n),
        )

    for _ in range(3):
        yield f(vector()), list(calls)
    slotted.n = falling.n = 1
    for k in range(3):
        yield f(vector()), list(calls)
        if k == 1:
            del slotted.n
