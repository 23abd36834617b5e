"""Every kind of statement and expression, and the order in which their parts are evaluated."""

# ruff: noqa: B007  # a loop variable is state that the compiled function reads

from __future__ import annotations

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector

COUNT = 0


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


def noted(log):
    """A function that notes its calls and gives its argument back."""

    def note(value, name=None):
        log.append(name if name is not None else str(value))
        return value

    return note


@case
def order_of_assignment(compile):
    log, table, box = [], {}, Box()
    note = noted(log)

    @compile
    def f(x):
        note(table, "dict")[note("k")] = note(x, "value")
        note(box, "box").a = note(x * 2, "double")
        note(table, "one")["a"] = note(table, "two")["b"] = note(3.0)
        note(box, "old").a += note(1.0)
        note(table, "old")[note("a")] *= note(2.0)
        return table, box

    for _ in range(4):
        yield f(vector()), log


@case
def order_of_calls_and_displays(compile):
    log = []
    note = noted(log)

    def g(*args, **kwargs):
        return args, kwargs

    @compile
    def f(x):
        called = note(g, "g")(note(1), *[note(2)], note(3), k=note(4), **{"j": note(5)}, i=note(6))
        built = {note("a"): note(1), **{note("b"): 2}, note("c"): note(3)}
        return called, built, [note(1), *(note(2), note(3))], {note(7), note(8)}, note(x, "x")

    for _ in range(4):
        yield f(vector()), log


@case
def order_of_operators_and_comparisons(compile):
    log = []
    note = noted(log)

    @compile
    def f(x, k):
        chain = note(0) < note(k) < note(3) <= note(4)
        short = (note(k) and note(0)) or note("last")
        choice = note("yes") if note(k) else note("no")
        return x * (note(2) + note(3) * note(4)), chain, short, choice, not note(k), -note(k)

    for k in thrice(1, 0, 5):
        yield f(vector(), k), log


@case
def targets_of_unpacking(compile):
    box, table, parts = Box(), {}, [0, 0, 0]

    @compile
    def f(x):
        box.a, (table["b"], *parts[1:]), [c] = x, (1, 2, 3), [4]
        for box.i, table["j"] in [(1, 2), (3, 4)]:
            pass
        first, *_, last = "abc"
        return c, first, last, parts

    for k in range(4):
        yield f(vector() + k), box, table, parts


@case
def deletions(compile):
    box, table, parts = Box(a=1), {"k": 1}, [1, 2, 3, 4]

    @compile
    def f(x):
        y = x * 2
        del box.a, table["k"], parts[1:3], x
        try:
            return x  # noqa: F821  # the case
        except UnboundLocalError as error:
            return type(error).__name__, y

    for k in range(5):
        yield attempt(f, vector() + k), box, table, parts
        if k < 3:
            box.a, table["k"], parts[:] = k, k, [k] * 4


@case
def match_statement(compile):
    @compile
    def f(x, command):
        match command:
            case {"op": "scale", "by": k} if k != 0:
                return x * k
            case ["add", *values]:
                return sum(values, start=x)
            case Box(shift=s):
                return x + s
            case 1 | True | "one":
                return x
            case None:
                return None
        return "no match"

    commands = ({"op": "scale", "by": 2.0}, ["add", 1.0, 2.0], Box(shift=3.0), 1, 1.0, "one", None)
    for command in thrice(*commands, {"op": "scale", "by": 0}, ("add",), Box()):
        yield f(vector(), command)


@case
def class_statement_inside(compile):
    scale = 2.0

    @compile
    def f(x):
        class Local:
            k = scale
            doubled = [scale * 2 for _ in range(1)]

            def act(self):
                return x * self.k

        return Local().act(), Local.doubled, Local.__name__

    for scale in thrice(2.0, 3.0):
        yield f(vector())


@case
def imports_inside(compile):
    @compile
    def f(x):
        import json.decoder as decoder
        import math
        from math import sqrt as root

        return x * root(4.0) + math.floor(2.5), decoder.JSONDecodeError.__name__

    for k in range(4):
        yield f(vector() + k)


@case
def eval_and_exec_inside(compile):
    scope = {}

    @compile
    def f(x, text):
        exec("y = 2", scope)
        return x * eval(text)

    for text in thrice("2.0", "x.sum()"):
        yield f(vector(), text), scope["y"]


@case
def scopes_of_names(compile):
    global COUNT
    COUNT = 0
    n = 10

    @compile
    def f(x):
        def inner():
            global COUNT
            nonlocal n
            COUNT += 1
            n += COUNT
            squares = [n * n for n in range(2)]
            return squares, n

        x = x + inner()[1]
        return x, COUNT, n, (lambda n=n: n)()

    for _ in range(5):
        yield f(vector()), COUNT, n


