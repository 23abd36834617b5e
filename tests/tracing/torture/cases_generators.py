"""Generators and iterators: made inside, given, shared, kept between calls."""

from __future__ import annotations

from tests.tracing.torture.harness import case, vector


class Box:
    pass


@case
def generator_inside(compile):
    @compile
    def f(x):
        def parts():
            for k in range(3):
                yield x * k

        return sum(parts(), start=x)

    for k in range(4):
        yield f(vector() + k)


@case
def generator_argument(compile):
    @compile
    def f(parts):
        return [part * 2 for part in parts]

    for k in range(4):
        yield f(vector() + j for j in range(k))


@case
def generator_shared(compile):
    numbers = (float(k) for k in range(5))

    @compile
    def f(x):
        return x * next(numbers, -1.0)

    for _ in range(7):
        yield f(vector())


@case
def generator_function(compile):
    @compile
    def f(x):
        for k in range(3):
            yield x * k

    for k in range(4):
        yield list(f(vector() + k))


@case
def generator_two_phase(compile):
    log = []

    @compile
    def f(x):
        log.append("begun")
        y = yield x * 2
        log.append("sent")
        yield x * y

    for k in range(4):
        g = f(vector() + k)
        yield next(g), list(log)
        yield g.send(3.0), log
        g.close()


@case
def generator_kept_between_calls(compile):
    state = Box()
    state.parts = iter([])

    @compile
    def f(x):
        for part in state.parts:
            return x * part
        state.parts = (float(k) for k in range(2))
        return x

    for _ in range(8):
        yield f(vector())


@case
def iterator_class(compile):
    class Countdown:
        def __init__(self, n):
            self.n = n

        def __iter__(self):
            return self

        def __next__(self):
            if self.n == 0:
                raise StopIteration
            self.n -= 1
            return self.n

    count = Countdown(7)

    @compile
    def f(x):
        for k in count:
            x = x + k
            if k % 3 == 0:
                break
        return x

    for _ in range(8):
        yield f(vector()), count
    count.n = 3
    yield f(vector()), count
