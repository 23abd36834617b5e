"""What users' programs do in passing: text to streams that fail, numbers of NumPy's that go round, `math` on tensors."""

# ruff: noqa: UP031  # users write text that way

from __future__ import annotations

import contextlib
import enum
import functools
import io
import itertools
import math
from collections import deque

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, vector
from tracejit import nn


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


def told(result):
    """An exception by class and text: a replay has no frames of the function's."""
    return (type(result), str(result)) if isinstance(result, Exception) else result


# Numbers as objects


@case
def nan_that_is_looked_for(compile):
    nan = float("nan")
    table = {nan: 1.0, 0.0: 2.0, "a": 3.0}

    @compile
    def f(x, key):
        return x * table.get(key, -1.0), key in table, key in [nan], key not in (nan, 0.0)

    for key in 4 * [nan, float("nan"), 0.0, -0.0, "a"]:
        yield f(vector(), key)


@case
def numbers_that_are_one_object_after_the_recording_has_ended(compile):
    @compile
    def f(x, a, b):
        if id(x) == 0:
            return x
        return a is b, a is a, a in {b: 1.0}

    one, other = float("nan"), float("nan")
    for _ in range(3):
        yield f(vector(), one, one), f(vector(), one, other)


# Enumerations


@case
def enum_with_properties_and_attributes(compile):
    class Planet(enum.Enum):
        EARTH = 6.0, 2.0
        MARS = 4.0, 0.5

        def __init__(self, mass, radius):
            self.mass, self.radius = mass, radius

        @property
        def gravity(self):
            return self.mass / self.radius**2

        def heavier(self, other):
            return self if self.mass > other.mass else other

    state = Box(planet=Planet.EARTH)

    @compile
    def f(x):
        heavier = state.planet.heavier(Planet.MARS)
        return x * state.planet.gravity, heavier, heavier is state.planet, state.planet.radius

    for k in range(20):
        if k == 4:
            state.planet = Planet.MARS
        if k == 8:
            Planet.MARS.mass = 8.0
        if k == 12:
            Planet.gravity = property(lambda self: self.mass)
        if k == 16:
            state.planet = Planet.EARTH
        yield f(vector())


@case
def enum_that_is_matched(compile):
    class Mode(enum.Enum):
        FAST = "fast"
        SLOW = "slow"

    state = Box(mode=Mode.FAST)

    @compile
    def f(x):
        match state.mode:
            case Mode.FAST:
                return x * 2
            case Mode.SLOW:
                return x - 1
            case other:
                return other

    for k in range(16):
        if k == 4:
            state.mode = Mode.SLOW
        if k == 8:
            state.mode = "fast"
        if k == 12:
            Mode.__eq__ = lambda self, other: True
            state.mode = Mode.SLOW
        yield f(vector())


# Printing


@case
def tensors_in_text_by_percent(compile):
    @compile
    def f(x, k):
        loss = x.mean()
        print("step %d loss %.3f, %g%%" % (k, loss, x.max()))
        return "%5.1f" % loss, "%s %e" % ("n", loss), "%-8.2f|" % x[0]

    for k in range(10):
        yield f(vector() * k, k)


@case
def arrays_in_text_by_percent(compile):
    @compile
    def f(a, name):
        return "%s: %.2f of %d" % (name, a.max(), len(a)), "%(top)g" % {"top": 1.5}, "%+.1e" % a[0]

    for k in range(1, 11):
        yield f(np.array([1.0, -2.0, 0.5]) * k, "ab"[k % 2])


@case
def print_to_a_stream_that_is_closed(compile):
    log = []

    @compile
    def f(x):
        log.append(1)
        print("mean", x.mean().item())
        log.append(2)
        return x

    for k in range(12):
        stream = io.StringIO()
        if k % 6 == 5:
            stream.close()
        with contextlib.redirect_stdout(stream):
            yield attempt(f, vector()), list(log)


@case
def print_to_a_stream_that_has_not_all_characters(compile):
    w = vector()

    @compile
    def f(x):
        print("é", x.sum().item())
        w.add_(1)
        return x

    for encoding in 6 * ["utf-8"] + 3 * ["ascii"] + ["utf-8"]:
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
        with contextlib.redirect_stdout(stream):
            yield attempt(f, vector()), w, raw.getvalue()


class Disk(io.RawIOBase):
    """A file with so much room."""

    def __init__(self, room):
        self.room = room

    def writable(self):
        return True

    def write(self, text):
        self.room -= len(text)
        if self.room < 0:
            raise OSError(28, "No space left on device")
        return len(text)


