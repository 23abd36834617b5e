"""`verify=N` compares replays, their results and effects, with what Python does; Python's outcome stands."""

from __future__ import annotations

import io
import sys
import warnings
from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.tracing.torture.harness import attempt, compare, load
from tracejit.tracing.replay.picture import first_difference, picture, place_of_difference
from tracejit.tracing.replay.sources import constant
from tracejit.tracing.replay.touched import Place, kept

FILE = "test_verify.py"


def vector(*values: float) -> tj.Tensor:
    return tj.tensor(values or (1.0, -2.0, 3.0))


class Box:
    n = 0

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.names = {"a": 1}
        self.weight = vector()
        self.last: Any = None


def step(box: Box, x: tj.Tensor) -> tj.Tensor:
    y = x * box.weight
    box.weight.sub_(y * 0.1)
    box.n += 1
    box.log.append(box.n)
    box.names["last"] = box.n
    box.last = y
    return y.sum()


def test_replays_are_taken_back_before_python_runs():
    compiled = tj.compile(step, verify=2)
    found, expected = Box(), Box()
    for k in range(8):
        a, b = compiled(found, vector() + k), step(expected, vector() + k)
        assert a.numpy().tobytes() == b.numpy().tobytes()
        assert first_difference(picture({"": expected}), picture({"": found})) is None
    calls = tj.explain(compiled).calls
    assert calls == {"replay": calls["replay"], "record": 4 - calls["replay"], "eager": 4}
    assert calls["replay"]
    assert tj.explain(compiled).divergences == ()


def test_other_calls_are_replayed():
    f = tj.compile(lambda x: x * 2, verify=3)
    for _ in range(6):
        f(vector())
    assert tj.explain(f).calls == {"replay": 3, "record": 1, "eager": 2}


def test_every_call_compared_still_leaves_one_to_record():
    f = tj.compile(lambda x: x * 2, verify=1)
    for _ in range(5):
        f(vector())
    assert tj.explain(f).calls == {"replay": 0, "record": 1, "eager": 4}
    assert tj.explain(f).tier == 2


