"""Cases against the guards on values and objects: the world changes in the one way that only this guard sees."""

from __future__ import annotations

import builtins

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


@case
def eq_of_text_that_is_equal_but_another_object(compile):
    state = Box()

    @compile
    def f(x):
        return x * 2 if state.mode == "train" else x

    for parts in thrice(("tr", "ain"), ("te", "st"), ("t", "rain")):
        state.mode = "".join(parts)
        yield f(vector())


@case
def eq_of_bytes_ranges_and_slices(compile):
    state = Box()

    @compile
    def f(x):
        return x[state.part], state.tag

    for state.part in thrice(slice(0, 2), slice(0, 2, 1), slice(1, None)):
        for state.tag in [b"a", range(3), range(0, 3, 1), range(0, 4, 3), (1, 2), (1.0, True)]:
            yield f(vector())


@case
def eq_of_numpy_scalars(compile):
    state = Box()

    @compile
    def f(x):
        return x * state.k

    for state.k in thrice(np.float32(2), np.float64(2), np.float32(3), np.int8(3)):
        yield f(vector())


@case
def eq_of_an_object_that_says_it_is_equal(compile):
    class Anything:
        def __eq__(self, other):
            return True

        def __hash__(self):
            return hash("train")

    state = Box()

    @compile
    def f(x):
        return x * 2 if state.mode is None or state.mode == "train" else x

    for state.mode in thrice("train", Anything(), None, "test"):
        yield f(vector())


@case
def is_of_functions_of_the_same_code(compile):
    def make(k):
        return lambda x: x * k

    state = Box()

    @compile
    def f(x):
        return state.step(x)

    for state.step in thrice(make(2.0), make(3.0), make(2.0)):
        yield f(vector())


@case
def is_of_classes_of_the_same_name(compile):
    state = Box()

    def make(k):
        class Layer:
            scale = k

            def __call__(self, x):
                return x * self.scale

        return Layer()

    @compile
    def f(x):
        return state.layer(x), isinstance(state.layer, first)

    first = type(make(2.0))
    for state.layer in thrice(make(2.0), first(), make(3.0)):
        yield f(vector())


@case
def alias_between_an_argument_and_state(compile):
    state = Box(w=vector())

    @compile
    def f(x):
        state.w.add_(1)
        return x * 2, x is state.w

    for _ in range(3):
        yield f(vector()), state
    for _ in range(3):
        yield f(state.w), state


@case
def alias_that_ends(compile):
    w = vector()
    state = Box(a=w, b=w)

    @compile
    def f(x):
        state.a.add_(x)
        return state.b * 2

    for _ in range(3):
        yield f(vector()), state
    state.b = vector()
    for _ in range(3):
        yield f(vector()), state
    state.a = state.b
    for _ in range(3):
        yield f(vector()), state


@case
def alias_of_a_list_inside_itself(compile):
    inner = [1.0]
    state = [inner, [2.0]]

    @compile
    def f(x):
        state[0][0] += 1
        return x * state[1][0]

    for _ in range(3):
        yield f(vector()), state
    state[1] = state[0]
    for _ in range(3):
        yield f(vector()), state
    state[1] = state
    yield attempt(f, vector())


@case
def distinct_objects_of_one_class(compile):
    @compile
    def f(a, b, c):
        a.n = 1.0
        c.n = 3.0
        return b.n * 2

    one, two, three = Box(n=0.0), Box(n=5.0), Box(n=0.0)
    for a, b, c in [(one, two, three)] * 3 + [(one, two, two)] * 3 + [(two, two, one)] * 3:
        two.n = 5.0
        yield f(a, b, c), [one, two, three]


@case
def distinct_globals_and_attributes(compile):
    scope = {"n": 0.0}
    state = Box(table={"n": 5.0})

    @compile
    def f(x):
        scope["n"] += 1
        return x * state.table["n"]

    for _ in range(3):
        yield f(vector()), scope, state
    state.table = scope
    for _ in range(3):
        yield f(vector()), scope, state
    state.table = Box(n=2.0).__dict__
    for _ in range(3):
        yield f(vector()), scope, state