@case
def print_to_a_disk_that_is_full(compile):
    log = []

    @compile
    def f(x):
        log.append(1)
        print("x" * 100, x.mean().item(), flush=True)
        log.append(2)
        return x

    for k in range(12):
        stream = io.TextIOWrapper(Disk(50 if k % 6 == 5 else 150), encoding="utf-8")
        with contextlib.redirect_stdout(stream):
            yield told(attempt(f, vector())), list(log)
        stream.buffer.room = 1000  # for what is left of the text when the stream goes
        stream.close()


# Histories


@case
def history_whose_last_values_are_read_back(compile):
    history, losses = [], [0.5]

    @compile
    def f(x):
        history.append(x.sum())
        losses.append(float(history[-1]) * 2)
        losses.append(losses[-1] + 1)
        return history[-1], losses[-1] * losses[-2], losses[-1] > 3

    for k in range(12):
        if k == 6:
            history.clear()
        yield f(vector() * (k % 4)), history, losses


@case
def history_that_is_read_further_back(compile):
    losses = [1.0, 2.0]

    @compile
    def f(x, loss):
        losses.append(loss)
        losses[-1] = losses[-1] + 1
        return x * losses[-2], losses[0], losses[-1]

    for k in range(8):
        yield f(vector(), 0.5 * k), losses
        del losses[2:]


# NumPy's numbers


@case
def numpy_number_that_is_given_back(compile):
    @compile
    def step(a, rate):
        a = a + rate * a
        worst = np.abs(a).max()
        return a, rate * 0.5 / (1 + worst), rate is rate, isinstance(rate, float), rate > 0.01

    for kind in (np.float64, np.float32):
        a, rate = np.array([1.0, -2.0, 0.5], dtype=kind), kind(0.5)
        for _ in range(8):
            a, rate, *more = step(a, rate)
            yield a, rate, more


@case
def numpy_number_that_is_state(compile):
    state = Box(rate=np.float64(0.5), best=np.float64(np.inf), scale=np.float16(1.5))

    @compile
    def f(a):
        loss = (a * a).max()
        if loss < state.best:
            state.best = loss
        state.rate *= 0.75
        return a - state.rate * a, a * state.scale, min(state.rate, 0.1), max(state.best, 1.0)

    a = np.array([1.0, -2.0, 0.5])
    for k in range(16):
        if k == 10:
            state.scale = np.float16(0.25)
        if k == 12:
            state.best = np.float64(np.nan)
        a, *more = f(a)
        yield a, more, state


@case
def numpy_number_in_two_places(compile):
    first, second = Box(rate=np.float64(1.0)), Box(rate=np.float64(1.0))

    @compile
    def f(a):
        return a * first.rate + second.rate * first.rate, first.rate == second.rate

    for k in range(12):
        first.rate = np.float64(k % 5) if k != 9 else np.float64(-0.0)
        second.rate = first.rate if k % 3 else np.float64(k)
        yield f(np.array([1.0, -2.0, 0.5]))


@case
def numpy_number_that_meets_tensors(compile):
    w = tj.tensor([1.0, -2.0, 3.0])

    @compile
    def f(x, rate, a):
        w.sub_(rate * x)
        made = tj.full((2,), rate), tj.where(x > rate, x, rate), tj.clip(x, 0, rate), x**rate
        return x * rate, rate + x, tj.maximum(x, rate), made, x * a.max()

    for kind in (np.float64, np.float32):
        for k in range(8):
            yield f(vector(), kind(0.25 * k), np.array([1.0, k], dtype=kind)), w


@case
def numpy_numbers_in_containers(compile):
    state = Box(pair=(np.float64(1.0), 2.0), table={"z": np.float64(3.0)}, row=[np.float32(0.5)])

    factor = np.float64(2.0)

    def scaled(a, *args, by=factor, **named):
        return a * by + sum(args) + sum(named.values())

    @compile
    def f(a):
        first, second = state.pair
        total = a * first + second
        for value in state.pair:
            total = total + value
        for name, value in state.table.items():
            total = total * value + len(name)
        return scaled(total, *state.pair, **state.table), list(state.row), f"{state.row[0]:.2f}"

    for k in range(16):
        state.pair = np.float64(1.0 + k % 5), 2.0
        state.table["z"] = np.float64(3.0 - k % 3)
        state.row[0] = np.float32(k % 4)
        if k == 12:
            scaled.__kwdefaults__["by"] = np.float64(4.0)
        yield f(np.array([1.0, -2.0, 0.5])), state


