"""Exceptions: raised, caught, replaced and swallowed; the state after them."""

# ruff: noqa: B007  # a loop variable is state that the compiled function reads

from __future__ import annotations

from contextlib import suppress

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, matrix, thrice, vector


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


def leaf():
    return vector().requires_grad_()


@case
def try_except_shape(compile):
    @compile
    def f(x, y):
        try:
            return x + y
        except ValueError as error:
            return type(error).__name__, x

    for size in [3, 3, 3, 2, 2, 3, 1]:
        yield f(vector(), tj.ones((size,)))


@case
def raise_data(compile):
    @compile
    def f(x):
        if x.min() < -3:
            raise ValueError("too small")
        return x.abs().sqrt()

    for k in [0, 0, 0, -2, -2, 0]:
        yield attempt(f, vector() + k)


@case
def finally_and_else(compile):
    log = []

    @compile
    def f(x):
        try:
            if x.sum() > 5:
                raise KeyError("large")
            y = x * 2
        except KeyError:
            log.append("except")
            return x
        else:
            log.append("else")
            return y
        finally:
            log.append("finally")

    for k in [0, 0, 0, 2, 2, 0, 2]:
        yield f(vector() + k), log


@case
def exception_on_replay(compile):
    table = tj.arange(4) * 10

    @compile
    def f(i):
        return tj.take(table, i, axis=0) + 1

    for i in [0, 1, 2, 3, 4, -5, 2]:
        yield attempt(f, tj.tensor([i]))


@case
def exception_after_write(compile):
    state = Box()
    state.n, state.t, log = 0, vector(), []

    @compile
    def f(x, i):
        state.n += 1
        state.t.add_(1)
        log.append(state.n)
        return tj.take(x, i, axis=0) * state.n

    for i in [0, 0, 0, 1, 7, 7, 0, 0]:
        yield attempt(f, vector(), tj.tensor([i])), state, log


@case
def exception_between_two_writes(compile):
    state = {"a": 0, "b": 0, "t": vector()}

    @compile
    def f(x):
        state["a"] += 1
        state["t"][0] = state["a"]
        y = x @ state["t"]
        state["b"] += 1
        return y

    for x in [*thrice(vector()), matrix(), vector(), matrix(), vector()]:
        yield attempt(f, x), state


@case
def exception_in_finally_replaces(compile):
    state = {"n": 0}

    @compile
    def f(x):
        try:
            if x.sum() > 5:
                raise ValueError("first")
            return x * 2
        finally:
            state["n"] += 1
            if state["n"] == 6:
                raise KeyError("second")

    for k in [0, 0, 0, 3, 0, 3, 0, 0]:
        yield attempt(f, vector() + k), state


@case
def exception_message_value(compile):
    @compile
    def f(x):
        total = x.sum()
        if total > 5:
            raise RuntimeError(f"sum is {total.item()} of {x.shape}")
        return total

    for k in [0, 0, 0, 2, 2, 3]:
        yield attempt(f, vector() + k)


@case
def exception_is_stored(compile):
    state = Box()
    state.error = None

    @compile
    def f(x):
        try:
            return x @ tj.ones((2, 2))
        except ValueError as error:
            state.error = type(error).__name__
            return None

    for _ in range(4):
        yield f(vector()), state
        state.error = None


@case
def except_tuple_changed(compile):
    caught = (ValueError, KeyError)

    @compile
    def f(x):
        try:
            return {"a": x}["b"]
        except caught:
            return x * 2

    for caught in thrice((ValueError, KeyError), (ValueError,), LookupError, ()):
        yield attempt(f, vector())


@case
def try_attribute_error(compile):
    model = Box()

    @compile
    def f(x):
        try:
            return x * model.scale
        except AttributeError:
            return x

    for _ in range(3):
        yield f(vector())
    model.scale = 3.0
    for _ in range(3):
        yield f(vector())
    del model.scale
    for _ in range(3):
        yield f(vector())


@case
def key_error_default(compile):
    options = {}

    @compile
    def f(x):
        try:
            return x * options["scale"]
        except KeyError as error:
            return x, error.args

    for _ in range(3):
        yield f(vector())
    options["scale"] = 2.0
    for _ in range(3):
        yield f(vector())
    del options["scale"]
    yield f(vector())


