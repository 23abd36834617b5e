"""Calls that decide are machine code on all of their ways: the compiled function's bits, exceptions and state, and no Python."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.standalone.test_entry import DECIDING, exported, taken
from tests.standalone.test_nested import bits
from tests.standalone.test_quick import CASES
from tracejit import nn, optim
from tracejit.runtime.cpu.native import numbers
from tracejit.runtime.cpu.native.install import installed
from tracejit.standalone import settling

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")

F32 = np.float32
X = np.linspace(-2, 2, 12, dtype=F32).reshape(3, 4)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "PATIENCE", 1)


def outcome(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return "gave", bits(function(*args))
    except Exception as error:
        return type(error).__name__, error.args


def nested() -> Callable[..., Any]:
    def f(x: Any, n: int, rate: float) -> Any:
        low, high = float(x.min()), float(x.max())
        if low * rate < -3:
            if n > 2 or high > 5:
                return x * n, low
            raise ValueError("low", 3, 0.5, None)
        if bool((x == 1).any()):
            return {"one": [x + rate, n]}
        if int(x.argmax()) % 2 == 1:
            return x.sum() + high
        return n / 2, high * 2 if high > 0 else -high

    return f


NESTED = [
    (X * F32(scale) + F32(shift), n, rate)
    for scale in (0, 1, 3)
    for shift in (-3, 0, 1, 2)
    for n in (1, 3)
    for rate in (0.5, 2.0)
]


def training() -> Callable[..., Any]:
    tj.random.seed(3)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    best = {"loss": 1e9, "weight": tj.zeros((3, 4)), "calls": 0}

    def f(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        best["calls"] += 1
        norm = sum((each.grad**2).sum() for each in model.parameters()) ** 0.5
        if not tj.isfinite(norm):
            raise ArithmeticError("a gradient that is not finite")
        if norm > 0.5:
            for each in model.parameters():
                each.grad.mul_(0.5 / norm)
        optimizer.step()
        if loss.item() < best["loss"]:
            best["loss"] = loss.item()
            best["weight"].copy_(model[0].weight.detach())
        return loss, norm, best["loss"], best["calls"], best["weight"] * 1, model[1].running_var * 1

    return f


TRAINING = [
    (X * F32(scale) + F32(shift),) for scale in (1, 0.1, np.nan, 5, 0.01, 1) for shift in (0, 1)
]


def raising() -> Callable[..., Any]:
    """An exception after the state has changed."""
    total = np.zeros(4, F32)
    count = 0

    def f(x: Any) -> Any:
        nonlocal total, count
        total = total + x
        count += 1
        if np.sum(x) > 3:
            raise RuntimeError("too much")
        if count > 6:
            raise KeyError(7)
        return total * 1, count

    return f


RAISING = [(np.full(4, n, F32),) for n in (0, 1, -1, 0.5, 2, 0, 1, 1)]
FUNCTIONS: dict[str, tuple[Callable[[], Any], list[tuple[Any, ...]], bool]] = {
    "nested": (nested, NESTED, True),
    "a training step": (training, TRAINING, True),
    "exceptions": (raising, RAISING, False),
}
"""By name: what makes a function with a state of its own, calls, and whether these are of tensors."""


def calls_of(name: str) -> list[tuple[Any, ...]]:
    _, calls, are_tensors = FUNCTIONS[name]
    convert = tj.tensor if are_tensors else np.array
    return [
        tuple(convert(each) if isinstance(each, np.ndarray) else each for each in args)
        for args in calls
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_way_does_what_the_compiled_function_does(name: str, tmp_path: Path) -> None:
    make = FUNCTIONS[name][0]
    loaded = exported(tmp_path, make(), calls_of(name)[0])
    compiled = tj.compile(make())
    seen = []
    for number, args in enumerate(calls_of(name) * 2):
        expected = outcome(compiled, args)
        assert outcome(loaded, args) == expected, args
        assert taken(loaded) == number
        seen.append(expected[0])
    assert len({*seen}) > 1


@pytest.mark.parametrize("name", DECIDING)
def test_settled_calls_ask_no_python(name: str, tmp_path: Path) -> None:
    function, args, _ = CASES[name]
    loaded = exported(tmp_path, function, args)
    loaded(*args)
    run: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            run.append(frame.f_code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(note)  # which no machine code minds
    try:
        loaded(*args)
    finally:
        sys.setprofile(before)
    assert not run
    assert taken(loaded) == 1


@pytest.mark.parametrize("dtype", sorted(numbers.ELEMENTS | {"uint64", "float16"}))
def test_elements_of_any_dtype_decide(dtype: str, tmp_path: Path) -> None:
    def f(x: Any) -> Any:
        if x[0].item() == x[1].item():
            return x[1].item(), 1
        return x[2].item(), 2

    def given(*values: float) -> Any:
        return tj.tensor(values, dtype="float32").astype(dtype)

    loaded = exported(tmp_path, f, (given(1, 0, 1),))
    limit = {"bool": 1, "int8": 127, "uint8": 255, "bfloat16": 3e38}.get(dtype, 2.0**15 - 256)
    calls = [(1, 0, 1), (1, 1, 0), (limit, 0, limit), (0, limit, 3), (limit, limit, 1)]
    if dtype[0] != "u" and dtype != "bool":
        calls += [(-1, -1, 2), (1, -1, -3)]
    for number, values in enumerate(calls):
        x = given(*values)
        found = loaded(x)
        assert repr(found) == repr(f(x))
        assert taken(loaded) == number


def test_a_way_that_needs_more_is_left_to_the_steps(tmp_path: Path) -> None:
    state = tj.zeros(3)

    def f(x: Any) -> Any:
        if x.sum() > 0:
            return x * 2
        return x[1:] * state[1:], state

    loaded = exported(tmp_path, f, (tj.ones(3),))
    ones = tj.ones(3)
    for number in range(4):
        assert loaded(ones).tolist() == [2.0, 2.0, 2.0]
        assert taken(loaded) == number
        assert [each.tolist() for each in loaded(-ones)] == [[0.0, 0.0], [0.0, 0.0, 0.0]]
        assert taken(loaded) == number


def test_an_exception_has_the_arguments_that_it_was_made_with(tmp_path: Path) -> None:
    class_ = ValueError

    def f(x: Any) -> Any:
        if x.sum() > 0:
            raise class_("text", 1, -0.5, None, True)
        return x * 1

    loaded = exported(tmp_path, f, (tj.ones(2),))
    for _ in range(3):
        with pytest.raises(ValueError, match="text") as caught:
            loaded(tj.ones(2))
        assert caught.value.args == ("text", 1, -0.5, None, True)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
    assert taken(loaded) == 2