@case
def distinct_dict_of_an_object(compile):
    state = Box(n=1.0, table={"n": 5.0})

    @compile
    def f(x):
        state.n = state.n + 1
        return x * state.table["n"]

    for _ in range(3):
        yield f(vector())
    state.table = state.__dict__
    for _ in range(3):
        yield f(vector()), state.n


@case
def isrel_between_objects(compile):
    one, other = Box(), Box()
    state = Box(a=one, b=other)

    @compile
    def f(x):
        return x * 2 if state.a is state.b else x

    for state.b in thrice(other, one, other, None):
        yield f(vector())
    state.a = None
    for _ in range(3):
        yield f(vector())


@case
def scalar_changes_its_type(compile):
    state = Box()

    @compile
    def f(x):
        return x * state.k, state.k

    for state.k in [1.0, 2.0, 3.0, 4, 5, True, np.float64(6), tj.tensor(7.0), 8.0, None, 9.0]:
        yield attempt(f, tj.tensor([1, 2]))


@case
def overlap_of_written_buffers(compile):
    @compile
    def f(a, b, c):
        a.add_(1)
        c.mul_(2)
        return b * 1

    for _ in range(3):
        yield f(vector(), vector(), vector())
    base = tj.arange(9).astype(tj.float32)
    for _ in range(3):
        yield f(base[:3], base[3:6], base[6:]), base
    for _ in range(3):
        yield f(base[:3], base[6:], base[5:8]), base
    for _ in range(3):
        yield f(base[:3], base[3:6], base[:3]), base


@case
def metadata_of_a_tensor_in_state(compile):
    state = Box()

    @compile
    def f(x):
        return x * state.w, state.w.shape, state.w.ndim

    w = vector()
    other_shapes = (w.reshape(3, 1), w[:1], tj.tensor(2.0), w.astype(tj.float64), w[::-1], w)
    for state.w in thrice(w, *other_shapes):
        yield f(vector())


@case
def tensor_becomes_a_parameter_or_an_array(compile):
    state = Box()

    @compile
    def f(x):
        return x * state.w, type(state.w).__name__

    w = vector()
    for state.w in thrice(w, tj.nn.Parameter(w), w.numpy(), w.tolist(), 2.0):
        yield attempt(f, vector())


@case
def names_that_come_to_be(compile):
    owner, names = builtins, globals()

    @compile
    def f(x):
        try:
            return x * later_global  # it comes and goes
        except NameError as error:
            return x, error.name

    @compile
    def g(x):
        try:
            return x * later_builtin
        except NameError as error:
            return x, str(error)

    for there in (False, False, False, True, True, False, True):
        if there:
            names["later_global"], owner.later_builtin = 2.0, 3.0
        else:
            names.pop("later_global", None)
            vars(owner).pop("later_builtin", None)
        yield f(vector()), g(vector())
    del names["later_global"], owner.later_builtin


@case
def variable_around_that_comes_to_be(compile):
    if vector().shape == ():
        later = 1.0

    def set_it(value):
        nonlocal later
        later = value

    def unset_it():
        nonlocal later
        del later

    @compile
    def f(x):
        try:
            return x * later
        except NameError:
            return x

    for value in (None, None, *[2.0] * 12, 3.0, None, None):
        if value is not None:
            set_it(value)
        yield f(vector())
        if value == 3.0:
            unset_it()


@case
def hash_that_comes_to_be(compile):
    class Key:
        __hash__ = None

    key = Key()

    @compile
    def f(x):
        try:
            return x * {key: 2.0}[key]
        except TypeError as error:
            return x, str(error)

    for kind in thrice(None, object.__hash__, None):
        Key.__hash__ = kind
        yield f(vector())


@case
def getattribute_that_says_anything(compile):
    class Odd:
        pass

    odd = Odd()

    @compile
    def f(x):
        return x, getattr(odd, "missing", 2)

    for _ in range(3):
        yield f(vector())
    Odd.__getattribute__ = lambda self, name: 3
    for _ in range(3):
        yield f(vector())
