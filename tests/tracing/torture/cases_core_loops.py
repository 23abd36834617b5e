"""Closed loops: who else holds what goes round, what a round has read, and what changes without being written."""

from __future__ import annotations

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, vector


class Box:
    """State of a few attributes."""

    def __init__(self, **names):
        self.__dict__.update(names)


STARTS = [0.0, 0.0, 0.0, 4.0, 9.0, 1.0, 0.0, 30.0, 2.0, 4.0, 0.5]


def _until_with(x, y):
    while x.sum() < 50:
        x = x + y
        if x.sum() > 20:
            y = y * 0.5 + 1
    return x


@case
def loop_rebinds_what_its_caller_holds(compile):
    @compile
    def f(x):
        y = x * 2 + 1
        z = _until_with(x, y)
        return z, y, z + y

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_rebinds_a_number_that_its_caller_holds(compile):
    def inner(x, n):
        while x.sum() < 50:
            x = x + n
            if x.sum() > 20:
                n = n * 0.5 + 1
        return x

    @compile
    def f(x):
        n = x.max().item()
        z = inner(x, n)
        return z, n

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_rebinds_a_number_of_state(compile):
    state = Box(rate=2.0)

    @compile
    def f(x):
        rate = state.rate
        while x.sum() < 50:
            x = x + rate
            if x.sum() > 20:
                rate = rate * 0.5 + 1
        return x, state.rate, rate

    for at, k in enumerate(STARTS * 2):
        state.rate = 2.0 + at % 3
        yield f(vector() + k)


@case
def round_of_a_closed_loop_reads_a_tensor_first(compile):
    state = Box(w=vector() + 5)

    @compile
    def f(x, state):
        while x.sum() < 60:
            x = x + state.w if x.max() > 10 else x * 2 + 3
        return x * state.w

    for k in STARTS:
        yield f(vector() + k, state)
    state.w = vector() + 7
    for k in STARTS:
        yield f(vector() + k, state)


@case
def round_of_a_closed_loop_reads_a_number_first(compile):
    state = Box(scale=2.0)

    @compile
    def f(x, state):
        while x.sum() < 60:
            x = x + state.scale if x.max() > 10 else x * 2 + 3
        return x * state.scale

    flat = tj.ones(12)
    for k in [0.0, 0.0, 1.0, 2.0]:
        yield f(vector() + k, state), f(flat, state), f(flat * 0.5, state)
    for scale in [3.0, 4.0, 5.0, 6]:
        state.scale = scale
        yield f(flat, state), f(vector(), state), f(flat * 0.5, state)


@case
def round_of_a_closed_loop_decides_by_a_number_first(compile):
    state = Box(scale=2.0)

    @compile
    def f(x, state):
        while x.sum() < 60:
            if x.max() > 10:
                x = x + 5 if state.scale < 3 else x + 9
            else:
                x = x * 2 + 3
        return x * 2 if state.scale < 3 else x * 3

    flat = tj.ones(12)
    for scale in [2.0, 2.5, 2.25, 3.5, 4.5, 2.0, 7.0, 5.0, 1.0]:
        state.scale = scale
        yield f(vector(), state), f(vector() + 2, state), f(flat, state), f(flat * 0.5, state)


@case
def round_of_a_closed_loop_reads_a_tensor_that_the_way_out_writes(compile):
    state = Box(total=vector())

    @compile
    def f(x, state):
        while x.sum() < 60:
            x = x + state.total.sum() + 5 if x.max() > 10 else x * 2 + 3
        state.total.add_(x)
        return x

    for k in STARTS:
        yield f(vector() + k, state), state
        state.total.copy_(vector())
        yield f(tj.ones(3) * 6.4 + k, state), state
        state.total = vector() + 1
        yield f(tj.full(12, 6.5)[:3] + k, state), state


BIAS = None


@case
def round_of_a_closed_loop_reads_a_global_first(compile):
    global BIAS
    BIAS = vector() + 5

    @compile
    def f(x):
        while x.sum() < 60:
            x = x + BIAS if x.max() > 10 else x * 2 + 3
        return x * BIAS

    flat = tj.ones(12).reshape(4, 3)
    for k in STARTS:
        yield f(flat * k * 0.2), f(flat * 5.5), f(flat + k)
    BIAS = vector() + 7
    for k in STARTS:
        yield f(flat * 5.5), f(flat + k)


