"""Decisions and loops over data, exported: on every way what is loaded does what Python does, to the bit, and no more."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.standalone.test_roundtrip import bits
from tests.tracing.replay.test_loops import collatz
from tracejit import nn, optim
from tracejit.nn import functional as F
from tracejit.standalone.overview import overview
from tracejit.standalone.records import Finish
from tracejit.standalone.ways import bodies_of, ways_of

Load = Callable[..., Any]


@pytest.fixture
def exported(tmp_path: Path) -> Load:
    def export(f: Any, *args: Any, native: bool = True) -> Any:
        tj.export(f, args, tmp_path / "f.tj")
        return tj.load(tmp_path / "f.tj", native=native)

    return export


def outcome(f: Any, *args: Any) -> Any:
    """What a call gives, or raises."""
    try:
        return bits(f(*args))
    except Exception as error:
        return type(error), error.args


def agree(loaded: Any, f: Any, calls: list[tuple[Any, ...]]) -> None:
    """The artifact, plain Python and the compiled function do the same."""
    compiled = tj.compile(f)
    for args in calls:
        expected = outcome(f, *args)
        assert outcome(loaded, *args) == expected == outcome(compiled, *args), args


def vectors(*rows: list[float]) -> list[tuple[Any, ...]]:
    return [(tj.tensor(np.array(row, np.float32)),) for row in rows]


X = tj.ones(3)
ROWS = vectors([1, 2, 3], [-1, -2, 0], [0, 0, 0], [5, -7, 100], [math.nan, 1, 1], [math.inf, 0, -1], [3e38, 3e38, 1])  # fmt: skip


# Decisions


def clipped(x):
    if x.sum() > 1:
        return x / x.sum()
    return x


def nested(x):
    if x[0] > 0:
        if x[1] > 0:
            y = x * 2
        else:
            y = x - 1
        return y, "positive"
    elif x.max() > 50:
        return [x, x.max()]
    return -x, 3, None


def by_numbers(x):
    total = x.sum().item()
    if total < 0:
        return 0.0
    if 1 <= total <= 6 or total != total:
        return total * 2, x * total
    return x, math.floor(min(total, 9.0))


def of_whole_tensors(x):
    return (x if (x > 0).all() else -x), bool((x > 4).any()), 1 if x.max() else 2


def joined(x):
    sign = 1
    if x[0] > 0:
        sign = -1
    if x[1] > 0:
        x = x * sign
    return x + sign


def with_table(x):
    table = tj.tensor([1.0, 2.0, 3.0])
    if (x > table).any():
        table.add_(x)
        return table
    return tj.tensor([4, 5])


@pytest.mark.parametrize(
    "function", [clipped, nested, by_numbers, of_whole_tensors, joined, with_table]
)
@pytest.mark.parametrize("native", [True, False])
def test_all_ways_of_decisions_are_there(exported: Load, function: Any, native: bool) -> None:
    agree(exported(function, X, native=native), function, ROWS)


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_it_is_the_same_whatever_it_was_exported_with(exported: Load, row: int) -> None:
    agree(exported(nested, *ROWS[row]), nested, ROWS)


def test_arrays_decide_as_tensors_do(exported: Load) -> None:
    def f(x):
        if np.abs(x).max() > 2:
            x[0] = 0
            return x * 0.5
        return x

    loaded = exported(f, np.ones(3))
    for row in ([1, 2, 0.5], [1, 2, 3], [math.nan, 9, 9]):
        x, twin = np.array(row, float), np.array(row, float)
        assert bits(loaded(x)) == bits(f(twin))
        assert bits(x) == bits(twin)


def test_what_ways_have_in_common_is_there_once(exported: Load) -> None:
    loaded = exported(nested, X)
    first = loaded.manifest.call.body
    assert len([*ways_of(loaded.manifest.call)]) == 4
    assert len([*bodies_of(first)]) == 7


# Exceptions


def checked(x):
    if not tj.isfinite(x).all():
        raise ValueError("x is not finite")
    if x.sum() < 0:
        raise FloatingPointError
    if x[0] >= 4:
        raise AssertionError("too large", 4)
    return x.sum()


def caught(x):
    try:
        if x[0] < 0:
            raise KeyError(3, None)
        return x * 2
    except KeyError as error:
        return x, error.args[0]
    finally:
        x = x + 1


def test_exceptions_are_raised_on_the_ways_that_raise(exported: Load) -> None:
    agree(exported(checked, X), checked, ROWS)
    agree(exported(caught, X), caught, ROWS)
    agree(exported(checked, X * -1), checked, ROWS)


class Account:
    def __init__(self) -> None:
        self.total = tj.zeros(3)
        self.calls = 0
        self.last = None

    def pay(self, x):
        self.calls += 1
        self.total.add_(x)
        if self.total.min() < 0:
            raise ValueError("overdrawn")
        self.last = x * 2
        return self.total * 1


def test_an_exception_leaves_the_state_as_python_does(exported: Load) -> None:
    account, twin = Account(), Account()
    loaded = exported(account.pay, X)
    assert account.calls == 0
    for values in ([1, 2, 3], [-2, 0, 0], [0, 1, 0], [9, 9, 9], [-9, -9, -99], [math.nan, 1, 1]):
        x = tj.tensor(np.array(values, np.float32))
        assert outcome(loaded, x) == outcome(twin.pay, x)
        state = loaded.state_dict()
        assert bits(state["total"]) == bits(twin.total)
        assert state["calls"] == twin.calls
        assert bits(state["last"]) == bits(twin.last)


def test_what_always_raises_raises_at_the_export(exported: Load) -> None:
    def f(x):
        if x.sum() > 0:
            raise KeyError("mine")
        raise KeyError("mine, too")

    with pytest.raises(KeyError, match="mine"):
        exported(f, X)


# Training


def network() -> Any:
    return nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))


def batch(n: int, scale: float = 1.0) -> tuple[Any, Any]:
    images = np.random.default_rng(n).normal(size=(8, 12)).astype(np.float32) * np.float32(scale)
    return tj.tensor(images), tj.tensor(np.arange(n, n + 8) % 4)


BATCHES = [batch(0), batch(1, 100), batch(2, math.nan), batch(3), batch(4, 1e30), batch(5), batch(6)]  # fmt: skip


def trains_alike(exported: Load, make: Callable[[], tuple[Any, Any, Any]]) -> None:
    """Both go on from the same start, whatever the batches are."""
    tj.random.seed(1)
    step, _, _ = make()
    loaded = exported(step, *batch(0))
    tj.random.seed(1)
    twin, model, optimizer = make()
    for images, labels in BATCHES:
        assert outcome(loaded, images, labels) == outcome(twin, images, labels)
        state = loaded.state_dict()
        for name, value in model.state_dict().items():
            assert bits(state[f"model.{name}"]) == bits(value)
    taken = {each["step"] for each in optimizer.state.values() if "step" in each}
    assert taken == {value for name, value in state.items() if name.endswith(".step")}


def test_gradients_are_cut_to_a_norm_where_they_are_larger(exported: Load) -> None:
    def make() -> Any:
        model = network()
        optimizer = optim.Adam(model.parameters(), lr=0.01)

        def step(images, labels):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            norm = tj.sqrt(sum((p.grad**2).sum() for p in model.parameters()))
            if norm > 1:
                with tj.no_grad():
                    for p in model.parameters():
                        p.grad.mul_(1 / norm)
            optimizer.step()
            return loss, norm

        return step, model, optimizer

    trains_alike(exported, make)


def test_steps_whose_loss_is_not_finite_are_left_out(exported: Load) -> None:
    def make() -> Any:
        model = network()
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        left_out = tj.zeros(())

        def step(images, labels):
            loss = F.cross_entropy(model(images), labels)
            if not tj.isfinite(loss):
                left_out.add_(1)
                return left_out * 1
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step, model, optimizer

    trains_alike(exported, make)


def test_a_loss_is_scaled_by_what_is_state(exported: Load) -> None:
    def make() -> Any:
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        scaler = {"scale": 1024.0, "good": 0}

        def step(images, labels):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            (loss * scaler["scale"]).backward()
            grads = [p.grad for p in model.parameters()]
            if all(tj.isfinite(grad).all() for grad in grads):
                with tj.no_grad():
                    for grad in grads:
                        grad.div_(scaler["scale"])
                optimizer.step()
                scaler["good"] += 1
                if scaler["good"] >= 2:
                    scaler["scale"], scaler["good"] = scaler["scale"] * 2, 0
            else:
                scaler["scale"], scaler["good"] = scaler["scale"] * 0.5, 0
            return loss, scaler["scale"], scaler["good"]

        for _ in range(1):
            step(*batch(9))  # the momentum is there
        return step, model, optimizer

    trains_alike(exported, make)


def test_a_loss_that_diverges_is_an_error(exported: Load) -> None:
    def make() -> Any:
        model = network()
        optimizer = optim.Adam(model.parameters(), lr=0.01)

        def step(images, labels):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            if not tj.isfinite(loss):
                raise FloatingPointError("diverged")
            optimizer.step()
            return loss

        return step, model, optimizer

    trains_alike(exported, make)


# Decisions on numbers


def warming_up(x, rate):
    if rate < 0:
        raise ValueError("a rate is not negative")
    if rate == 0:
        return x
    return x * rate


def test_numbers_that_are_given_decide(exported: Load) -> None:
    calls = [(X, rate) for rate in (0.5, 0.0, -0.0, -1.0, math.nan, math.inf)]
    agree(exported(warming_up, X, 0.5), warming_up, calls)


class Scheduled:
    def __init__(self) -> None:
        self.step = 0
        self.w = tj.ones(3)

    def __call__(self, x):
        self.step += 1
        rate = self.step / 4 if self.step < 4 else 1.0
        if self.step % 3 == 0:
            self.w.mul_(0.5)
        self.w.sub_(rate * x)
        return self.w * 1, rate


def test_a_count_that_is_state_decides(exported: Load) -> None:
    loaded, twin = exported(Scheduled(), X), Scheduled()
    for _ in range(8):
        assert bits(loaded(X)) == bits(twin(X))
    assert loaded.state_dict()["step"] == 8


# Loops


def newton(x):
    y = x * 0 + 1
    rounds = 0
    while (y * y - x).abs().max() > 1e-3 and rounds < 20:
        y = (y + x / y) * 0.5
        rounds += 1
    return y, rounds


def power_iteration(a):
    v = tj.ones(3)
    change = 1.0
    while change > 1e-4:
        w = a @ v
        w = w / tj.sqrt((w * w).sum())
        change = (w - v).abs().max().item()
        v = w
    return v, (v @ (a @ v))


def until_small(x):
    for k in range(40):  # noqa: B007  # it is used after the loop
        x = x * 0.75
        if x.abs().max() < 0.1:
            break
    else:
        k = -1
    return x, k


def two_within_one(x):
    total = 0
    while x.max() > 1:
        y = x
        while y.max() > 2:
            y = y * 0.5
            total += 1
        x = x - y.max()
        if total > 30:
            return x, "many"
    return x, total


def fibonacci(x):
    a, b = x, x + 1
    while b.max() < 100:
        a, b = b, a + b
    return a, b


def searched(x):
    low, high = 0.0, 10.0
    while high - low > 0.01:
        middle = (low + high) / 2
        if (x * middle).sum() > 7:
            high = middle
        else:
            low = middle
    return low


LOOPS: list[tuple[Any, list[tuple[Any, ...]]]] = [
    (newton, vectors([2, 3, 4], [1, 1, 1], [100, 1e-3, 1e4], [math.nan, 1, 2], [0, 0, 0])),
    (power_iteration, [(tj.tensor([[2.0, 1, 0], [1, 3, 1], [0, 1, 4]]),), (tj.tensor(np.eye(3, dtype=np.float32)),)]),
    (collatz, [(tj.tensor(n),) for n in (1, 2, 3, 6, 7, 27, 64, 0, -5)]),
    (until_small, vectors([1, 2, 3], [0, 0, 0], [1e9, 0, 0], [math.nan, 1, 1])),
    (two_within_one, vectors([1, 2, 3], [0, 0, 0], [17, 5, 3], [900, 800, 5], [1e4, 1, 1])),
    (fibonacci, vectors([1, 1, 1], [0.5, 0, 0], [200, 1, 1], [99, 98, 1])),
    (searched, vectors([1, 2, 3], [0, 0, 0.5], [10, 10, 10])),
]  # fmt: skip


@pytest.mark.parametrize(("function", "calls"), LOOPS, ids=[each.__name__ for each, _ in LOOPS])
def test_loops_go_round_as_often_as_in_python(exported: Load, function: Any, calls: Any) -> None:
    agree(exported(function, *calls[0]), function, calls)
    agree(exported(function, *calls[1], native=False), function, calls)


class Iterating:
    def __init__(self) -> None:
        self.n, self.w, self.last = 0, tj.zeros(3), None

    def __call__(self, x, least):
        self.w.copy_(x)
        while self.w.abs().max() > least:
            self.w.mul_(0.75)
            self.n += 1
            self.last = self.w * 2
            if self.n % 50 == 0:
                raise OverflowError("too often")
        return self.w.sum()


def test_rounds_of_a_loop_write_state(exported: Load) -> None:
    loaded, twin = exported(Iterating(), X, 0.5), Iterating()
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, least = tj.tensor(rng.normal(size=3).astype(np.float32)), 10 ** rng.uniform(-3, 0)
        assert outcome(loaded, x, least) == outcome(twin, x, least)
        state = loaded.state_dict()
        assert (state["n"], bits(state["w"])) == (twin.n, bits(twin.w))
        assert bits(state.get("last")) == bits(twin.last)


def test_arguments_are_written_round_by_round(exported: Load) -> None:
    def f(x, least):
        rounds = 0
        while x.abs().max() > least:
            x.mul_(0.5)
            rounds += 1
        return rounds

    loaded = exported(f, X, 0.3)
    for least in (0.1, 2.0, 1e-6):
        x, twin = tj.tensor([0.0, -1.0, 2.0]), tj.tensor([0.0, -1.0, 2.0])
        assert loaded(x, least) == f(twin, least)
        assert bits(x) == bits(twin)


def test_a_loop_of_a_fixed_length_is_one_program(exported: Load) -> None:
    def f(x):
        for k in range(3):
            x = x * 2 + k
        return x

    loaded = exported(f, X)
    assert loaded.graph.count("return") == 1
    assert isinstance(loaded.manifest.call.body.end, Finish)


def test_early_exits_from_a_list_of_layers(exported: Load) -> None:
    tj.random.seed(3)
    layers = [nn.Linear(3, 3) for _ in range(5)]

    def f(x):
        for place, layer in enumerate(layers):
            x = tj.tanh(layer(x))
            if x.max() > 0.8:
                return x, place
        return x, None

    agree(exported(f, X), f, ROWS)


def test_inspect_shows_the_ways(exported: Load, tmp_path: Path) -> None:
    def f(x):
        while x.sum() > 1:
            if x.max() > 9:
                raise ValueError("too large")
            x = x * 0.5
        return x

    exported(f, X)
    lines = overview(tmp_path / "f.tj").splitlines()
    shown = lines[lines.index("ways") + 1 :]
    shown = [line.partition("  test_")[0] for line in shown[: shown.index("")]]
    assert shown == [
        "  program 0",
        "  if",
        "    program 1",
        "    if",
        "      raise ValueError('too large')",
        "    else",
        "      program 2",
        "      loop",
        "        program 0",
        "        if",
        "          program 1",
        "          if",
        "            raise ValueError('too large')",
        "          else",
        "            program 2",
        "            the next round",
        "        else",
        "          the result",
        "  else",
        "    the result",
    ]
    assert f"test_control_flow.py:{f.__code__.co_firstlineno + 2}" in lines[lines.index("ways") + 4]


# Sharing


class Two:
    def __init__(self) -> None:
        self.a = self.b = tj.ones(3)
        self.inner = self


def test_state_that_ways_find_by_other_paths_is_one(exported: Load) -> None:
    def make() -> Any:
        two = Two()

        def f(x):
            if x.sum() > 0:
                two.a.add_(x)
                two.inner.inner.count = 1
                return two.a * 1
            return two.b * 2

        two.count = 0  # type: ignore[attr-defined]
        return f

    loaded, twin = exported(make(), X), make()
    for sign in (1, -1, 1, 1, -1):
        assert bits(loaded(X * sign)) == bits(twin(X * sign))
    (name,) = (name for name, value in loaded.state_dict().items() if not isinstance(value, int))
    assert name in ("two.a", "two.b")


def test_memory_that_one_way_writes_and_another_reads_is_refused(tmp_path: Path) -> None:
    base = np.zeros(6)
    whole, part = base[:4], base[2:]

    def f(x):
        if x.sum() > 0:
            whole[...] += 1
            return whole * 1
        return part * 2

    with pytest.raises(tj.ExportError, match="shares memory with"):
        tj.export(f, (X,), tmp_path / "f.tj")
