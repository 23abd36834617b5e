"""What stands at a loop's head: whatever Python values go round, the loop is closed where they are alike, and only there."""

from __future__ import annotations

import inspect
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

import tracejit as tj
from tests.tracing.replay.test_native import bits, native_calls
from tracejit import nn, optim
from tracejit.runtime.cpu.native.install import installed
from tracejit.tracing.replay import tree

Call = Callable[[Any, float], Any]
Make = Callable[[], tuple[Call, Callable[[], Any]]]
"""A function of a tensor and a number that ends its loop, in a world of its own, and what is seen of that world."""


def closed(make: Make, *, rounds: int = 60, records: int = 3) -> Any:
    """Calls whose loops go round any number of times are recorded a few times, and are what Python's are."""
    (ours, our_world), (theirs, their_world) = make(), make()
    f, rng = tj.compile(ours), random.Random(0)
    for _ in range(rounds):
        x, least = tj.tensor([rng.uniform(1, 4), -2.0, 3.0]), 10 ** rng.uniform(-4, 0)
        assert bits(f(x, least)) == bits(theirs(x, least))
        assert bits(our_world()) == bits(their_world())
    assert f.calls["record"] <= records, tj.explain(f)
    assert f.calls["replay"] >= rounds - records
    assert installed() is None or native_calls(f) > rounds / 2
    return f


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "NATIVE_AFTER", 1)


def nothing() -> Any:
    return None


# What is around the function


def reads_a_variable_after_the_loop() -> Any:
    weight, scale = tj.tensor([1.0, 2.0, 3.0]), 0.5

    def f(x: Any, least: float) -> Any:
        while x.abs().max() > least:
            x = x * 0.5
        return x * weight + scale

    return f, nothing


def writes_a_variable_after_the_loop() -> Any:
    last, total = tj.zeros(3), 0

    def f(x: Any, least: float) -> Any:
        nonlocal last, total
        rounds = 0
        while x.abs().max() > least:
            x = x * 0.5
            rounds += 1
        last = x * 1
        total = rounds
        return x

    return f, lambda: [last, total]


def writes_variables_in_the_rounds() -> Any:
    count, kept, ratio = 0, None, 1.0

    def f(x: Any, least: float) -> Any:
        nonlocal count, kept, ratio
        while x.abs().max() > least:
            x = x * 0.5
            count += 1
            ratio = ratio * 0.75 + count
            kept = x
        return x, count

    return f, lambda: [count, kept, ratio]


def writes_a_variable_in_a_function_that_rounds_call() -> Any:
    count = 0

    def bump() -> None:
        nonlocal count
        count += 2

    def f(x: Any, least: float) -> Any:
        while x.abs().max() > least:
            bump()
            x = x * 0.5
        return x

    return f, lambda: count


turns: Any = 0


def writes_a_global_in_the_rounds() -> Any:
    global turns
    turns = 0
    own = SimpleNamespace(turns=0)

    def f(x: Any, least: float) -> Any:
        global turns
        turns = own.turns
        while x.abs().max() > least:
            turns += 1
            x = x * 0.5
        own.turns = turns
        return x

    return f, lambda: own.turns


class Slotted:
    __slots__ = ("n", "w")

    def __init__(self) -> None:
        self.n, self.w = 0, tj.ones(3)


def writes_slots() -> Any:
    state = Slotted()

    def f(x: Any, least: float) -> Any:
        while x.abs().max() > least:
            x = x * 0.5
            state.n += 1
            state.w = x
        return x

    return f, lambda: [state.n, state.w]


def writes_a_class() -> Any:
    class Shared:
        count = 0

    def f(x: Any, least: float) -> Any:
        while x.abs().max() > least:
            Shared.count += 1
            x = x * 0.5
        return x

    return f, lambda: Shared.count


# Functions, lists and objects of the call's own


def calls_a_function_of_its_own() -> Any:
    def f(x: Any, least: float) -> Any:
        first, n = x, 0

        def shrunk(y: Any, by: float = 0.5) -> Any:
            return y * by + first * 0.0

        while x.abs().max() > least:
            x = shrunk(x)
            n += 1
        return x, n

    return f, nothing


def calls_a_function_that_reads_what_goes_round() -> Any:
    def f(x: Any, least: float) -> Any:
        n = 0

        def weighed() -> Any:
            return x * 0.5 + n * 0.0625 - n * 0.0625

        while x.abs().max() > least and n < 90:
            x = weighed()
            n += 1
        return x, n

    return f, nothing