@case
def index_error_loop(compile):
    factors = [1.0, 2.0]

    @compile
    def f(x):
        at = 0
        while True:
            try:
                x = x * factors[at]
            except IndexError:
                return x
            at += 1

    for _ in range(3):
        yield f(vector())
    factors.append(3.0)
    for _ in range(3):
        yield f(vector())
    factors[:] = []
    yield f(vector())


@case
def context_manager_that_swallows(compile):
    class Quiet:
        seen = 0

        def __enter__(self):
            return self

        def __exit__(self, kind, error, trace):
            self.seen += kind is not None
            return self.swallows

    quiet = Quiet()

    @compile
    def f(x, y):
        with quiet:
            x.add_(y)
            return x
        return None

    for quiet.swallows in thrice(True, False):
        yield attempt(f, vector(), vector()), quiet
        yield attempt(f, vector(), tj.ones((2,))), quiet


@case
def suppress_from_contextlib(compile):
    @compile
    def f(x, table):
        with suppress(KeyError):
            return x * table["k"]
        return x

    for table in thrice({"k": 2.0}, {}, {"k": 3.0}):
        yield f(vector(), table)


@case
def assertion_on_data(compile):
    state = {"n": 0}

    @compile
    def f(x):
        state["n"] += 1
        assert x.sum() < 5, f"call {state['n']}"
        return x.exp()

    for k in [0, 0, 0, 0, 3, 3, 0, 0]:
        yield attempt(f, vector() + k), state


@case
def gradients_under_an_exception(compile):
    w = leaf()
    state = Box(n=0)

    @compile
    def f(x, y):
        loss = (w * x).sum()
        loss.backward()
        state.n += 1
        return loss + x @ y

    for y in [*thrice(vector()), matrix(), matrix(), vector()]:
        yield attempt(f, vector(), y), w, state


@case
def items_of_what_has_none(compile):
    state = Box(parts=[1.0, 2.0])

    def store(x):
        state.parts[0] = 3.0
        return x + state.parts[0]

    def delete(x):
        del state.parts[0]
        return x

    store, delete = compile(store), compile(delete)
    for state.parts in [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], 2.0, 2.0, "text", None, [1.0]]:
        yield attempt(store, vector()), attempt(delete, vector()), state


@case
def sorted_in_a_reverse_of_another_type(compile):
    state = Box(reverse=True)

    @compile
    def f(x):
        return x + sorted([3.0, 1.0, 2.0], reverse=state.reverse)[0]

    for state.reverse in [*thrice(True, False), 1, 0, [1], [1], 2.0, "text", None, True]:
        yield attempt(f, vector())


@case
def ordering_with_arguments_that_it_does_not_take(compile):
    state = Box(call=max, options={})

    @compile
    def f(x):
        return x + state.call(*state.args, **state.options)

    state.args = (1.0, 2.0)
    for state.call in [max, max, max, min, sorted, max]:
        for state.options in [{}, {"k": 1}, {"key": abs}, {"default": 3.0}, {}]:
            yield attempt(f, vector())
    state.args = ()
    for state.call in [max, sorted]:
        yield attempt(f, vector())


class Detailed(ValueError):
    def __init__(self, step, loss, *, unit="nats"):
        super().__init__(f"{loss} {unit} in step", step)
        self.step = step
        self.unit = unit


class MoreDetailed(Detailed):
    def __init__(self, step):
        super().__init__(step + 1, step * 2.0, unit="bits")


@case
def exceptions_with_code_of_their_own(compile):
    @compile
    def f(x, step, more):
        try:
            if step > 2:
                raise MoreDetailed(step) if more else Detailed(step, x.sum().item())
            return x * step
        except Detailed as error:
            return (
                x * error.step,
                str(error),
                error.args,
                error.unit,
                isinstance(error, MoreDetailed),
            )

    for step in [1, 3, 3, 4, 5, 2, 6, 3]:
        for more in [True, False]:
            yield f(vector(), step, more)
            yield f(vector() + step, step, more)


@case
def classes_of_exceptions_that_change(compile):
    class Own(Exception):
        def __init__(self, step):
            self.step = step

    @compile
    def f(x, step):
        try:
            raise Own(step)
        except Own as error:
            return x * error.step, error.args

    for _ in range(4):
        yield f(vector(), 3)
    Own.__init__ = lambda self, step: setattr(self, "step", step * 2)
    for _ in range(4):
        yield f(vector(), 3)
    Own.step = property(lambda self: 5, lambda self, value: None)
    for _ in range(4):
        yield f(vector(), 3)
