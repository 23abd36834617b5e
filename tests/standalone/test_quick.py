"""Calls at once: the results, the types and the errors of the steps one by one, whatever a call is given."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit import nn, optim
from tracejit._native import abi, arrays
from tracejit.standalone import settling
from tracejit.standalone.artifact import Artifact
from tracejit.standalone.given import LEFT

F32 = np.float32
X = np.linspace(-2, 2, 12, dtype=F32).reshape(3, 4)
Y = X[::-1].copy()


def line(x: Any) -> Any:
    return x * 2 + 1


def several(x: Any, rate: float, y: Any) -> Any:
    return {"a": [x @ y.T, rate], "b": (x * rate, None, 3, "text"), 5: x.sum()}


def given_back(x: Any, rate: float) -> Any:
    return x, x * rate


def decided(x: Any, n: int, mode: str = "twice") -> Any:
    return x * (2 if mode == "twice" else 3) * (1 if n > 0 else -1) + n / 2


def folded(x: Any) -> Any:
    return np.sum(x), np.sum(x, axis=1)


def large(x: Any) -> Any:
    return np.exp(x)


tj.random.seed(0)
LAYER = nn.Linear(4, 5)
TABLE = np.arange(20, dtype=np.float64).reshape(4, 5)


def looked_up(x: Any) -> Any:
    return LAYER(x)


def with_state(x: Any) -> Any:
    return x @ TABLE.astype(F32)


COUNTS = [0]


def counted(x: Any) -> Any:
    COUNTS[0] += 1
    return x * COUNTS[0]


MODEL = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
OPTIMIZER = optim.Adam(MODEL.parameters())


def train(x: Any, labels: Any) -> Any:
    OPTIMIZER.zero_grad()
    loss = nn.functional.cross_entropy(MODEL(x), labels)
    loss.backward()
    OPTIMIZER.step()
    return loss


def averaged(x: Any) -> Any:
    AVERAGE.mul_(0.5).add_(x)
    return AVERAGE.sum()


AVERAGE = tj.zeros((3, 4))


def returned(x: Any) -> Any:
    return AVERAGE, x * 2


def taken(x: Any, places: Any) -> Any:
    return tj.take(x, places, axis=1)


def of_elements(x: Any, places: Any) -> Any:
    if places[0] == 2:
        return x * 2, places
    if x[0, 1] > float(x[2, 3]) / 3:
        return x.sum(), x + 1
    return [x - 1, x[1, 1].item()]


def normal(x: Any) -> Any:
    if not tj.isfinite(x).all():
        raise ValueError("not finite", 3)
    return x / x.max() if x.max() > 1 else x


STEP = nn.Linear(4, 3)
CLIPPED = optim.SGD(STEP.parameters(), lr=0.5, momentum=0.5)


def clip(x: Any, labels: Any) -> Any:
    CLIPPED.zero_grad()
    loss = nn.functional.cross_entropy(STEP(x), labels)
    loss.backward()
    norm = (STEP.weight.grad**2).sum() ** 0.5
    if norm > 0.3:
        for each in STEP.parameters():
            each.grad.mul_(0.3 / norm)
    if loss > 5:
        raise ArithmeticError("diverged")
    CLIPPED.step()
    return loss, norm


BEST = [1e9, 0]


def better(x: Any) -> Any:
    loss = float(x.sum())
    BEST[1] += 1
    if loss < BEST[0]:
        BEST[0] = loss
        return x * 1
    return BEST[1]


RUNNING = tj.zeros((3, 4))
TOTAL = tj.zeros((3, 4))


def averaged_twice(x: Any) -> Any:
    RUNNING.mul_(0.5).add_(x)
    if RUNNING.sum() > 3:
        TOTAL.add_(RUNNING)
        return TOTAL.sum()
    if RUNNING.min() < -90:
        raise RuntimeError("low")
    return RUNNING * 2


def mixed(x: Any) -> Any:
    y = x * 2
    if np.sum(y) > 0:
        return y
    if np.max(y) < -1e3:
        return np.sum(x)
    return y - np.sum(y), np.max(y)


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], bool]] = {
    "an array": (line, (X,), True),
    "a tensor": (line, (tj.tensor(X),), True),
    "no elements": (line, (np.empty((0, 4), F32),), True),
    "no dimensions": (line, (np.array(2.0),), True),
    "parts": (several, (X, 0.5, Y), True),
    "tensors and numbers": (several, (tj.tensor(X), 0.5, tj.tensor(Y)), True),
    "an argument that is returned": (given_back, (X, 2.0), True),
    "decisions": (decided, (X, 3), True),
    "scalars": (folded, (X,), True),
    "a layer": (looked_up, (tj.tensor(X),), True),
    "state": (with_state, (X,), True),
    "a count": (counted, (X,), True),
    "a training step": (train, (tj.tensor(X), tj.tensor([0, 2, 1])), True),
    "an average that is kept": (averaged, (tj.tensor(X),), True),
    "places": (taken, (tj.tensor(X), tj.tensor([0, 3, -1])), True),
    "elements that decide": (of_elements, (tj.tensor(X), tj.tensor([0, 3])), True),
    "an exception": (normal, (tj.tensor(X),), True),
    "a clipped step": (clip, (tj.tensor(X), tj.tensor([0, 2, 1])), True),
    "a best value": (better, (tj.tensor(X),), True),
    "two averages": (averaged_twice, (tj.tensor(X),), True),
    "arrays that decide": (mixed, (X,), True),
    "a large array": (large, (np.ones((100, 100)),), True),
    "state that is returned": (returned, (tj.tensor(X),), False),
    "a pair": (lambda pair: pair[0] + pair[1], ((X, Y),), False),
}


class Other(np.ndarray):
    pass


def arguments(args: tuple[Any, ...]) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments, and others in their place."""
    found: list[tuple[tuple[Any, ...], dict[str, Any]]] = [(args, {}), (args[:-1], {}), ((), {})]
    found += [((*args, 1), {}), (args, {"nothing": 1})]
    for place, value in enumerate(args):
        for other in others(value):
            found.append(((*args[:place], other, *args[place + 1 :]), {}))
    return found