class Pair(NamedTuple):
    x: Any
    n: int


def carries_a_named_tuple() -> Any:
    def f(x: Any, least: float) -> Any:
        at = Pair(x, 0)
        while at.x.abs().max() > least:
            at = Pair(at.x * 0.5, at.n + 1)
        return at.x, at.n

    return f, nothing


@dataclass
class Box:
    x: Any
    old: Any = None


def makes_objects_in_the_rounds() -> Any:
    def f(x: Any, least: float) -> Any:
        box = Box(x)
        while box.x.abs().max() > least:
            box = Box(box.x * 0.5, box.x)
        return box.x, box.old

    return f, nothing


def writes_an_object_that_it_has_made() -> Any:
    def f(x: Any, least: float) -> Any:
        box = Box(x, x)
        while box.x.abs().max() > least:
            box.x, box.old = box.x * 0.5, box.x
        return box.x, box.old

    return f, nothing


def writes_a_dict_that_it_has_made() -> Any:
    def f(x: Any, least: float) -> Any:
        table = {"x": x, "old": [x, x]}
        while table["x"].abs().max() > least:
            table["old"][0] = table["x"]
            table["x"] = table["x"] * 0.5
        return [*table.values()]

    return f, nothing


def makes_lists_in_the_rounds() -> Any:
    def f(x: Any, least: float) -> Any:
        while x.abs().max() > least:
            parts = []
            for place, by in enumerate((0.5, 0.25, 0.125)):
                parts.append(x[place] * by)
            x = sum(part for part in parts) + tj.stack(parts) * 0.5
            x = x * 0.5
        return x

    return f, nothing


def walks_through_pairs_in_the_rounds() -> Any:
    def f(x: Any, least: float) -> Any:
        ys = [x, x * 2]
        while ys[0].abs().max() > least:
            ys = [y * by for y, by in zip(ys, [0.5, 0.75])]
        return ys

    return f, nothing


def keeps_the_last_ones() -> Any:
    def f(x: Any, least: float) -> Any:
        last = deque([x, x, x], maxlen=3)
        while x.abs().max() > least:
            x = x * 0.5
            last.append(x)
        return list(last)

    return f, nothing


# Views


def carries_a_view() -> Any:
    def f(x: Any, least: float) -> Any:
        row = x.reshape(1, 3)
        while row.abs().max() > least:
            row = (row * 0.5).reshape(3, 1).T
        return row, row.reshape(3)

    return f, nothing


def writes_through_a_view() -> Any:
    def f(x: Any, least: float) -> Any:
        y = x * 1
        first = y[:2]
        while y.abs().max() > least:
            y = y * 0.5
            first = y[:2]
            first.add_(0.0625 * least)
        first.add_(1)
        return y, first

    return f, nothing


def carries_parts_of_arrays() -> Any:
    def f(x: Any, least: float) -> Any:
        grid = np.zeros((2, 3))
        row, rounds = grid[0], 0
        while rounds < 40 and row[0] < 3 - least:
            row[1:] = row[:-1] + 0.5
            row[0] = row[0] + 0.25
            rounds += 1
        return row, grid, rounds

    return f, nothing


ALIKE = [
    reads_a_variable_after_the_loop, writes_a_variable_after_the_loop, writes_variables_in_the_rounds,
    writes_a_variable_in_a_function_that_rounds_call, writes_a_global_in_the_rounds, writes_slots, writes_a_class,
    calls_a_function_of_its_own, calls_a_function_that_reads_what_goes_round, carries_a_named_tuple,
    makes_objects_in_the_rounds, writes_an_object_that_it_has_made, writes_a_dict_that_it_has_made,
    makes_lists_in_the_rounds, walks_through_pairs_in_the_rounds, keeps_the_last_ones, carries_a_view,
    writes_through_a_view, carries_parts_of_arrays,
]  # fmt: skip


@pytest.mark.parametrize("make", ALIKE, ids=lambda make: make.__name__)
def test_what_is_alike_in_each_round_needs_few_recordings(make: Make) -> None:
    closed(make, records=4)


# Training


def model_and_optimizer() -> Any:
    tj.random.seed(0)
    model = nn.Linear(3, 1)
    return model, optim.SGD(model.parameters(), lr=0.05, momentum=0.5)


def state_of(model: Any, optimizer: Any) -> Any:
    return [
        list(model.parameters()),
        [parameter.grad for parameter in model.parameters()],
        [part for each in optimizer.state.values() for part in each.values()],
    ]