def test_training_is_compared_and_agrees():
    def world() -> tuple[Any, Any]:
        tj.random.seed(0)
        model = tj.nn.Sequential(tj.nn.Linear(3, 4), tj.nn.Dropout(0.5), tj.nn.Linear(4, 2))
        return model, tj.optim.Adam(model.parameters(), lr=0.01)

    def train(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = tj.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    compiled = tj.compile(train, verify=2)
    found, expected = [], []
    for run, losses in ((compiled, found), (train, expected)):
        model, optimizer = world()
        for _ in range(8):
            losses.append(float(run(model, optimizer, tj.ones((5, 3)), tj.ones((5, 2)))))
    assert found == expected
    assert tj.explain(compiled).divergences == ()
    assert tj.explain(compiled).calls["eager"] == 4
    assert tj.explain(compiled).calls["replay"]


def test_what_is_printed_is_printed_once(capsys: pytest.CaptureFixture[str]):
    @tj.compile(verify=2)
    def f(x):
        print("called")
        return x + 1

    for _ in range(6):
        f(vector())
    assert capsys.readouterr().out == "called\n" * 6


def test_numpy_arrays_that_are_written_are_put_back():
    @tj.compile(verify=2)
    def f(a):
        a *= 2
        return a + 1

    a = np.ones(3)
    for _ in range(6):
        f(a)
    np.testing.assert_array_equal(a, np.full(3, 64.0))
    assert tj.explain(f).divergences == ()


# Replays that are wrong


class Wrong:
    """A tree whose replays do something else besides, or give something else."""

    def __init__(self, tree: Any, change: Any) -> None:
        self._tree = tree
        self._change = change

    def replay(self, args: Any, kwargs: Any) -> Any:
        result = self._tree.replay(args, kwargs)
        return self._change(result, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tree, name)


def other_result(result: Any, box: Box, x: Any) -> Any:
    return result + 1


def other_item(result: Any, box: Box, x: Any) -> Any:
    box.log[-1] = "wrong"
    return result


def other_attribute(result: Any, box: Box, x: Any) -> Any:
    box.n += 1
    return result


def other_memory(result: Any, box: Box, x: Any) -> Any:
    box.weight.add_(1)
    return result


def other_key(result: Any, box: Box, x: Any) -> Any:
    box.names["last"] = True
    return result


def one_object_less(result: Any, box: Box, x: Any) -> Any:
    box.last = box.last * 1
    box.last.mul_(3)
    return result


@pytest.mark.parametrize(
    ("change", "line", "what"),
    [
        (other_result, 7, "the result"),
        (other_item, 0, "argument 0.log"),
        (other_attribute, 0, "argument 0.n"),
        (other_memory, 2, "argument 0.weight"),
        (other_key, 0, "argument 0.names['last']"),
        (one_object_less, 1, "argument 0.last"),
    ],
)
def test_a_replay_that_is_wrong_is_told_with_its_line(change: Any, line: int, what: str):
    compiled = tj.compile(step, verify=4)
    found, expected = Box(), Box()
    for k in range(3):
        compiled(found, vector() + k)
        step(expected, vector() + k)
    compiled.replays.tree = Wrong(compiled.replays.tree, change)
    with pytest.warns(RuntimeWarning, match="differs between eager and replayed execution") as seen:
        result = compiled(found, vector())
    text = str(seen[0].message)
    assert what in text
    first = step.__code__.co_firstlineno
    if line:
        assert text.startswith(f"{FILE}:{first + line}: ")
    else:
        assert text.startswith(f"{FILE}:")
    assert tj.explain(compiled).divergences == (text,)
    assert float(result) == float(step(expected, vector()))
    if change is not other_key:
        assert first_difference(picture({"": expected}), picture({"": found})) is None


def test_of_arrays_that_differ_the_first_element_is_told():
    rows = np.array([[1.0, np.nan, 0.0], [2.0, 0.0, 5.0]])
    signed = rows.copy()
    signed[1, 1] = -0.0
    for make in (np.array, tj.tensor):
        pair = first_difference(picture({"x": make(rows)}), picture({"x": make(signed)}))
        assert pair is not None
        assert place_of_difference(*pair) == (1, 1)
    assert place_of_difference(*picture({"x": rows, "y": rows[:1]})) is None
    assert place_of_difference(*picture({"x": rows, "y": 1.0})) is None


AROUND = np.arange(8, dtype="f4")
WRAPPED = tj.asarray(AROUND[5::-2], copy=False)


def scale_wrapped(x: tj.Tensor) -> None:
    WRAPPED.mul_(x)


@pytest.mark.parametrize("at", [1, 3, 5])
def test_memory_that_lies_backwards_and_apart_is_compared_as_it_lies(at: int):
    compiled = tj.compile(scale_wrapped, verify=2)
    for _ in range(5):
        AROUND[6:] += 1  # is not the tensor's
        compiled(vector(1.0))
    assert tj.explain(compiled).divergences == ()

    def change(result: Any, x: Any) -> Any:
        AROUND[at] += 1
        return result

    compiled.replays.tree = Wrong(compiled.replays.tree, change)
    with pytest.warns(RuntimeWarning, match=r"the memory of global WRAPPED\[\d\] differs") as seen:
        compiled(vector(1.0))
    assert f"WRAPPED[{(5 - at) // 2}] differs" in str(seen[0].message)
    assert str(seen[0].message).endswith(f": {float(at)}, not {float(at + 1)}")
    np.testing.assert_array_equal(AROUND[:6], np.arange(6))


@pytest.mark.parametrize("stream", [None, io.StringIO, lambda: io.TextIOWrapper(io.BytesIO())])
@pytest.mark.parametrize("is_wrong", [False, True])
def test_what_is_printed_is_compared(is_wrong: bool, stream: Any, monkeypatch: pytest.MonkeyPatch):
    def f(x: Any) -> Any:
        print("sum", x.sum(), end=";\n")
        print(f"{float(x[0]):.2f}")
        return x + 1

    def more(result: Any, x: Any) -> Any:
        print("more")
        return result

    if stream is not None:
        monkeypatch.setattr(sys, "stdout", stream())
    compiled = tj.compile(f, verify=4)
    for k in range(3):
        compiled(vector() * k)
    assert tj.explain(compiled).calls["replay"]
    if is_wrong:
        compiled.replays.tree = Wrong(compiled.replays.tree, more)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        compiled(vector())
    assert ["what is printed differs" in str(each.message) for each in seen] == [True] * is_wrong


def test_a_replay_that_fails_is_told():
    def fail(result: Any, *args: Any) -> Any:
        raise ValueError("broken")

    compiled = tj.compile(step, verify=4)
    box = Box()
    for _ in range(3):
        compiled(box, vector())
    compiled.replays.tree = Wrong(compiled.replays.tree, fail)
    with pytest.warns(RuntimeWarning, match="the replay failed: ValueError: broken"):
        compiled(box, vector())
    assert box.n == 4


def test_an_exception_of_pythons_is_told():
    x = vector()

    @tj.compile(verify=4)
    def f(x):
        return x + 1

    for _ in range(3):
        f(x)
    f.replays.tree = Wrong(f.replays.tree, lambda result, *args: result)
    object.__setattr__(f, "function", lambda x: 1 / 0)
    with (
        pytest.warns(RuntimeWarning, match="Python raised ZeroDivisionError"),
        pytest.raises(ZeroDivisionError),
    ):
        f(x)


# Taking back


def test_everything_that_is_written_is_put_back_in_place():
    class Slots:
        __slots__ = ("a", "b")

    class Owner:
        kind = 1

    slots, box, names = Slots(), SimpleNamespace(x=1), {"a": 1, "b": 2}
    slots.a = 1
    items, queue, some = [1, 2], deque([1], maxlen=3), {1}
    array, tensor = np.arange(3), vector()
    empty: Any = None

    def closure() -> Any:
        return empty

    cell = closure.__closure__[0]  # type: ignore[index]
    places = [
        ("attribute", slots, "a"), ("attribute", slots, "b"), ("attribute", box, "x"), ("attribute", box, "y"),
        ("class attribute", Owner, "kind"), ("class attribute", Owner, "more"), ("entry", names, "a"), ("entry", names, "c"),
        ("content", items, None), ("content", queue, None), ("content", some, None), ("array", array, None),
        ("memory", tensor.storage, None), ("cell", cell, None),
    ]  # fmt: skip
    found = [(Place(kind, constant(target, ""), name, ""), target) for kind, target, name in places]
    everything = {str(at): target for at, target in enumerate([slots, box, names, items, queue])}
    everything |= {"some": some, "array": array, "tensor": tensor, "closure": closure}
    before = picture(everything)
    version = tensor.storage.version
    undo = kept(found)
    slots.a, slots.b, box.x, box.y = 2, 2, 2, 2
    Owner.kind, Owner.more = 2, 2  # type: ignore[attr-defined]
    names["a"], names["c"] = 2, 2
    items[:] = [3]
    queue.extend([2, 3, 4])
    some.add(2)
    array += 1
    tensor.add_(1)
    empty = 5
    assert first_difference(before, picture(everything)) is not None
    undo()
    assert first_difference(before, picture(everything)) is None
    assert (Owner.kind, hasattr(Owner, "more")) == (1, False)
    assert tensor.storage.version == version


# The whole suite


@pytest.mark.parametrize("name", list(load())[::4])
def test_cases_of_the_torture_suite_agree(name: str):
    """Every second call compared: Python's outcome stands, and nothing diverges."""
    case = load()[name]
    if case.known:
        pytest.skip(case.known)
    compiled: list[Any] = []

    def compile(f: Any) -> Any:
        compiled.append(attempt(tj.compile, f, verify=2))
        return compiled[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = compare(case, compile)
    assert not found.difference, found.difference
    divergences = [tj.explain(f).divergences for f in compiled if hasattr(f, "replays")]
    assert not any(divergences), divergences