def others(value: Any) -> list[Any]:
    if isinstance(value, float | int):
        return [value + 1, -value, float("nan"), 0, True, np.float64(value), None, "x"]
    if isinstance(value, tuple):
        return [value[::-1], [*value], value[:1]]
    array = np.asarray(value.detach() if isinstance(value, tj.Tensor) else value)
    frozen = array.copy()
    frozen.flags.writeable = False
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype)
    unaligned = raw[: array.size].reshape(array.shape)
    unaligned[...] = array
    wide = np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
    return [
        np.full_like(array, np.nan if array.dtype.kind == "f" else 99), -array, np.asfortranarray(array), wide, frozen, unaligned,
        array.astype(np.float16), array.astype(array.dtype.newbyteorder()), array[None], array.view(Other),
        array.tolist(), array.ravel()[:1], tj.tensor(array), tj.tensor(array * 3) / 3,
        tj.tensor(np.stack([array, -array]))[1], tj.tensor(wide), tj.tensor(array.T).T,
    ]  # fmt: skip


def outcome(loaded: Artifact, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        result = loaded(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)
    return shown(result, args)


def shown(value: Any, args: tuple[Any, ...]) -> Any:
    """What is equal for results that cannot be told apart."""
    for place, each in enumerate(args):
        if value is each and not isinstance(each, float | int | str | None):
            return "argument", place
    if isinstance(value, dict):
        return {key: shown(part, args) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [shown(part, args) for part in value]
    array = np.asarray(value)
    if isinstance(value, np.ndarray):
        assert value.flags.writeable
        assert value.flags.carray
    return type(value), array.dtype, array.shape, array.tobytes()


@pytest.fixture(autouse=True, params=[sys.maxsize, 1], ids=["function", "machine code"])
def _after(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """After how many calls they become machine code."""
    monkeypatch.setattr(settling, "PATIENCE", request.param)


@pytest.fixture(params=CASES)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Artifact, Artifact, Any]:
    """One function twice: the second by its steps."""
    function, args, is_quick = CASES[request.param]
    tj.export(function, args, tmp_path / "f.tj")
    quick, slow = (tj.load(tmp_path / "f.tj") for _ in range(2))
    slow._make_quick = slow._settling = None
    assert outcome(quick, args, {}) == outcome(slow, args, {})
    assert (quick._quick is not None) == is_quick
    assert slow._quick is None
    return quick, slow, args


def state(loaded: Artifact) -> Any:
    return {name: shown(value, ()) for name, value in loaded.state_dict().items()}


@pytest.mark.parametrize("name", [name for name, (_, _, is_quick) in CASES.items() if is_quick])
def test_what_a_call_was_recorded_with_is_not_left_to_the_steps(name: str, tmp_path: Path) -> None:
    function, args, _ = CASES[name]
    tj.export(function, args, tmp_path / "f.tj")
    loaded = tj.load(tmp_path / "f.tj")
    loaded(*args)
    assert loaded._quick is not None
    assert loaded._quick(args, {}) is not LEFT


def test_whatever_a_call_is_given_the_outcome_is_that_of_the_steps(
    pair: tuple[Artifact, Artifact, Any],
) -> None:
    quick, slow, args = pair
    for given, kwargs in arguments(args):
        assert outcome(quick, given, kwargs) == outcome(slow, given, kwargs), (given, kwargs)
        assert state(quick) == state(slow), (given, kwargs)
    named = dict(zip(quick.signature.parameters, args))
    assert outcome(quick, (), named) == outcome(slow, (), named)


def test_arrays_that_keep_their_address_elsewhere_are_asked_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abi, "keeps_addresses", lambda: False)
    arrays.reader.cache_clear()
    try:
        assert arrays.reader() is arrays._by_interface
        tj.export(line, (X,), tmp_path / "f.tj")
        assert (tj.load(tmp_path / "f.tj")(X) == line(X)).all()
    finally:
        arrays.reader.cache_clear()
    assert arrays.reader.__wrapped__ is not None
    for each in (X, X.T, X[1:, ::2], np.zeros(()), np.zeros((0, 3))):
        assert arrays._by_layout(each) == arrays._by_interface(each) == each.ctypes.data


def test_results_have_memory_of_their_own(tmp_path: Path) -> None:
    tj.export(several, (X, 0.5, Y), tmp_path / "f.tj")
    loaded = tj.load(tmp_path / "f.tj")
    first = loaded(X, 0.5, Y)
    kept = first["a"][0].copy()
    second = loaded(-X, 0.5, Y)
    assert (first["a"][0] == kept).all()
    second["a"][0][...] = 9
    assert (loaded(X, 0.5, Y)["a"][0] == kept).all()


def test_state_that_is_loaded_and_settings_that_change_hold_at_once(tmp_path: Path) -> None:
    tj.export(LAYER, (tj.tensor(X),), tmp_path / "f.tj")
    loaded = tj.load(tmp_path / "f.tj")
    before = loaded(X).numpy()
    loaded.load_state_dict({name: value * 2 for name, value in loaded.state_dict().items()})
    assert (loaded(X).numpy() == before * 2).all()
    for threads in (1, 3, 2):
        with tj.config.scope(num_threads=threads):
            assert (loaded(X).numpy() == before * 2).all()
    assert loaded._quick is not None


def test_what_writes_to_an_argument_goes_step_by_step(tmp_path: Path) -> None:
    def grow(x: Any) -> None:
        x *= 2.0

    tj.export(grow, (X.copy(),), tmp_path / "f.tj")
    loaded = tj.load(tmp_path / "f.tj")
    loaded(X.copy())
    assert loaded._quick is None


def test_threads_call_at_once(tmp_path: Path) -> None:
    tj.export(several, (X, 0.5, Y), tmp_path / "f.tj")
    loaded = tj.load(tmp_path / "f.tj")
    wrong: list[int] = []

    def work(number: int) -> None:
        x = X + F32(number)
        results = (loaded(x, 2.0, Y)["b"][0] for _ in range(300))
        wrong.extend(number for each in results if not np.array_equal(each, x * F32(2)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def test_an_artifact_that_nobody_holds_is_gone_at_once(tmp_path: Path) -> None:
    tj.export(LAYER, (tj.tensor(X),), tmp_path / "f.tj")
    gc.disable()
    try:
        loaded = tj.load(tmp_path / "f.tj")
        loaded(X)
        alive = weakref.ref(loaded)
        del loaded
        assert alive() is None
    finally:
        gc.enable()