def loss_of(model: Any, x: Any) -> Any:
    return ((model(x.reshape(1, 3)) - 1) ** 2).sum()


def step_and_a_norm_that_is_brought_down() -> Any:
    model, optimizer = model_and_optimizer()

    def f(x: Any, least: float) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model, x)
        loss.backward()
        optimizer.step()
        rounds = 0
        with tj.no_grad():
            while model.weight.abs().max() > 0.25 + least:
                model.weight.mul_(0.875)
                rounds += 1
        return loss, rounds

    return f, lambda: state_of(model, optimizer)


def gradients_that_are_cut_until_they_are_small() -> Any:
    model, optimizer = model_and_optimizer()

    def f(x: Any, least: float) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model, x)
        loss.backward()
        with tj.no_grad():
            while sum((p.grad**2).sum() for p in model.parameters()) > least:
                for p in model.parameters():
                    p.grad.mul_(0.5)
        optimizer.step()
        return loss

    return f, lambda: state_of(model, optimizer)


def steps_until_the_loss_is_small() -> Any:
    model, optimizer = model_and_optimizer()

    def f(x: Any, least: float) -> Any:
        rounds = 0
        x = x * 0.25
        while True:
            optimizer.zero_grad()
            loss = loss_of(model, x)
            loss.backward()
            optimizer.step()
            rounds += 1
            if loss < least or rounds >= 30:
                break
        return loss, rounds

    return f, lambda: state_of(model, optimizer)


def steps_on_leaves_that_are_made_anew() -> Any:
    def f(x: Any, least: float) -> Any:
        w = tj.zeros(3).requires_grad_()
        rounds = 0
        while rounds < 30:
            loss = ((w - x) ** 2).sum()
            loss.backward()
            w = (w - w.grad * 0.25).detach().requires_grad_()
            rounds += 1
            if loss < least:
                break
        return w.detach(), rounds

    return f, nothing


def a_step_along_a_line() -> Any:
    w = tj.tensor([2.0, -1.0, 0.5], requires_grad=True)

    def f(x: Any, least: float) -> Any:
        loss = ((w * x) ** 2).sum()
        (slope,) = tj.autograd.grad(loss, [w])
        rate = 1.0
        with tj.no_grad():
            while (((w - slope * rate) * x) ** 2).sum() > loss - 1e-4 * rate * (
                slope * slope
            ).sum():
                rate = rate * 0.5
            w.sub_(slope * rate)
        return loss, rate

    return f, lambda: w


def a_graph_that_waits_while_a_loop_goes_round() -> Any:
    w = tj.tensor([2.0, -1.0, 0.5], requires_grad=True)

    def f(x: Any, least: float) -> Any:
        w.grad = None
        y = (w * x).sum()
        scale = x.detach()
        while scale.abs().max() > least:
            scale = scale * 0.5
        (y * y + scale.sum()).backward()
        return y, w.grad, scale

    return f, lambda: w.grad


TRAINING = [
    step_and_a_norm_that_is_brought_down, gradients_that_are_cut_until_they_are_small, steps_until_the_loss_is_small,
    steps_on_leaves_that_are_made_anew, a_step_along_a_line, a_graph_that_waits_while_a_loop_goes_round,
]  # fmt: skip


@pytest.mark.parametrize("make", TRAINING, ids=lambda make: make.__name__)
def test_loops_of_training_steps_need_few_recordings(make: Make) -> None:
    closed(make, rounds=30, records=5)


# What is not alike, though it looks so


def a_list_that_others_hold() -> Any:
    def halved(kept: Any, x: Any, least: float) -> Any:
        while x.abs().max() > least:
            x = x * 0.5
            if x.abs().max() < 0.01:
                kept = [*kept]
        kept.append(x)
        return x

    def f(x: Any, least: float) -> Any:
        kept = [x]
        x = halved(kept, x, least)
        return x, kept

    return f, nothing


def a_default_that_goes_round() -> Any:
    def f(x: Any, least: float) -> Any:
        before = lambda y=x: y
        while x.abs().max() > least:
            before = lambda y=x: y
            x = x * 0.5
        return x, before()

    return f, nothing


def numbers_in_a_tuple_and_in_state() -> Any:
    state = SimpleNamespace(n=0)

    def f(x: Any, least: float) -> Any:
        n, pair = 0, (0, 0)
        while x.abs().max() > least:
            x = x * 0.984375
            n += 1
            pair = (n, n + 1)
            state.n = n
        return x, pair

    return f, lambda: state.n


