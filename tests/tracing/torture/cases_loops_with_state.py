"""Loops over data whose rounds write to outside state: numbers, tensors, items, shared names, what is met on the way."""

from __future__ import annotations

import itertools

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, vector


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


class Slotted:
    __slots__ = ("n", "w")

    def __init__(self):
        self.n, self.w = 0, tj.ones(3)


LEAST = (0.1, 0.5, 0.01, 0.2, 4.0, 0.1, 0.003, 1.0, 0.05, 0.3, 0.001, 2.0)


@case
def loop_that_counts_in_an_attribute(compile):
    state = Box(n=0, rate=0.5)

    @compile
    def f(x, least):
        state.n = 0
        while x.abs().max() > least:
            x = x * state.rate
            state.n += 1
        return x

    for least in LEAST:
        yield f(vector(), least), state
        state.rate = 0.25 if least == 4.0 else state.rate


@case
def loop_that_goes_on_counting(compile):
    state = Box(n=0, total=0.0)

    @compile
    def f(x, least):
        while x.abs().max() > least:
            x = x * 0.5
            state.n += 1
            state.total += float(x.sum())
        return x, state.n

    for least in LEAST:
        yield f(vector(), least), state


@case
def loop_that_is_told_by_an_attribute(compile):
    state = Box(n=0, go=True)

    @compile
    def f(x, n, least):
        state.n, state.go = n, True
        while state.go:
            x = x * 0.5 + state.n * 0.125
            state.n -= 1
            if state.n <= 0 or x.abs().max() < least:
                state.go = False
        return x

    for n, least in zip((3, 4, 5, 9, 2, 0, 7, 5, 5, 6, 3, 1), LEAST):
        yield f(vector(), n, least), state


@case
def loop_that_puts_new_tensors_into_state(compile):
    state = Box(w=tj.ones(3), last=None)

    @compile
    def f(x, least):
        state.w = x * 1
        while state.w.abs().max() > least:
            state.last = state.w
            state.w = state.w * 0.5
        return state.w

    for least in LEAST:
        yield f(vector(), least), state
        state.w.add_(1)


@case
def loop_that_keeps_a_local_in_state(compile):
    state = Box(w=tj.ones(3), v=tj.ones(3))

    @compile
    def f(x, least):
        y = x + 0.5
        while y.abs().max() > least:
            y = y * 0.5
            state.w = y
            state.v = state.w
        y.add_(1)
        return y, state.w is state.v, state.w is y

    for least in LEAST:
        yield f(vector(), least), state


@case
def loop_that_swaps_what_stands_in_state(compile):
    state = Box(a=tj.ones(3), b=tj.tensor([2.0, 0.0, 1.0]))

    @compile
    def f(x, least):
        a, b = state.a, state.b
        while x.abs().max() > least:
            state.a, state.b = state.b, state.a
            state.a.add_(x)
            x = x * 0.5
        return state.a is a, state.b is b, x

    for least in LEAST:
        yield f(vector(), least), state
        state.b = state.a if least == 0.2 else state.b


@case
def loop_that_writes_items(compile):
    table, row = {"k": 0, "w": tj.ones(3)}, [0, tj.zeros(3), 5]

    @compile
    def f(x, least):
        while x.abs().max() > least:
            table["k"] += 1
            table["w"] = x * 2
            row[0] = table["k"] + row[-1]
            row[-2] = x
            x = x * 0.5
        return x

    for least in LEAST:
        yield f(vector(), least), table, row
        if least == 0.01:
            row.append(7)
        if least == 0.05:
            del row[-1]


@case
def loop_that_adds_and_takes_away_keys(compile):
    table = {"k": 0}

    @compile
    def f(x, least):
        while x.abs().max() > least:
            table["new"] = table.get("new", 0) + 1
            if table["new"] > 3:
                del table["new"]
            x = x * 0.5
        return x

    for least in (0.5, 0.5, 0.1, 0.5, 0.1, 0.5, 0.01, 0.1, 0.01):
        yield f(vector(), least), table
        table.pop("new", None) if least == 0.1 else None


@case
def loop_whose_state_changes_its_type(compile):
    state = Box(n=0)

    @compile
    def f(x, least):
        state.n = 0
        while x.abs().max() > least:
            x = x * 0.5
            state.n = state.n + 1 if state.n < 3 else state.n * 0.5
        return x * state.n

    for least in LEAST:
        yield f(vector(), least), state


@case
def loop_that_walks_along_objects(compile):
    boxes = [Box(n=k, next=None, w=tj.ones(3) * k) for k in range(5)]
    for one, other in itertools.pairwise(boxes):
        one.next = other

    @compile
    def f(x, least):
        at = boxes[0]
        while at is not None and x.abs().max() > least:
            at.n += 1
            at.w.mul_(0.5)
            x = x * 0.5
            at = at.next
        return x

    for least in LEAST:
        yield f(vector(), least), boxes
        boxes[-1].next = boxes[0] if least == 1.0 else None


@case
def loop_that_writes_slots(compile):
    state = Slotted()

    @compile
    def f(x, least):
        while x.abs().max() > least:
            state.n += 1
            state.w = x
            x = x * 0.5
        return x

    for least in LEAST:
        yield f(vector(), least), state.n, state.w


@case
def loop_that_appends_and_writes(compile):
    state = Box(n=0, log=[])

    @compile
    def f(x, least):
        while x.abs().max() > least:
            state.n += 1
            state.log.append(state.n)
            x = x * 0.5
        return x, len(state.log)

    for least in (0.1, 0.5, 0.1, 0.1, 0.5, 0.5, 0.1, 0.01):
        yield f(vector(), least), state
        del state.log[2:]


@case
def loop_that_writes_a_global_and_a_cell(compile):
    count, kept = 0, None

    @compile
    def f(x, least):
        nonlocal count, kept
        while x.abs().max() > least:
            count += 1
            kept = x
            x = x * 0.5
        return x

    for least in LEAST:
        yield f(vector(), least), count, kept


@case
def loops_one_after_the_other_with_one_state(compile):
    state = Box(n=0, w=tj.zeros(3))

    @compile
    def f(x, least):
        while x.abs().max() > least:
            x = x * 0.5
            state.n += 1
            state.w.add_(x)
        for _k in range(3):
            state.w = state.w * 0.5
            state.n -= 1
            if state.w.abs().max() < least:
                break
        while state.n > 2:
            state.n -= 2
            x = x + state.w
        return x

    for least in LEAST:
        yield f(vector(), least), state


@case
def loop_that_raises_after_writes(compile):
    state = Box(n=0, w=tj.zeros(3))

    @compile
    def f(x, least, most):
        while x.abs().max() > least:
            x = x * 0.5
            state.n += 1
            state.w.add_(x)
            if state.n % most == 0:
                raise ValueError(state.n)
        return x

    for k, least in enumerate(LEAST):
        yield attempt(f, vector(), least, 5 if k % 3 else 1000), state


@case
def loop_with_the_state_of_an_argument(compile):
    @compile
    def f(box, least):
        while box.x.abs().max() > least:
            box.x = box.x * 0.5
            box.n += 1
        return box.n

    one, other = Box(x=vector(), n=0), Box(x=vector(), n=1.0)
    for least in LEAST:
        for box in (one, other, Box(x=vector() * 3, n=7)):
            yield f(box, least), box
        one.x = vector()