@case
def round_of_a_closed_loop_calls_a_method_first(compile):
    class Plus:
        def of(self, x):
            return x + 5

    class Minus:
        def of(self, x):
            return x + 9

    state = Box(rule=Plus())

    @compile
    def f(x, state):
        while x.sum() < 60:
            x = state.rule.of(x) if x.max() > 10 else x * 2 + 3
        return state.rule.of(x)

    flat = tj.ones(12)
    for rule in [Plus(), Plus(), Minus(), Minus(), Plus()]:
        state.rule = rule
        yield f(vector(), state), f(vector() + 2, state), f(flat, state), f(flat * 0.5, state)
    Plus.of = Minus.of
    for _ in range(2):
        yield f(vector(), state), f(vector() + 2, state), f(flat, state), f(flat * 0.5, state)


@case
def round_of_a_closed_loop_reads_a_list_first(compile):
    steps = [5.0, 7.0]

    @compile
    def f(x, steps):
        while x.sum() < 60:
            x = x + steps[0] * len(steps) if x.max() > 10 else x * 2 + 3
        return x * len(steps), [x + k for k in steps]

    flat = tj.ones(12)
    for at in range(6):
        yield f(vector(), steps), f(vector() + 2, steps), f(flat, steps), f(flat * 0.5, steps)
        steps.insert(0, 1.0 * at + 1)
        yield f(flat, steps)


@case
def loop_inside_a_for(compile):
    @compile
    def f(x):
        goal = 10
        for k in range(3):
            while x.sum() < goal:
                x = x + 1
            goal = goal + 15
            x = x + k * 0.5
        return x

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_inside_a_for_over_data(compile):
    steps = [1.0, 2.0, 4.0]

    @compile
    def f(x):
        seen = 0
        for step in steps:
            y = x
            while y.sum() < 20:
                y = y + step
                seen += 1
            x = x + 1
        return x, y, seen

    for k in STARTS:
        yield f(vector() + k)
    steps.append(0.75)
    for k in STARTS:
        yield f(vector() + k)


@case
def loop_inside_a_comprehension(compile):
    def settled(x, step):
        while x.sum() < 20:
            x = x + step
        return x

    @compile
    def f(x):
        return [settled(x, step) for step in (1.0, 3.0, 0.5)]

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_advances_a_generator_of_state(compile):
    box = Box(parts=None)

    def parts(x):
        while True:
            x = x * 1.5 + 1
            yield x

    @compile
    def f(x):
        box.parts = parts(x)
        while x.sum() < 80:
            x = x + next(box.parts)
        box.parts = None
        return x

    for k in STARTS:
        yield f(vector() + k), box


@case
def loop_advances_an_iterator_of_state(compile):
    box = Box(parts=None)

    @compile
    def f(x):
        box.parts = iter([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0])
        while x.sum() < 80:
            x = x + next(box.parts)
        box.parts = None
        return x

    for k in STARTS:
        yield f(vector() + k), box


@case
def loop_changes_an_object_that_it_made_and_stored(compile):
    class Counter:
        def __init__(self):
            self.n = 0

    box = Box(it=None)

    @compile
    def f(x):
        box.it = Counter()
        while x.sum() < 40:
            x = x + 3
            box.it.n += 1
        return x

    for k in STARTS:
        yield f(vector() + k), box


@case
def loop_writes_a_tensor_that_it_made_and_stored(compile):
    box = Box(sums=None)

    @compile
    def f(x):
        box.sums = x * 0
        while x.sum() < 40:
            x = x + 3
            box.sums.add_(x)
        return x, box.sums * 2

    for k in STARTS:
        yield f(vector() + k), box


@case
def loop_keeps_the_first_round(compile):
    box = Box(first=None)

    @compile
    def f(x):
        rounds = 0
        while x.sum() < 40:
            x = x * 1.5 + 2
            if rounds == 0:
                box.first = x
            rounds += 1
        return x, rounds

    for k in STARTS:
        yield f(vector() + k), box


@case
def loop_takes_what_state_holds(compile):
    box = Box(best=None)

    @compile
    def f(x):
        box.best = x * 2
        y = x
        while x.sum() < 60:
            x = x + 3
            y = box.best if x.sum() < 15 else y * 2
        return x, y

    for k in STARTS:
        yield f(vector() + k), box