@case
def walrus_in_a_comprehension(compile):
    @compile
    def f(parts):
        total = 0.0
        sums = [total := total + part for part in parts]
        return sums, total, any((last := part) > 2 for part in parts) and last

    for parts in thrice([1.0, 2.0], [1.0, 3.0, 5.0], [3.0]):
        yield f(parts)


@case
def return_in_finally(compile):
    log = []

    @compile
    def f(x, way):
        for k in range(3):
            try:
                if way == "raise":
                    raise ValueError(way)
                if way == "break":
                    break
                if way == "continue":
                    continue
                return x * k
            finally:
                log.append(k)
                if way == "swallow" or (way == "raise" and k == 0):
                    return x  # noqa: B012  # the case
        return k

    for way in thrice("return", "raise", "break", "continue", "swallow"):
        yield attempt(f, vector(), way), log


@case
def exception_chains(compile):
    @compile
    def f(x, way):
        try:
            try:
                return {}[way]
            except KeyError as error:
                if way == "from":
                    raise ValueError("from") from error
                if way == "none":
                    raise ValueError("none") from None
                if way == "again":
                    raise
                raise TypeError("context")  # noqa: B904  # the case
        except TypeError:
            return x * 2

    for way in thrice("from", "none", "again", "context"):
        yield attempt(f, vector(), way)


@case
def exception_groups(compile):
    @compile
    def f(x, kinds):
        seen = []
        try:
            raise ExceptionGroup("several", [kind("one") for kind in kinds])
        except* ValueError as group:
            seen.append(("value", len(group.exceptions)))
        except* KeyError as group:
            seen.append(("key", len(group.exceptions)))
        return x * 2, seen

    for kinds in thrice([ValueError, KeyError], [ValueError, ValueError], [TypeError]):
        found = attempt(f, vector(), kinds)
        yield type(found).__name__ if isinstance(found, Exception) else found


@case
def with_several_managers(compile):
    log = []

    class Noted:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            log.append(f"enter {self.name}")
            return self.name, len(log)

        def __exit__(self, *error):
            log.append(f"exit {self.name}")

    @compile
    def f(x):
        with Noted("a") as (name, n), Noted(name + "b") as other:
            return x * n, other

    for _ in range(4):
        yield f(vector()), log


@case
def yield_from_and_throw(compile):
    log = []

    @compile
    def f(x):
        def inner():
            try:
                got = yield x * 2
                log.append(got)
            except ValueError:
                yield "caught"
            return "done"

        def outer():
            log.append((yield from inner()))

        g = outer()
        first = next(g)
        return first, g.throw(ValueError("a")) if x.ndim == 2 else next(g, "end")

    for x in thrice(vector(), tj.ones((2, 2))):
        yield f(x), log


@case
def slices_as_targets(compile):
    parts = [0, 1, 2, 3]

    @compile
    def f(x):
        parts[1:3] = [x, x * 2, 5]
        parts[::2] = [9] * len(parts[::2])
        x[1:] = x[:-1].copy()
        x[..., None][0] = 7
        return parts[-2:], x

    for k in range(4):
        yield f(vector() + k), parts
        parts[:] = [0, 1, 2, 3]


@case
def augmented_assignment_of_names(compile):
    @compile
    def f(x, parts, k):
        y, more, text = x, parts, "a"
        y += 1
        more += [k]
        k += 1
        text *= 2
        more *= 2
        return y is x, more is parts, k, text

    for k in [1, 1, 1, 2.5, 2.5, True]:
        x, parts = vector(), [0]
        yield f(x, parts, k), x, parts


@case
def format_specifications(compile):
    width = 6

    @compile
    def f(x, k):
        return f"{k:{width}.2f}|{k!r:>8}|{x.shape!s}|{{}}|{k=}", f"{'nested ' + f'{width}'}"

    for width in thrice(6, 8):
        yield f(vector(), 1.5), f(vector(), 2)


@case
def nested_functions_of_every_kind(compile):
    scale = 2.0

    @compile
    def f(x):
        def doubled(y, *, by=scale, **more):
            """A docstring."""
            return y * by * len(more or "a")

        curried = lambda a: lambda b: a * b + scale
        parts = [(lambda k=k: x * k) for k in range(2)]
        return doubled(x), doubled(x, by=1.0, z=1), curried(x)(2.0), [part() for part in parts]

    for scale in thrice(2.0, 3.0):
        yield f(vector())


@case
def coroutine_driven_by_hand(compile):
    @compile
    async def f(x):
        return x * 2

    for k in range(4):
        coroutine = f(vector() + k)
        try:
            coroutine.send(None)
        except StopIteration as stop:
            yield stop.value


@case
def annotated_and_bare_statements(compile):
    log = []
    note = noted(log)

    @compile
    def f(x: tj.Tensor, k: int = 2) -> tj.Tensor:
        y: tj.Tensor = x * k
        z: int
        note("bare")
        "text"
        ...
        if k > 2:
            z = 5
        pass
        return y, "z" if k <= 2 else z

    for k in thrice(2, 3):
        yield f(vector(), k), log
