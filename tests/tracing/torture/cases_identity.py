"""Identity and sharing of what goes in, what comes out, and what is kept."""

from __future__ import annotations

from collections import namedtuple

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector

Point = namedtuple("Point", "x y")


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


@case
def object_alias(compile):
    @compile
    def f(a, b):
        a.n = 1.0
        b.n = b.n + 1
        return a.n

    for _ in range(3):
        yield f(Box(n=0.0), Box(n=5.0))
    for _ in range(3):
        both = Box(n=0.0)
        yield f(both, both), both
    yield f(Box(n=0.0), Box(n=5.0))


@case
def list_alias(compile):
    one, other = [vector()], [vector()]
    state = Box(a=one, b=other)

    @compile
    def f(x):
        state.a[0] = x
        return state.b[0] * 2

    for k in range(3):
        yield f(vector() + k), state
    state.b = one
    for k in range(3):
        yield f(vector() + k), state


@case
def dict_alias(compile):
    one = {"n": 0}
    state = Box(a=one, b={"n": 10})

    @compile
    def f(x):
        state.a["n"] += 1
        state.b["n"] += 1
        return x * state.a["n"] * state.b["n"]

    for _ in range(4):
        yield f(vector()), state
    state.b = state.a
    for _ in range(4):
        yield f(vector()), state


@case
def is_compare(compile):
    @compile
    def f(a, b):
        if a is b:
            return a + 1
        return a * b

    x, y = vector(), vector() + 1
    for a, b in [(x, y)] * 3 + [(x, x)] * 3 + [(y, x)] * 2:
        yield f(a, b)


@case
def is_between_attributes(compile):
    one, other = Box(), Box()
    state = Box(a=one, b=other)

    @compile
    def f(x):
        return x + 1 if state.a is not state.b else x - 1

    for state.b in thrice(other, one, Box()):
        yield f(vector())


@case
def args_list_mutated(compile):
    @compile
    def f(parts, x):
        parts[0] = parts[0] + x
        parts[-1] = x
        return parts

    parts = [vector(), vector() * 2, None]
    for k in range(4):
        yield f(parts, vector() + k), parts
    for k in range(3):
        yield f([1.0], vector() + k)
    yield attempt(f, [], vector())


@case
def arg_list_pop(compile):
    @compile
    def f(parts):
        return parts.pop() * 2

    parts = [vector() + k for k in range(5)]
    for _ in range(6):
        yield attempt(f, parts), parts


@case
def tuple_nested_out(compile):
    @compile
    def f(x):
        y = x + 1
        return x, (y, [y, {"k": (y,)}]), ()

    for k in range(4):
        yield f(vector() + k)


@case
def fresh_list_not_shared(compile):
    @compile
    def f(x):
        return [x * 2], {}, [[]]

    kept = []
    for k in range(4):
        out = f(vector() + k)
        out[0].append(k)
        out[1][k] = k
        kept.append(out)
        yield out, kept


@case
def fresh_const_tensor(compile):
    @compile
    def f(x):
        c = tj.tensor([1.0, 2.0, 3.0])
        return x + c, c, tj.zeros(3)

    for k in range(4):
        out = f(vector() + k)
        yield out
        out[1].add_(100)
        out[2].add_(100)


@case
def cyclic_output(compile):
    @compile
    def f(x):
        out = [x * 2]
        out.append(out)
        return out

    for k in range(4):
        yield f(vector() + k)


@case
def returned_dict_views_and_iterators(compile):
    params = {"a": vector(), "b": vector()}

    @compile
    def f(x):
        params["a"] = x
        return params.values(), iter(params), zip(params, [1, 2])

    for k in range(4):
        values, names, pairs = f(vector() + k)
        yield list(values), list(names), list(pairs)


@case
def stored_and_returned(compile):
    state = Box(last=None)

    @compile
    def f(x):
        state.last = x * 2
        return state.last, [state.last]

    for k in range(5):
        y, parts = f(vector() + k)
        yield y, parts, state, y is state.last
        y.add_(1)
        yield state


@case
def return_outside_object(compile):
    state = Box(w=vector(), parts=[1])

    @compile
    def f(x):
        state.w.add_(x)
        return state, state.parts, state.w

    for _ in range(4):
        out = f(vector())
        yield out, out[0] is state, out[1] is state.parts, out[2] is state.w
    state.parts = [2]
    yield f(vector())


@case
def arg_object_kept(compile):
    state = Box(kept=None)

    @compile
    def f(box, parts):
        state.kept = box
        parts.append(box)
        return box.w * 2

    for k in range(4):
        box, parts = Box(w=vector() + k), []
        yield f(box, parts), state.kept is box, parts[0] is box
    for _ in range(3):
        yield f(box, parts), state


@case
def list_of_fresh_objects(compile):
    @compile
    def f(x):
        boxes = [Box(w=x * k) for k in range(3)]
        boxes[0].next = boxes[1]
        boxes[1].next = boxes[0]
        return boxes, boxes[1:]

    for k in range(4):
        yield f(vector() + k)


@case
def param_aliased_in_two_modules(compile):
    w = vector()
    one, other = Box(w=w), Box(w=w)

    @compile
    def f(x):
        one.w.add_(x)
        return other.w * 2

    for _ in range(4):
        yield f(vector()), one, other
    other.w = vector()
    for _ in range(4):
        yield f(vector()), one, other