@case
def loop_number_becomes_a_float(compile):
    @compile
    def f(x):
        n = 1
        while x.sum() < 60:
            x = x + n
            n = n * 2 if x.sum() < 20 else n / 2 + 1
        return x, n

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_number_becomes_a_bool_or_none(compile):
    @compile
    def f(x):
        n = 1
        while x.sum() < 60:
            x = x + 2
            n = True if x.sum() > 40 else 1 if x.sum() > 20 else None
        return x, n

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_with_an_early_return(compile):
    def search(x, limit):
        rounds = 0
        while x.sum() < 60:
            x = x * 1.5 + 2
            if x.max() > limit:
                return x - 1, rounds
            rounds += 1
        return x, -rounds

    @compile
    def f(x):
        y = x + 1
        a, n = search(y, 12.0)
        b, m = search(a, 30.0)
        return a, b, n, m, y

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_in_a_recursion(compile):
    def down(x, depth):
        while x.sum() < 10 * depth:
            x = x + depth
        return x if depth == 0 else down(x * 0.5, depth - 1) + x

    @compile
    def f(x):
        return down(x, 3)

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_in_a_recursion_on_data(compile):
    def down(x):
        y = x
        while y.sum() < 20:
            y = y + 2
        return y if x.max() < 1 else down(x * 0.5 - 0.5) + y

    @compile
    def f(x):
        return down(x)

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_raises_in_a_round(compile):
    @compile
    def f(x):
        rounds = 0
        while x.sum() < 60:
            x = x * 1.5 + 2
            rounds += 1
            if x.max() > 20 and rounds > 3:
                raise ValueError(f"round {rounds}")
        return x, rounds

    for k in STARTS:
        yield attempt(f, vector() + k)