def an_iterator_that_rounds_advance() -> Any:
    def f(x: Any, least: float) -> Any:
        numbers = iter([1.0, 0.5, 0.25, 0.125] * 20)
        while x.abs().max() > least:
            x = x * (0.5 + 0.125 * next(numbers))
        return x, next(numbers)

    return f, nothing


def an_iterator_in_a_list_from_outside() -> Any:
    held: list[Any] = []

    def f(x: Any, least: float) -> Any:
        held.append(iter([1.0, 0.5, 0.25, 0.125] * 20))
        while x.abs().max() > least:
            x = x * (0.5 + 0.125 * next(held[0]))
        held.clear()
        return x

    return f, lambda: len(held)


def a_leaf_that_others_hold() -> Any:
    def stepped(w: Any, x: Any, least: float) -> Any:
        while x.abs().max() > least:
            x = x * 0.5
            if x.abs().max() < 0.01:
                w = w.detach().requires_grad_()
        (w * 2).sum().backward()
        return x

    def f(x: Any, least: float) -> Any:
        w = tj.ones(3).requires_grad_()
        return stepped(w, x, least), w.grad

    return f, nothing


def a_graph_that_holds_what_goes_round() -> Any:
    w = tj.tensor([2.0, -1.0, 0.5], requires_grad=True)

    def f(x: Any, least: float) -> Any:
        w.grad = None
        h, rounds = w * 1, 0
        while x.abs().max() > least:
            x = x.detach() * 0.5
            if rounds == 0:
                h.mul_(x)
            rounds += 1
        (h * h).sum().backward()
        return x, w.grad

    return f, lambda: w.grad


def a_graph_that_some_rounds_free() -> Any:
    w = tj.tensor([2.0, -1.0, 0.5], requires_grad=True)

    def f(x: Any, least: float) -> Any:
        w.grad = None
        h = (w * w).exp() + 1
        while x.abs().max() > least:
            x = x * 0.5
            if 0.01 < x.abs().max() < 0.02:
                h.sum().backward()
        try:
            h.sum().backward()
        except RuntimeError:
            x = x + 1
        return x, w.grad

    return f, lambda: w.grad


def a_pair_that_others_hold() -> Any:
    def inner(pair: Any, x: Any, least: float) -> Any:
        other = (0, x)
        while x.abs().max() > least:
            x = x * 0.5
            if x.abs().max() < 0.1:
                pair, other = other, pair
            if x.abs().max() < 0.01:
                pair = (pair[0] + 1, x)
        return x, pair

    def f(x: Any, least: float) -> Any:
        mine = (5, x * 2)
        x, pair = inner(mine, x, least)
        return x, pair, pair is mine, mine

    return f, nothing


def numbers_inside_that_are_set_back() -> Any:
    def f(x: Any, least: float) -> Any:
        box, row = Box(x), [0, 0.5]
        box.old = 0
        while x.abs().max() > least:
            x = x * 0.75
            box.old += 1
            row[0] = row[0] + box.old
            if box.old > 3:
                box.old = 0
        return x, box.old, row

    return f, nothing


def a_tuple_in_state() -> Any:
    state = SimpleNamespace(pair=(0, None), box=Box(1))

    def f(x: Any, least: float) -> Any:
        n, mine = 0, Box(0)
        state.box = mine
        while x.abs().max() > least:
            x = x * 0.5
            n += 1
            mine.x += 2
            state.pair = (n, x)
        return x, state.pair[0], mine is state.box

    return f, lambda: [state.pair, state.box.x]


def a_ring_from_outside() -> Any:
    ring = [1.0, 2.0, 3.0]

    def f(x: Any, least: float) -> Any:
        while x.abs().max() > least:
            ring.append(ring.pop(0))
            x = x * (0.25 + 0.125 * ring[0])
        return x

    return f, lambda: ring


def a_ring_of_tensors_from_outside() -> Any:
    ring = [tj.ones(3), tj.zeros(3)]

    def f(x: Any, least: float) -> Any:
        while x.abs().max() > least:
            x = x * 0.5 + ring[0] * 0.0
            ring.pop(0)
            ring.append(x)
        return x, ring[0]

    return f, lambda: ring


def a_table_whose_keys_go_and_come() -> Any:
    table = {"a": 1, "b": 2}

    def f(x: Any, least: float) -> Any:
        while x.abs().max() > least:
            x = x * 0.5
            table["a"] = table.pop("a") + len(table)
            if x.abs().max() < 0.01:
                table["b"] += 1
        return x, list(table), sum(table.values())

    return f, lambda: list(table.items())


