"""Functions inside functions, and generators."""

# ruff: noqa: B008, B023, C416, RUF021, SIM222, SIM223  # when things are evaluated is the point

# what is looked at is when things are evaluated
import functools

from tests.tracing.instrument.cases.noisy import CASES, case, noisy, note

counter = 0


def twice(function):
    note("twice")
    return lambda *args: function(*function(*args))


@case
def decorated():
    @note
    @noisy("d")
    def f():
        return 1

    @twice
    @functools.wraps(note)
    def g(a, b):
        return b, a + 1

    return f, g(1, 2), g.__name__


@case
def decorator_sees_the_name_as_it_was():
    f = noisy("before")

    @f.decorate
    def f():
        return 1

    return f


@case
def defaults_and_annotations():
    def f(
        a: note("A"), b: note(int) = note(1), *c: note("C"), d: note("D") = note(2), **e: note("E")
    ) -> note("R"):
        """Says it."""
        return a, b, c, d, e

    return f(0), f.__annotations__, f.__defaults__, f.__kwdefaults__, f.__doc__, f.__qualname__


@case
def lambdas():
    adders = [lambda x, n=n: x + n for n in range(3)]
    late = [lambda: n for n in range(3)]
    return (
        [f(10) for f in adders],
        [f() for f in late],
        (lambda *a, k=note(1), **b: (a, k, b))(1, z=2),
    )


@case
def closures():
    def outer(a):
        def middle(b):
            def inner(c):
                return a, b, c, counter

            return inner

        return middle

    return outer(1)(2)(3), outer.__closure__, outer(1)(2).__qualname__


@case
def recursion():
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    return fibonacci(10)


def makes_closures(word):
    total = note(0)

    def reads():
        return word, [word for _ in range(2)], (lambda: word)()

    def writes(by=1):
        nonlocal total
        total += by
        (total, other), word_again = (total * 2, 3), word
        return total, other, word_again

    def unbound():
        return (
            later
        )  # fmt: skip

    def own_name(n):
        return own_name(n - 1) if n else total

    if total > 1:
        later = 1
    return reads, writes, unbound, own_name


for closure in makes_closures("w"):
    arguments = closure.__code__.co_argcount - len(closure.__defaults__ or ())
    CASES.append(functools.partial(closure, *[2] * arguments))

lambda_one, lambda_two = lambda x=1: x + 1, lambda x=1: x - 1
same_one, same_two = (lambda: counter), (lambda: counter)
CASES += [lambda_one, lambda_two, same_one, same_two]


@case
def generators():
    def count(n):
        received = []
        try:
            while n:
                received.append((yield n))
                n -= 1
        except ValueError as error:
            yield str(error)
        finally:
            note("closed")
        return received

    def delegates():
        result = yield from count(3)
        yield result
        yield from noisy("i", items="ab")

    thrown = count(2)
    return (
        list(delegates()),
        next(thrown),
        thrown.throw(ValueError("v")),
        list(thrown),
        list(count(1)),
    )


@case
def generator_gets_values():
    def averages():
        total, n, mean = 0, 0, None
        while True:
            total += yield mean
            n += 1
            mean = total / n

    running = averages()
    next(running)
    return [running.send(x) for x in (1, 2, 6)], running.close()


@case
def yields_inside_conditions():
    def g():
        x = (yield 1) and (yield 2) or (yield 3)
        y = 0 < (yield 4) < (yield 5) < 9
        z = [i for i in (yield 6)]
        noisy("a")[(yield 7)] += yield 8
        yield x, y, z

    running = g()
    return [next(running)] + [running.send([n]) if n == 6 else running.send(n) for n in range(1, 8)]


@case
def generator_expressions():
    source = noisy("s", items=[3, 1, 2])
    lazy = (note(x) + y for x in source for y in (10, 20) if x > 1)
    note("not yet")
    return next(lazy), sum(lazy), max((x for x in [3, 9]), default=0)


@case
def functions_that_are_never_made():
    if 0:
        f = lambda: 1
    elif not (1, 2) or -1:
        f = lambda: 2
    else:
        f = lambda: 3
    g = 0 and (lambda: 4)
    h = 1 or (lambda: 5)
    if not __debug__:
        f = lambda: 6
    while 0:
        f = lambda: 7
    return f(), g, h, (lambda: 8)() if 1 < 2 else (lambda: 9)
    return lambda: 10