@case
def loop_with_an_exception_caught_in_a_round(compile):
    @compile
    def f(x):
        caught = 0
        while x.sum() < 60:
            try:
                if x.max() > 8:
                    raise KeyError("large")
                x = x + 2
            except KeyError:
                caught += 1
                x = x + 5
        return x, caught

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_under_a_gradient(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        y = x * w
        while y.sum() < 60:
            y = y * 1.5 + w * w
        return y

    for k in STARTS:
        y = f(vector() + k)
        y.sum().backward()
        yield y, w


@case
def loop_counts_with_a_gradient_outside(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        y = x * 1
        while y.sum() < 60:
            y = y * 1.5 + 2
        loss = (y * w * w).sum()
        loss.backward()
        return loss

    for k in STARTS:
        yield f(vector() + k), w


@case
def loop_saves_what_goes_round_on_the_tape(compile):
    w = vector().requires_grad_()
    box = Box(losses=None)

    @compile
    def f(x):
        y = x + 1
        loss = (y * w).sum()
        while y.sum() < 60:
            y = y * 1.5 + 2
        return loss + (y * w).sum()

    for k in STARTS:
        loss = f(vector() + k)
        loss.backward()
        yield loss, w, box


@case
def loop_toggles_the_grad_mode(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        while x.sum() < 60:
            with tj.no_grad():
                x = x * 1.5 + w
            x = x + 1
        return x, x * w, tj.is_grad_enabled()

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_carries_a_view(compile):
    @compile
    def f(x):
        part = x[:2]
        while x.sum() < 60:
            x = x * 1.5 + 2
            part = x[:2]
        return x, part

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_carries_two_tensors_over_one_memory(compile):
    @compile
    def f(x):
        a = x * 1
        b = a.detach()
        while a.sum() < 60:
            a = a * 1.5 + 2
            b = a.detach()
        a.add_(1)
        return a, b

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_parts_what_was_one_tensor(compile):
    @compile
    def f(x):
        a = x * 1
        b = a
        while a.sum() < 60:
            a = a * 1.5 + 2
            if a.sum() < 30:
                b = a
        a.add_(1)
        return a, b, a is b

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_writes_in_place_what_goes_round(compile):
    @compile
    def f(x):
        a = x * 1
        start = a
        while a.sum() < 60:
            a.mul_(1.5).add_(2)
            if a.sum() > 30:
                a = a + 1
        return a, start

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_writes_in_place_what_its_caller_holds(compile):
    def raise_to(a, goal):
        while a.sum() < goal:
            a.add_(2)
            if a.max() > 11:
                a = a * 1.25
        return a

    @compile
    def f(x):
        a = x * 1
        b = raise_to(a, 30)
        c = raise_to(a, 45)
        return a, b, c

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_after_a_write_of_outside_memory(compile):
    total = vector()

    @compile
    def f(x):
        total.add_(x)
        while x.sum() < 40:
            x = x + total.abs() + 1
        return x

    for k in STARTS:
        yield f(vector() + k), total
        total.copy_(vector())


@case
def loop_draws_in_a_round_that_comes_late(compile):
    @compile
    def f(x):
        while x.sum() < 60:
            x = x + tj.random.uniform((3,)) * 4 if x.max() > 10 else x * 1.5 + 3
        return x

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_with_a_tuple_and_a_list_that_go_round(compile):
    @compile
    def f(x):
        pair, names = (x, x * 2), [x, 1]
        while pair[0].sum() < 60:
            pair = (pair[1], pair[0] + pair[1] + 1)
            names = [pair[0], names[1] + 1]
        return pair, names

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_with_a_list_that_goes_round_in_itself(compile):
    @compile
    def f(x):
        chain = None
        while x.sum() < 30:
            x = x + 3
            chain = (x, chain)
        return chain

    for k in [0.0, 0.0, 0.0, 4.0, 9.0, 1.0]:
        yield f(vector() + k)


@case
def loop_defines_a_function_each_round(compile):
    @compile
    def f(x):
        last = None
        while x.sum() < 60:
            y = x

            def g(z, y=y):
                return z + y

            x, last = g(x) + 2, g
        return x if last is None else last(x)

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_writes_a_variable_of_the_function_around(compile):
    @compile
    def f(x):
        last = x

        def turn():
            nonlocal last
            last = last * 1.5 + 2

        while last.sum() < 60:
            turn()
        return last, x

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_of_loops_of_loops(compile):
    @compile
    def f(x):
        n = 0
        while x.sum() < 90:
            y = x
            while y.max() < 20:
                z = y
                while z.min() < 5:
                    z = z + 3
                    n += 1
                y = y * 2 + z.min() + 1
            x = x + y
        return x, n

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_variable_is_bound_in_some_rounds(compile):
    @compile
    def f(x):
        while x.sum() < 60:
            x = x * 1.5 + 2
            if x.sum() > 30:
                late = x * 2
        try:
            return x, late
        except UnboundLocalError:
            return x, None

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_variable_is_unbound_in_a_round(compile):
    @compile
    def f(x):
        t = x
        while x.sum() < 60:
            x = x + t * 0 + 4
            if x.sum() > 30:
                t = x
            del t
            t = x * 0.5
        return x, t

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_over_a_slice_of_text(compile):
    @compile
    def f(x):
        text = ""
        while x.sum() < 40:
            x = x + 4
            text = text + "."
        return x, text

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_state_of_a_generator_in_the_caller(compile):
    def steps():
        step = 1.0
        while True:
            step = step * 1.5
            yield step

    def run(x, source):
        while x.sum() < 60:
            x = x + next(source)
        return x

    @compile
    def f(x):
        return run(x, steps())

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_number_that_overflows(compile):
    @compile
    def f(x):
        n = 1
        while x.sum() < 60:
            x = x + 4
            n = n * 10**40
        return x, n

    for k in STARTS:
        yield f(vector() + k)


@case
def loop_over_nan(compile):
    @compile
    def f(x):
        e = 1.0
        rounds = 0
        while e > 0.1 and rounds < 12:
            e = float((x / x.sum()).abs().max()) / (rounds + 1)
            x = x * 0.5
            rounds += 1
        return x, e, rounds

    for k in [0.0, 0.0, 1.0, float("nan"), 2.0, -0.6667, float("inf"), 0.0]:
        yield f(vector() + k)


@case
def round_of_a_closed_loop_reads_what_was_written_by_another_name(compile):
    class Link(Box):
        """Another class than that of the arguments that are only read."""

    @compile
    def f(x, a, table):
        a.n = 7.0
        while x.sum() < 60:
            x = x + table[0].n if x.max() > 10 else x * 2 + 3
        return x

    flat = tj.ones(12)
    a, b = Link(n=2.0), Link(n=2.0)
    for table in [[b], [b], [b], [a], [a], [b], [a]]:
        for start in (vector(), flat, flat * 0.5, vector() + 4):
            yield f(start, a, table), a, b
            a.n = 2.0
