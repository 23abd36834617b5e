"""Comprehensions, displays, and formatted text."""

# ruff: noqa: C416  # comprehensions are the point

from tests.tracing.instrument.cases.noisy import case, noisy, note


@case
def comprehensions():
    pairs = noisy("p", items=[(1, (2, 3)), (4, (5, 6))])
    return (
        [a + b + c for a, (b, c) in pairs],
        {a: rest for a, (b, *rest) in pairs},
        {b for _, [b, c] in pairs if b if c > 3},
        [[x * y for x in range(y)] for y in range(4)],
        [x for row in [[1, 2], [3]] for x in row],
        {**{str(k): v for k, v in enumerate("ab")}, "z": note(1)},
        [i for i, (a, (b, c)) in enumerate(pairs) if a],
    )


@case
def comprehension_has_its_own_names():
    x = "outer"
    return [x for x in range(2)], x, [(x, y) for y in range(2)]


@case
def comprehension_fails_inside():
    return [
        1 // x
        for x in (1, 0)
    ]  # fmt: skip


@case
def displays():
    a = noisy("a", items=(1, 2))
    return (
        [*a, 3],
        (0, *a, *[5]),
        {note("k"): note("v"), **{"m": 1}, noisy("n").x: 2},
        {1, 2, note(3)},
    )


@case
def unhashable_key():
    return {note(1): 2, note(()): 3, (note([]),): 4}


@case
def formatted_strings():
    a, width = noisy("a"), 8
    return (
        f"{a}{a!r:>{width}}|{a!s}|{note(1.5):{width}.{note(2)}f}|{a=}|{'x' + 'y'}{{}}"
        + f"{3!r}"
        + f"{'é'!a}"
    )