@case
def numpy_numbers_that_native_code_reads(compile):
    state = Box(pair=(np.float64(1.0), 2.0), row=[np.float64(0.5), np.float64(1.5)])

    @compile
    def f(x):
        products = [value * other for value, other in zip(state.row, state.pair)]
        return (
            products,
            f"{state.pair}",
            max(state.pair),
            sorted(state.row),
            state.row == [0.5, 1.5],
        )

    for k in range(16):
        state.pair = np.float64(1.0 + k % 3), 2.0
        state.row[1] = np.float64(k % 2)
        yield f(vector()), state


@case
def numpy_numbers_in_a_list_that_is_changed(compile):
    row = [np.float64(1.0), np.float64(2.0), np.float64(3.0)]

    @compile
    def f(a):
        row.sort()
        row.append(row.pop(0) * 2)
        return a * row[0], len(row)

    for k in range(10):
        row[k % 3] = np.float64(k * 0.5)
        yield f(np.array([1.0, -2.0])), row


@case
def arrays_in_lists_and_tuples_of_state(compile):
    class Net:
        def __init__(self):
            self.weights = [np.ones((2, 3)), np.ones((3, 2)) * 0.5]
            self.biases = (np.zeros(3), np.ones(2))

        @compile
        def forward(self, a):
            for w, b in zip(self.weights, self.biases):
                a = np.maximum((a[:, None] * w).max(axis=0) + b, 0.0)
            first, second = self.biases
            self.weights[0] -= 0.25 * first[0] + 0.25
            return a, first + second[0], [w.shape for w in reversed(self.weights)]

    net = Net()
    for k in range(12):
        if k == 5:
            net.biases[0][:] = 2.0
        if k == 8:
            net.weights[1] = net.weights[1] * 3
        yield net.forward(np.array([1.0, 2.0]) * k), net


@case
def functions_in_a_list_that_is_reduced(compile):
    layers = [lambda x: x * 2, tj.relu, lambda x: x - 1]

    @compile
    def f(x, numbers):
        return functools.reduce(lambda h, layer: layer(h), layers, x), functools.reduce(
            max, numbers
        )

    for k in range(12):
        if k == 4:
            layers.append(tj.exp)
        if k == 8:
            del layers[0]
        yield f(vector(), [1.0, k, 2.0])
    yield attempt(f, vector(), [])


# `math` on tensors and arrays


@case
def math_of_tensors(compile):
    @compile
    def f(x, n):
        total = x.sum()
        if math.isfinite(total) and math.exp(-math.fabs(total)) < 0.5:
            x = x * math.sqrt(abs(total))
        return x, math.floor(total), math.atan2(total, n), math.copysign(1.0, total)

    for k in range(12):
        yield f(vector() * (k - 3), k)


@case
def math_of_arrays(compile):
    @compile
    def f(a):
        return (
            a / math.sqrt((a * a).sum()),
            math.hypot(a[0], a[1]),
            math.isnan(a.max()),
            math.ceil(a[2]),
        )

    for k in range(10):
        yield attempt(f, np.array([1.0, -2.0, 3.0]) * (k - 2))


@case
def math_that_has_no_result(compile):
    @compile
    def f(x):
        return x * math.log(x.sum())

    for k in [1, 2, 3, 2, -1, 0, 4, 5]:
        yield attempt(f, vector() * k)


# Arrays and indices


@case
def numbers_put_at_indices(compile):
    @compile
    def f(x, at, number):
        x[[0, 2]] = number
        x[at] = number * 2
        x[x > 50.0] = number
        return tj.add_at(x, [1, 1], number)

    for k in range(10):
        x = tj.arange(4, dtype=(tj.float32, tj.float64)[k % 2]) * 30
        yield f(x, tj.tensor([k % 3, 3]), 0.1 + k), x


@case
def numbers_put_at_indices_of_arrays(compile):
    @compile
    def f(a, number):
        a[[0, 2]] = number
        a[a > 50.0] = number * 2
        return a * number

    for k in range(10):
        a = np.arange(4, dtype=("f4", "f8")[k % 2]) * 30
        yield f(a, 0.1 + k), a