def a_set_from_outside() -> Any:
    names = {"a"}

    def f(x: Any, least: float) -> Any:
        while x.abs().max() > least:
            x = x * 0.5
            names.add("b")
            names.discard("a" if x.abs().max() < 0.01 else "b")
        return x, len(names)

    return f, lambda: sorted(names)


def a_list_from_outside_that_grows() -> Any:
    log: list[Any] = []

    def f(x: Any, least: float) -> Any:
        log.clear()
        while x.abs().max() > least:
            x = x * 0.5
            log.append(x.sum())
        return x, len(log)

    return f, lambda: log


UNLIKE = [
    a_pair_that_others_hold, numbers_inside_that_are_set_back, a_tuple_in_state, a_ring_from_outside,
    a_ring_of_tensors_from_outside, a_table_whose_keys_go_and_come, a_set_from_outside, a_list_from_outside_that_grows,
    a_list_that_others_hold, a_default_that_goes_round, numbers_in_a_tuple_and_in_state, an_iterator_that_rounds_advance,
    an_iterator_in_a_list_from_outside, a_leaf_that_others_hold, a_graph_that_holds_what_goes_round,
    a_graph_that_some_rounds_free,
]  # fmt: skip


@pytest.mark.parametrize("make", UNLIKE, ids=lambda make: make.__name__)
def test_what_is_not_alike_is_what_it_is_in_python(make: Make) -> None:
    (ours, our_world), (theirs, their_world) = make(), make()
    f, rng = tj.compile(ours), random.Random(1)
    for _ in range(40):
        x, least = tj.tensor([rng.uniform(1, 4), -2.0, 3.0]), 10 ** rng.uniform(-4, 0)
        assert bits(f(x, least)) == bits(theirs(x, least))
        assert bits(our_world()) == bits(their_world())


# Loops that stay open


def line_of(function: Any, text: str) -> str:
    lines, first = inspect.getsourcelines(function)
    return f"test_heads.py:{first + next(k for k, line in enumerate(lines) if text in line)}"


def carries_a_gradient() -> Any:
    w = tj.tensor([0.5, 0.25, 0.75], requires_grad=True)

    def f(x: Any, least: float) -> Any:
        w.grad = None
        h = x * w
        while h.abs().max() > least:
            h = h * w
        h.sum().backward()
        return h, w.grad

    return f, lambda: w.grad


def gathers() -> Any:
    def f(x: Any, least: float) -> Any:
        found = []
        while x.abs().max() > least:
            x = x * 0.5
            found.append(x)
        return found

    return f, nothing


def prints() -> Any:
    def f(x: Any, least: float) -> Any:
        while x.abs().max() > least:
            x = x * 0.5
            print(x)
        return x

    return f, nothing


def holds_a_set() -> Any:
    def f(x: Any, least: float) -> Any:
        seen = {"a"}
        while x.abs().max() > least:
            x = x * 0.5
        return x, len(seen)

    return f, nothing


OPEN = [
    (carries_a_gradient, "h carries a gradient from round to round: leave the rounds to tj.no_grad()"),
    (gathers, "found is another from round to round in kind, dtype, shape, length"),
    (prints, "a round prints, or adds to what is outside of the function"),
    (holds_a_set, "seen holds a set, which is not followed from round to round"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "why"), OPEN, ids=lambda each: getattr(each, "__name__", ""))
def test_a_loop_that_stays_open_says_why(make: Make, why: str, capsys: Any) -> None:
    (ours, _), (theirs, _) = make(), make()
    f = tj.compile(ours)
    for k in range(12):
        x, least = tj.tensor([2.0, -2.0, 3.0]), 0.75**k * 0.01
        assert bits(f(x, least)) == bits(theirs(x, least))
    where = line_of(ours, "while")
    found = [miss for miss in tj.explain(f).misses if f"{where}: " in miss]
    assert any(f"the loop at {where} is not closed: {why}" in miss for miss in found), found


def test_recordings_of_an_open_loop_are_bounded() -> None:
    (ours, _), (theirs, _) = carries_a_gradient(), carries_a_gradient()
    f = tj.compile(ours)
    for k in range(200):
        x, least = tj.tensor([2.0, -2.0, 3.0]), 2.0 ** -(k % 90)
        assert bits(f(x, least)) == bits(theirs(x, least))
    assert f.replays.tree.nodes <= tree.MOST_NODES
