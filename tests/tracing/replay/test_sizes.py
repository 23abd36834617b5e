"""Sizes that change from call to call: one recording serves all of them, with the results that each would have alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracejit as tj
from tests.tracing.replay.test_threads import in_threads
from tracejit import nn, optim
from tracejit.nn import functional as F

SIZES = [4, 6, 9, 5, 17, 300, 1, 0, 4, 2, 33, 6, 9]
MOST_RECORDINGS = 5
"""For the first size, any size, and what is different of 2 elements, of 1, and of none."""
WEIGHT = tj.tensor(np.linspace(-1, 1, 12).reshape(4, 3).astype(np.float32))
PARAMETER = tj.tensor(np.linspace(-1, 1, 12).reshape(4, 3).astype(np.float32), requires_grad=True)


def rows(count: int) -> tj.Tensor:
    return tj.tensor(np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32))


def _written(x):
    y = x.copy()
    y[1:-1] = 0
    y[0] = y[-1]
    return y


def _updated(x):
    x += 1
    x.mul_(2)
    return x.sum()


def _looped(x):
    total = x.sum()
    while total < 50:
        total = total + x.shape[0] + 1
    return total


def _standardised(x):
    return (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-5)


OPEN: dict[str, Callable[[Any], Any]] = {
    "pointwise": lambda x: tj.tanh(x) * 2 + x,
    "broadcast": lambda x: x + x[0] + x[:, :1],
    "matmul": lambda x: (x @ WEIGHT, x.T @ x, x @ x.T, x @ WEIGHT[:, 0]),
    "sums": lambda x: (x.sum(), x.sum(axis=0), x.sum(axis=1, keepdims=True)),
    "means": lambda x: (x.mean(), x.mean(axis=0), tj.var(x, axis=0, correction=1), tj.std(x)),
    "extremes": lambda x: (x.max(axis=0), tj.argmax(x, axis=0), tj.argmin(x)),
    "softmax": lambda x: (tj.softmax(x, axis=0), tj.softmax(x, axis=1), tj.logsumexp(x)),
    "standardised": _standardised,
    "layer norm": lambda x: F.layer_norm(x, (4,)),
    "reshape": lambda x: (x.reshape(-1), x.reshape(x.shape[0] * 2, -1), x.reshape(2, -1, 2)),
    "reshape back": lambda x: (x.reshape(-1) * 2).reshape(x.shape),
    "shape and one": lambda x: x.reshape((*x.shape, 1)).sum(axis=-1),
    "axes": lambda x: (x.T, tj.expand_dims(x, 1) * 2, tj.moveaxis(x[None], 0, 2)),
    "squeeze": lambda x: tj.squeeze(tj.expand_dims(x, 1), 1),
    "broadcast to": lambda x: tj.broadcast_to(x[0], x.shape) + x,
    "slices": lambda x: (x[1:] - x[:-1], x[::2], x[::-1], x[-1], x[:, 0]),
    "half": lambda x: x[: x.shape[0] // 2],
    "item": lambda x: (x[-1, -1].item(), float(x.sum())),
    "pairs": lambda x: (x[None] * x[:, None]).sum(axis=2),
    "joined": lambda x: (tj.concat([x, x * 2]), tj.stack([x, x * 2]), tj.split(x, [1])),
    "padded": lambda x: (tj.pad(x, 1), tj.roll(x, 1, axis=0), tj.flip(x, 0), tj.tile(x, (2, 1))),
    "made": lambda x: (tj.zeros(x.shape) + x, tj.full((x.shape[0],), 3.0), tj.ones_like(x)),
    "counted": lambda x: (tj.arange(x.shape[0]) * 2, tj.eye(x.shape[0]), tj.arange(len(x))),
    "chosen": lambda x: (tj.where(x > 0, x, 0.0), tj.clip(x, -0.5, 0.5), tj.tril(x)),
    "ordered": lambda x: (tj.cumulative_sum(x, axis=0), tj.sort(x, axis=0)),
    "gathered": lambda x: (tj.take(x, tj.tensor([0, 1, 0]), axis=0), x[tj.tensor([-1, 0])]),
    "size as a number": lambda x: (x / x.shape[0], x.sum(axis=0) / len(x) + x.size),
    "size returned": lambda x: (x.shape, x.size, len(x), x.shape[0] * 2 + 1, x.ndim, x.nbytes),
    "size compared": lambda x: x * 2 if x.shape[0] > 10 else x * 3,
    "shapes compared": lambda x: x * (x.shape == (4, 4)) + (x.shape == x.T.shape),
    "unstacked": lambda x: tj.unstack(x, axis=1),
    "einsum": lambda x: (tj.einsum("ij,jk->ik", x, WEIGHT), tj.einsum("ij,kj->ik", x, x)),
    "products": lambda x: (tj.tensordot(x, WEIGHT, axes=1), tj.outer(x[:, 0], x[:, 1])),
    "cross entropy": lambda x: F.cross_entropy(x, tj.argmax(x, axis=1)),
    "drawn": lambda x: tj.random.Generator(0).random(x.shape),
    "gradient of a weight": lambda x: tj.grad(lambda w: ((x @ w) ** 2).mean())(WEIGHT),
    "gradient": lambda x: tj.grad(lambda y: (tj.tanh(y) * y).sum())(x),
    "gradient of slices": lambda x: tj.grad(lambda y: (y[1:] * y[:-1]).sum())(x),
    "gradient of softmax": lambda x: tj.grad(lambda y: (tj.softmax(y, axis=0) * y).mean())(x),
    "gradient of a maximum": lambda x: tj.grad(lambda y: y.max(axis=0).sum())(x),
    "gradient of a join": lambda x: tj.grad(lambda y: (tj.concat([y, y * 2]) ** 2).sum())(x),
    "on the tape": lambda x: (x @ PARAMETER).mean(),
    "written": _written,
    "updated": _updated,
    "looped": _looped,
}  # fmt: skip
"""Functions of the rows of a matrix, however many these are."""


def seen(value: Any) -> Any:
    """All of a result that can be observed."""
    if isinstance(value, tuple | list):
        return [seen(part) for part in value]
    if isinstance(value, tj.Tensor):
        array = value.detach().numpy()
        kinds = {type(extent) for extent in (*value.shape, *value.strides)}
        base = None if value.base is None else seen(value.base)
        bits = array.dtype, array.shape, array.strides, array.tobytes()
        return (*bits, kinds <= {int}, value.requires_grad, base)
    return type(value), value


def outcome(f: Callable[[Any], Any], x: tj.Tensor) -> Any:
    """Results and effects, the gradients that flow back included; or the error."""
    PARAMETER.grad = None
    try:
        result = f(x)
    except (IndexError, ValueError) as error:
        return type(error), str(error).partition(": ")[2]
    if isinstance(result, tj.Tensor) and result.requires_grad:
        result.backward()
    return seen(result), seen(x), seen(PARAMETER.grad)


@pytest.mark.parametrize("name", OPEN)
def test_any_size_is_replayed_with_the_same_bits(name: str) -> None:
    f = OPEN[name]
    compiled = tj.compile(f)
    for size in SIZES:
        assert outcome(compiled, rows(size)) == outcome(f, rows(size)), size
    errors = sum(isinstance(outcome(f, rows(size))[0], type) for size in SIZES)
    assert compiled.calls["record"] - errors <= MOST_RECORDINGS, compiled.replays.misses.texts


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x @ WEIGHT + tj.ones(3),
        lambda x: x.reshape(-1) * 2,
        lambda x: (x[:, None] * x[None]).sum(axis=2),
        lambda x: (x[:, 1:], (x * 2).mean(axis=1, keepdims=True) + x),
        lambda x: tj.grad(lambda w: ((x @ w + tj.ones(3)) ** 2).sum())(WEIGHT),
    ],
)
def test_what_holds_for_all_sizes_is_not_asked(f: Callable[[Any], Any]) -> None:
    compiled = tj.compile(f)
    for size in (4, 6, 1, 9):
        assert seen(compiled(rows(size))) == seen(f(rows(size)))
    assert compiled.calls["record"] == 2


def test_a_size_that_is_counted_through_has_a_recording_of_its_own_and_says_so() -> None:
    @tj.compile
    def f(x):
        return [row.sum() for row in x]

    for size in (2, 3, 4, 5, 4, 3):
        assert len(f(rows(size))) == size
    assert f.calls == {"replay": 2, "record": 4, "eager": 0}
    assert any("the size decides what is done" in miss for miss in tj.explain(f).misses)


# Arguments of other kinds


def test_batches_that_are_parts_of_one_tensor() -> None:
    data, f = rows(100), lambda x: (tj.softmax(x, axis=0), x.mean(), x[1:].T)
    compiled = tj.compile(f)
    for begin, end in [(0, 8), (8, 16), (16, 21), (21, 41), (3, 100), (50, 58)]:
        assert seen(compiled(data[begin:end])) == seen(f(data[begin:end]))
    assert compiled.calls["record"] == 2


def test_arrays_of_any_size() -> None:
    def smooth(u):
        v = u.copy()
        v[1:-1, 1:-1] = 0.25 * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2])
        u += 1
        return v, v.shape, v.sum(axis=0) / len(v), np.zeros((u.shape[0], 2)), u

    compiled = tj.compile(smooth)
    for shape in [(4, 4), (5, 7), (6, 6), (40, 30), (7, 5)]:
        given = np.random.default_rng(0).normal(size=shape)
        expected, mine = given.copy(), given.copy()
        *results, same = compiled(mine)
        assert same is mine
        for found, wanted in zip((*results, mine), smooth(expected)):
            np.testing.assert_allclose(found, wanted, rtol=1e-12)
            assert type(found) is type(wanted)
    assert compiled.calls["record"] == 2


def test_equal_sizes_of_two_arguments_count_as_one_and_others_do_not() -> None:
    f = lambda x, y: x + y
    compiled = tj.compile(f)
    for n, m in [(4, 4), (5, 5), (6, 6), (1, 7), (7, 1), (8, 8), (9, 1)]:
        x, y = rows(n), rows(m)
        assert seen(compiled(x, y)) == seen(f(x, y))
    assert compiled.calls["replay"] >= 3
    with pytest.raises(tj.ShapeError, match=r"f32\[3,4\], f32\[2,4\]"):
        compiled(rows(3), rows(2))


class Model:
    """Training with all that depends on the size of a batch."""

    def __init__(self) -> None:
        tj.random.seed(0)
        self.net = nn.Sequential(
            nn.Linear(4, 16), nn.LayerNorm(16), nn.Dropout(0.2), nn.GELU(), nn.BatchNorm1d(16), nn.Linear(16, 3)
        )  # fmt: skip
        self.optimizer = optim.Adam(self.net.parameters(), lr=1e-2)
        self.rows = 0

    def step(self, x: tj.Tensor, y: tj.Tensor) -> tuple[Any, Any]:
        self.optimizer.zero_grad()
        logits = self.net(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        self.optimizer.step()
        self.rows += x.shape[0]
        return loss.detach(), (tj.argmax(logits, axis=1) == y).sum()

    def state(self) -> Any:
        return (
            seen([*self.net.state_dict().values()]),
            self.rows,
            tj.random.default_generator.state.tolist(),
        )


def test_a_training_step_is_recorded_once_for_batches_of_all_sizes() -> None:
    data, labels = rows(64), tj.tensor(np.arange(64) % 3)
    sizes = [8, 5, 13, 9, 21, 8]
    outcomes = []
    for compile in (lambda f: f, tj.compile):
        model = Model()
        step, begin, found = compile(model.step), 0, []
        for size in sizes * 2:
            begin = 0 if begin + size > 64 else begin
            part = slice(begin, begin + size)
            found.append((seen(step(data[part], labels[part])), model.state()))
            begin += size
        outcomes.append(found)
    assert outcomes[0] == outcomes[1]
    assert step.calls == {"replay": 10, "record": 2, "eager": 0}


def test_labels_are_checked_at_every_size() -> None:
    @tj.compile
    def f(x, y):
        return F.cross_entropy(x, y)

    for size in (3, 4, 5, 6):
        f(rows(size), tj.tensor(np.arange(size) % 4))
    replays = f.calls["replay"]
    with pytest.raises(IndexError, match="7"):
        f(rows(7), tj.tensor([0, 1, 2, 3, 0, 1, 7]))
    assert f(rows(7), tj.tensor([0, 1, 2, 3, 0, 1, 2])).shape == ()
    assert f.calls["replay"] > replays


# What stands for an argument is not seen


def test_an_argument_is_itself_in_results_and_state() -> None:
    state: dict[str, Any] = {}

    class Box:
        pass

    box = Box()

    def f(x, same):
        state["x"], box.x = x, x
        inner = [x, (x, x[1:])]
        return x, inner, x is same, x[1:], x.detach()

    compiled = tj.compile(f)
    for size in (3, 4, 5):
        x = rows(size)
        found, inner, is_same, part, _ = compiled(x, x)
        assert is_same
        assert found is x is state["x"] is box.x is inner[0] is inner[1][0]
        assert part.base is x
        assert inner[1][1].base is x
        part[0] = 7
        assert x[1].tolist() == [7.0] * 4
        assert {type(n) for n in (*part.shape, *part.strides, *x.shape)} == {int}
    assert compiled.calls["record"] == 2


def test_a_call_that_ends_early_leaves_no_open_size_behind() -> None:
    kept: list[Any] = []

    def f(x, fails):
        kept.append(x * 2)
        kept.append((x.shape, x[1:]))
        if fails:
            raise KeyError("early")
        return x

    compiled = tj.compile(f)
    for size, fails in [(3, False), (4, True), (5, True), (6, False)]:
        x = rows(size)
        try:
            compiled(x, fails)
        except KeyError:
            assert fails
        product, (shape, part) = kept[-2:]
        assert shape == (size, 4)
        assert seen(product) == seen(rows(size) * 2)
        assert seen(part)[:-1] == seen(rows(size)[1:])[:-1]
        assert part.base is x


def test_code_that_is_not_recorded_gets_numbers() -> None:
    found: list[Any] = []

    def look(x):
        found.append((x.shape, type(x.shape[0]), x.numpy().shape))

    def f(x):
        y = x * 2
        exec("look(y)", {"look": look, "y": y})
        return y

    compiled = tj.compile(f)
    for size in (3, 4, 5):
        assert seen(compiled(rows(size))) == seen(rows(size) * 2)
        assert found[-1] == ((size, 4), int, (size, 4))


def test_threads_that_share_arguments_see_their_own_sizes() -> None:
    data, f = rows(40), lambda x: (tj.softmax(x, axis=0), x.shape, x[1:].mean())
    parts = [data[:size] for size in (5, 9, 17, 33)]
    expected = [seen(f(part)) for part in parts]
    wrong: list[Any] = []

    def work(seed: int) -> None:
        for place in np.random.default_rng(seed).integers(0, 4, 40):
            part = parts[place]
            if {type(n) for n in part.shape} != {int} or seen(part * 1)[1] != part.shape:
                wrong.append(part.shape)
            if seen(compiled(part)) != expected[place]:
                wrong.append(place)

    for _ in range(5):
        compiled = tj.compile(f)
        in_threads(work)
    assert not wrong


# Options, and what is told


def test_dynamic_leaves_sizes_open_from_the_first_call_on_or_never() -> None:
    calls = {}
    for dynamic in (True, None, False):
        f = tj.compile(lambda x: x * 2 + x.sum(), dynamic=dynamic)
        for size in (3, 4, 5, 6):
            assert f(rows(size)).shape == (size, 4)
        calls[dynamic] = f.calls["record"]
    assert calls == {True: 1, None: 2, False: 4}


def test_explanations_name_the_size_and_the_line_that_asked() -> None:
    @tj.compile
    def f(x):
        if x.shape[0] > 10:
            return x * 2
        return x * 3

    for size in (3, 4, 5, 20):
        f(rows(size))
    found = tj.explain(f)
    first, second = found.misses
    assert "argument x is f32[3,4]; now f32[4,4]: a size that changes is left open" in first
    line = f.function.__code__.co_firstlineno + 2
    asked = f"test_sizes.py:{line}: argument x.shape[0] <= 10; now argument x.shape[0] is 20"
    assert second.startswith(asked)
    assert any("argument x is f32[n0,4]" in guard for guard in found.guards)


def test_the_programs_of_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracejit.tracing.programs.MOST_SIZES", 3)
    f = tj.compile(lambda x: x * 2)
    for size in (3, 4, 5, 6, 7, 8, 3, 5, 4):
        assert f(rows(size)).tolist() == (rows(size) * 2).tolist()
    (program,) = f.programs._sized.values()
    assert len(program._runs) == 3


def test_several_ways_through_decisions_at_any_size() -> None:
    f = lambda x: x * 2 if x.sum() > 0 else x[1:] - x.mean()
    compiled = tj.compile(f)
    for size in (4, 5, 6, 7, 8, 9, 10, 11, 12, 13):
        for sign in (1, -1):
            x = tj.abs(rows(size)) * sign
            assert seen(compiled(x)) == seen(f(x))
    assert compiled.calls["record"] == 4, "two ways for the first size, and for any"


# Random programs

UNARY = [
    lambda x, n: tj.tanh(x), lambda x, n: x[1:], lambda x, n: x[:-1], lambda x, n: x[::2], lambda x, n: x[::-1],
    lambda x, n: x.reshape(-1), lambda x, n: x.T, lambda x, n: x - x.mean(axis=0), lambda x, n: x / n,
    lambda x, n: tj.concat([x, x]), lambda x, n: tj.pad(x, 1), lambda x, n: tj.roll(x, n // 2, axis=0),
    lambda x, n: x[: n // 2], lambda x, n: x.sum(axis=-1, keepdims=True), lambda x, n: tj.expand_dims(x, 0),
    lambda x, n: tj.cumulative_sum(x, axis=0), lambda x, n: x if n % 3 else x * 2, lambda x, n: tj.softmax(x, axis=0),
    lambda x, n: x.reshape((1, *x.shape)), lambda x, n: x[tj.argmax(x.reshape(-1)) % x.shape[0]],
    lambda x, n: tj.zeros(x.shape) + x, lambda x, n: tj.broadcast_to(x, (2, *x.shape)), lambda x, n: x * x.size,
]  # fmt: skip


@given(
    st.lists(st.integers(0, len(UNARY) - 1), min_size=1, max_size=6),
    st.lists(st.integers(0, 9), min_size=4, max_size=8),
)
def test_random_programs_at_random_sizes(program: list[int], sizes: list[int]) -> None:
    def f(x):
        n = x.shape[0]
        for place in program:
            if x.ndim > 4 or x.size > 4000:
                return x
            x = UNARY[place](x, n)
        return x, x.shape

    compiled = tj.compile(f, dynamic=True)
    for size in sizes:
        assert outcome(compiled, rows(size)) == outcome(f, rows(size)), size