@case
def array_whose_elements_share_memory(compile):
    @compile
    def f(a):
        a += 1
        a[0] *= 2
        return a

    for k in range(8):
        memory = np.arange(9.0)
        steps = (16, 8) if k % 2 else (24, 8)
        a = np.lib.stride_tricks.as_strided(memory, (3, 3), steps)
        yield f(a), a


class Walked:
    """Says by methods of its own what its elements are, and counts how often it is asked."""

    def __init__(self, *values):
        self.values, self.steps = [*values], 0

    def __iter__(self):
        for value in self.values:
            self.steps += 1
            yield value


class Placed:
    def __init__(self, *values):
        self.values, self.asked = [*values], 0

    def __len__(self):
        self.asked += 1
        return len(self.values)

    def __getitem__(self, place):
        return self.values[place]


class Backwards(Walked):
    def __reversed__(self):
        self.steps += 100
        return iter(self.values[::-1])


class OwnList(list):
    def __len__(self):
        return 2

    def __getitem__(self, place):
        return 100.0


@case
def objects_of_users_walked_by_builtins(compile):
    walked, placed, back = Walked(1.0, 2.0, 3.0), Placed(4.0, 5.0), Backwards(6.0, 7.0)
    layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])

    @compile
    def f(x):
        for place, value in enumerate(walked, start=2):
            x = x * value + place
        for one, other, layer in zip(placed, walked, layers):
            x = layer(x + one * other)
        moved = map(lambda v: v + 1, back)  # noqa: C417  # the case
        for value in itertools.chain(placed, itertools.islice(walked, 2), moved):
            x = x + value
        first, last = list(walked)[-1], tuple(placed)[-1]
        for value, other in itertools.zip_longest(walked, placed, fillvalue=1.0):
            x = x + value * other
        return x + first + last, walked.steps, next(iter(back))

    @compile
    def g(x):
        for value in reversed(placed):
            x = x * 2 + value
        for value in reversed(back):
            x = x * 2 + value
        for layer in reversed(layers):
            x = layer(x)
        return x, placed.asked, back.steps

    for turn in range(6):
        yield attempt(f, vector()), attempt(g, vector()), walked.steps, placed.asked, back.steps
        if turn == 2:
            walked.values.append(8.0)
            placed.values[0] = 9.0
        if turn == 3:
            layers.append(nn.ReLU())


@case
def objects_of_users_that_builtins_only_pass_on(compile):
    walked, own = Walked(1.0, 2.0), OwnList([1.0, 2.0, 3.0])

    @compile
    def f(x):
        same = [each is walked for each in itertools.repeat(walked, 2)]
        pairs = list(itertools.zip_longest([1.0], [2.0, 3.0], fillvalue=walked))
        return x + len(same), same, pairs[1][0] is walked, next(iter([]), walked) is walked

    @compile
    def g(x):
        for value in reversed(own):
            x = x + value
        return x, reversed(5)

    @compile
    def h(x):
        return x + sum(value for value in enumerate(3))

    for _ in range(4):
        yield attempt(f, vector()), walked.steps, attempt(g, vector()), attempt(h, vector())


@case
def iterators_of_users_stop_where_zip_stops(compile):
    class Counter:
        def __init__(self):
            self.count = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.count += 1
            if self.count > 7:
                raise StopIteration
            return self.count

    counter = Counter()

    @compile
    def f(x):
        for value, _ in zip(counter, range(2)):
            x = x + value
        for _, value in zip(range(2), counter):
            x = x * value
        return x

    for turn in range(5):
        counter.count = turn % 2
        yield f(vector()), counter.count


@case
def objects_of_users_walked_by_methods_of_containers(compile):
    walked, placed = Walked(1.0, 2.0), Placed(4.0, 5.0)
    blocks = nn.ModuleList([nn.ReLU()])

    @compile
    def f(x):
        values, recent, known, layers = [0.0], deque([3.0]), {1.0}, [nn.Tanh()]
        values.extend(placed)
        recent.extendleft(walked)
        known.update(placed)
        values[1:1] = walked
        layers.extend(blocks)
        for layer in layers:
            x = layer(x)
        total = sum(values) + sum(recent) + sum(known | known.union(walked))
        return x + total, walked.steps, placed.asked

    @compile
    def g(x):
        values = [1.0]
        values.extend(3)
        return x

    for turn in range(6):
        yield attempt(f, vector()), attempt(g, vector())
        if turn == 2:
            walked.values[0], placed.values[1] = 7.0, 9.0
        if turn == 3:
            blocks.append(nn.ReLU())
