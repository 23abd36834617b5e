"""Replays as machine code: what they decide, which of them there are, what they hold, and how they are counted."""

from __future__ import annotations

import gc
import linecache
import math
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit.runtime.cpu.native.install import installed
from tracejit.tracing.background import BACKGROUND
from tracejit.tracing.replay import native, tree
from tracejit.tracing.replay.speculate import AFTER

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "NATIVE_AFTER", 1)


def native_calls(f: Any) -> int:
    """How many calls machine code has taken."""
    return 0 if f._native is None else f._native.calls


def taken(f: Any, *args: Any, **kwargs: Any) -> bool:
    """Whether machine code takes a call."""
    before = native_calls(f)
    f(*args, **kwargs)
    return native_calls(f) == before + 1


def vector(scale: float = 1.0) -> tj.Tensor:
    return tj.tensor([1.0, -2.0, 3.0]) * scale


def bits(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [*map(bits, value)]
    if isinstance(value, tj.Tensor):
        return str(value.aval), value.detach().numpy().tobytes()
    return value.tobytes() if isinstance(value, np.ndarray) else (type(value), repr(value))


def agree(function: Callable[..., Any], calls: list[tuple[Any, ...]], rounds: int = 6) -> Any:
    """The function compiled, whose calls in turn give what they give without; machine code has taken some."""
    f = tj.compile(function)
    for _ in range(rounds):
        for args in calls:
            assert bits(f(*args)) == bits(function(*args))
    assert native_calls(f), tj.explain(f)
    return f


# Decisions


def test_a_decision_goes_both_ways():
    def f(x: Any) -> Any:
        if x.sum() > 0:
            return x * 2.0
        return x - 1.0

    compiled = agree(f, [(vector(),), (vector(-1.0),)])
    assert taken(compiled, vector())
    assert taken(compiled, vector(-1.0))
    for k in range(20):
        assert bits(compiled(vector((-1.0) ** (k // 3)))) == bits(f(vector((-1.0) ** (k // 3))))


def test_decisions_inside_decisions():
    def f(x: Any, y: Any) -> Any:
        if x.sum() > 0:
            return (x + y) if y.sum() > 0 else (x - y)
        if y.max() > 2.5:
            return x * y
        return (x, y)

    signs = [(vector(a), vector(b)) for a in (1.0, -1.0) for b in (1.0, -1.0)]
    compiled = agree(f, signs)
    assert all(taken(compiled, *each) for each in signs)


FLOATS = [0.0, -0.0, 1.0, -1.0, 1.5, math.nan, math.inf, -math.inf, 1e-45, 5e-324]


@pytest.mark.parametrize("dtype", [tj.float32, tj.float64], ids=str)
def test_a_float_decides(dtype: Any):
    def f(x: Any) -> Any:
        value = x.sum().item()
        return {0.0: x * 2.0, 1.0: x * 3.0}.get(value, x * 4.0), math.copysign(1.0, value)

    agree(f, [(tj.tensor([value, 0.0 * value], dtype=dtype),) for value in FLOATS])
    agree(f, [(tj.tensor([value], dtype=dtype),) for value in FLOATS])


def test_an_int_decides():
    def f(x: Any) -> Any:
        return x * [2, 3, 5][x.sum().item() % 3]

    agree(f, [(tj.tensor([value, 0]),) for value in (0, 1, 2, -1, 2**40, -(2**62), 2**62)])


def test_a_bool_decides():
    def f(x: Any) -> Any:
        return x if x.any().item() else ~x

    agree(f, [(tj.tensor([False, False]),), (tj.tensor([True, False]),)])


def test_numbers_are_returned_as_they_are():
    def f(x: Any) -> Any:
        return x.sum().item(), float(x.max()), bool(x.sum() > 0), int(x.sum())

    agree(f, [(tj.tensor([value, 0.0]),) for value in (0.0, -0.0, 1.5, -2.5, 1e30)])


def test_a_decision_by_an_argument_and_one_by_data():
    def f(x: Any, n: Any, state: Any) -> Any:
        state.count += 1
        if n > 2:
            x = x * n
        if x.sum() > 5:
            state.large += 1
            return x
        return x + state.count

    compiled, plain = tj.compile(f), f
    states = SimpleNamespace(count=0, large=0), SimpleNamespace(count=0, large=0)
    for k in range(60):
        n = [1, 3, 2.5, 4][k % 4]
        assert bits(compiled(vector((-1.0) ** k), n, states[0])) == bits(
            plain(vector((-1.0) ** k), n, states[1])
        )
        assert vars(states[0]) == vars(states[1])
    assert native_calls(compiled)


# Speculation


@pytest.fixture
def _after_speculation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python sees which way calls go before machine code takes them."""
    monkeypatch.setattr(tree, "NATIVE_AFTER", AFTER + 2)


@pytest.mark.usefixtures("_after_speculation")
def test_the_usual_path_is_one_program_and_the_others_do_nothing_before():
    w = tj.ones(3)

    def f(x: Any) -> Any:
        w.add_(x)
        if w.sum() > 1000:
            raise OverflowError("too much")
        w.mul_(0.5)
        return w * 1.0

    compiled = tj.compile(f)
    expected = tj.ones(3)
    for _ in range(2 * AFTER + 6):
        expected = (expected + 1.0) * 0.5
        assert bits(compiled(tj.ones(3))) == bits(expected * 1.0)
    assert compiled.replays.tree.roots[0].speculation is not None
    assert taken(compiled, tj.ones(3))
    expected = (expected + 1.0) * 0.5
    with pytest.raises(OverflowError):
        compiled(tj.full(3, 2000.0))
    assert bits(w) == bits(expected + 2000.0)
    w.copy_(tj.ones(3))
    assert bits(compiled(tj.ones(3))) == bits(tj.ones(3))


@pytest.mark.usefixtures("_after_speculation")
def test_a_training_step_that_skips_nan():
    def world() -> tuple[Any, Any]:
        tj.random.seed(0)
        model = tj.nn.Sequential(tj.nn.Linear(6, 8), tj.nn.ReLU(), tj.nn.Linear(8, 3))
        return model, tj.optim.Adam(model.parameters(), lr=1e-2)

    def step(model: Any, optimizer: Any, x: Any, state: Any) -> Any:
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        if tj.isnan(loss):
            state.skipped += 1
            return loss
        loss.backward()
        optimizer.step()
        state.best = min(state.best, loss.item())
        return loss

    compiled = tj.compile(step)
    worlds = [(*world(), SimpleNamespace(skipped=0, best=1e9)) for _ in range(2)]
    rng = np.random.default_rng(0)
    for k in range(40):
        x = rng.normal(size=(5, 6)).astype("f4")
        x[0, 0] = math.nan if k in (17, 30) else 1.0
        losses = [
            run(model, optimizer, tj.tensor(x), state)
            for run, (model, optimizer, state) in zip((compiled, step), worlds)
        ]
        assert bits(losses[0]) == bits(losses[1])
        assert vars(worlds[0][2]) == vars(worlds[1][2])
        assert bits([*worlds[0][0].parameters()]) == bits([*worlds[1][0].parameters()])
    assert native_calls(compiled) > 20
    assert worlds[0][2].skipped == 2


# Keywords


def test_calls_by_name():
    def f(x: Any, /, y: Any, *, scale: Any = 2.0) -> Any:
        return (x + y) * scale

    compiled = tj.compile(f)
    calls: list[Callable[[Any], Any]] = [
        lambda f: f(vector(), y=1.0),
        lambda f: f(vector(), scale=3.0, y=1.0),
        lambda f: f(vector(), y=1.0, scale=3.0),
        lambda f: f(vector(), 1.0, scale=3.0),
        lambda f: f(vector(), 1.0),
    ]
    for _ in range(6):
        for call in calls:
            assert bits(call(compiled)) == bits(call(f))
    before = native_calls(compiled)
    for call in calls:
        call(compiled)
    assert native_calls(compiled) == before + len(calls)


# Which recordings are machine code


def test_the_least_used_make_room():
    def f(x: Any, name: str) -> Any:
        return x * len(name)

    names = ["n" * place for place in range(native.MOST + 5)]
    compiled = agree(f, [(vector(), name) for name in names])
    assert len(compiled._held_ways.ways) == native.MOST
    assert not all(taken(compiled, vector(), name) for name in names)
    for _ in range(2 * native.PATIENCE):
        for name in names[:3]:
            assert bits(compiled(vector(), name)) == bits(vector() * len(name))
    assert all(taken(compiled, vector(), name) for name in names[:3])


def test_a_recording_that_machine_code_never_fits_is_given_up(monkeypatch: pytest.MonkeyPatch):
    """Its calls have arguments by names that are no constants of the program."""
    monkeypatch.setattr(native, "PATIENCE", 3)

    def f(**given: Any) -> Any:
        return given["name"] * 2.0

    compiled = tj.compile(f)
    name = "".join(["na", "me"])
    for _ in range(20):
        assert bits(compiled(**{name: vector()})) == bits(vector() * 2.0)
    assert compiled._native is not None
    assert native_calls(compiled) == 0
    (ways,) = compiled._native._ways.values()
    assert ways == []
    assert compiled._ways_address == 0
    calls = tj.explain(compiled).calls
    assert calls["replay"] + calls["record"] == 20


def test_a_recording_that_is_used_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(native, "PATIENCE", 3)
    compiled = agree(lambda x: x * 2.0, [(vector(),)], rounds=40)
    assert taken(compiled, vector())


def test_a_decision_that_is_new_becomes_machine_code_too():
    def f(x: Any) -> Any:
        return x * 2.0 if x.sum() > 0 else x * 3.0

    compiled = agree(f, [(vector(),)])
    assert taken(compiled, vector())
    agree(f, [(vector(-1.0),)])
    for _ in range(6):
        assert bits(compiled(vector(-1.0))) == bits(vector(-1.0) * 3.0)
    assert taken(compiled, vector(-1.0))
    assert taken(compiled, vector())


# What is held


class Part:
    def __init__(self) -> None:
        self.weight = vector()

    def scaled(self, x: Any) -> Any:
        return self.weight * x


def dead(refs: list[weakref.ref[Any]]) -> bool:
    gc.collect()
    return all(ref() is None for ref in refs)


def test_arguments_and_results_die():
    compiled = tj.compile(lambda part, x: part.scaled(x))
    refs: list[weakref.ref[Any]] = []
    for _ in range(4):
        part, x = Part(), vector()
        results = [compiled(part, x) for _ in range(4)]
        refs += map(weakref.ref, [part, part.weight, x, *results])
        del part, x, results
    assert native_calls(compiled)
    assert dead(refs)


def test_variants_that_are_dropped_let_go_of_their_ways():
    compiled = tj.compile(lambda g, x: g(x))
    refs: list[weakref.ref[Any]] = []
    for k in range(6):
        weight = tj.full(3, float(k))

        def g(x: Any, weight: Any = weight) -> Any:
            return x * weight

        for _ in range(5):
            assert compiled(g, tj.ones(3)).tolist() == [k] * 3
        refs += [weakref.ref(g), weakref.ref(weight)]
        del g, weight
    assert native_calls(compiled)
    assert dead(refs)
    with compiled.replays.tree.lock:
        compiled.replays.tree.make_room(())
    assert compiled._native._ways == {}
    assert compiled._ways_address == 0


def test_ways_beyond_a_decision_go_with_what_they_lead_to(monkeypatch: pytest.MonkeyPatch):
    """A function of a module is another now; calls of another kind find that out."""
    module = types.ModuleType("a_module")
    monkeypatch.setitem(sys.modules, "a_module", module)
    file = "<a module>"
    text = "def g(x):\n    return x * 2.0\n"
    monkeypatch.setitem(linecache.cache, file, (len(text), None, text.splitlines(True), file))
    exec(compile(text, file, "exec"), module.__dict__)

    @tj.compile(dynamic=False)
    def f(x: Any) -> Any:
        return module.g(x) if x.sum() > 0 else x - 1.0

    for size in (3, 4):
        for sign in (1.0, -1.0) * 3:
            f(tj.ones(size) * sign)
        assert taken(f, tj.ones(size))
    ref = weakref.ref(module.g)
    module.g = lambda x: x * 3.0  # type: ignore[attr-defined]
    for _ in range(3):
        assert f(tj.ones(3)).tolist() == [3.0] * 3
    assert dead([ref])
    assert f(tj.ones(4)).tolist() == [3.0] * 4
    assert f(-tj.ones(4)).tolist() == [-2.0] * 4


def test_a_tree_that_begins_anew_has_no_ways():
    compiled = agree(lambda x: x * 2.0, [(vector(),)])
    with compiled.replays.tree.lock:
        compiled.replays.tree.forget()
    assert compiled._ways_address == 0
    before = native_calls(compiled)
    assert bits(compiled(vector())) == bits(vector() * 2.0)
    assert native_calls(compiled) == before


def test_a_compiled_function_dies_with_its_machine_code():
    compiled = agree(lambda x: x * 2.0, [(vector(),)])
    refs = [weakref.ref(each) for each in (compiled, compiled._native, compiled.replays.tree)]
    del compiled
    assert dead(refs)


# Options


def test_on_miss_error():
    compiled = tj.compile(lambda x, n: x * len(n), on_miss="error")
    for _ in range(6):
        assert bits(compiled(vector(), "ab")) == bits(vector() * 2)
    assert taken(compiled, vector(), "ab")
    with pytest.raises(tj.RecompileError, match="fits no recording"):
        compiled(vector(), "abc")
    assert taken(compiled, vector(), "ab")


def test_what_is_compared_is_never_machine_code():
    compiled = tj.compile(lambda x: x * 2.0, verify=3)
    for _ in range(30):
        assert bits(compiled(vector())) == bits(vector() * 2.0)
    assert compiled._ways_address == 0
    assert native_calls(compiled) == 0
    calls = tj.explain(compiled).calls
    assert calls["replay"]
    assert calls["eager"]
    assert sum(calls.values()) == 30


def test_open_sizes_and_modes():
    def f(x: Any) -> Any:
        return (x * 2.0).sum() if tj.is_grad_enabled() else x + 1.0

    compiled = tj.compile(f)
    for k in range(30):
        x = tj.ones(2 + k % 5)
        assert bits(compiled(x)) == bits(f(x))
        with tj.no_grad():
            assert bits(compiled(x)) == bits(f(x))
        with tj.config.scope(default_dtype=tj.float64):
            assert bits(compiled(x)) == bits(f(x))


# Counting


def test_calls_are_counted_once_each():
    def f(x: Any, name: str) -> Any:
        return x * len(name) if x.sum() > 0 else x - len(name)

    compiled = tj.compile(f)
    for k in range(90):
        compiled(vector((-1.0) ** (k // 2)), "n" * (1 + k % 3))
        explained = tj.explain(compiled)
        assert sum(explained.calls.values()) == k + 1
        assert sum(variant.hits for variant in explained.variants) == explained.calls["replay"]
    assert len(explained.variants) == 3
    assert min(variant.hits for variant in explained.variants) > 20


def test_recordings_that_only_machine_code_uses_are_not_the_first_to_go(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(tree, "MOST_ROOTS", 6)
    compiled = tj.compile(lambda x, name: x * len(name), dynamic=False)
    for _ in range(5):
        compiled(vector(), "used")
    for k in range(30):
        assert taken(compiled, vector(), "used")
        compiled(tj.ones(k + 4), "n" * k)
    assert taken(compiled, vector(), "used")


# In the background


def test_machine_code_that_another_thread_makes_while_calls_go_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(BACKGROUND, "at_once", False)
    monkeypatch.setattr(native, "PATIENCE", 4)

    def f(x: Any, name: str) -> Any:
        return x * len(name) if x.sum() > 0 else [x - len(name)]

    compiled = tj.compile(f)
    calls = [(vector((-1.0) ** k), "n" * (1 + k % 12)) for k in range(48)]
    expected = [bits(f(*args)) for args in calls]
    failures: list[int] = []

    def work() -> None:
        for _ in range(12):
            found = [bits(compiled(*args)) for args in calls]
            failures.extend(k for k, each in enumerate(found) if each != expected[k])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tj.synchronize()
    assert not failures
    work()
    assert not failures
    assert native_calls(compiled)
    assert sum(tj.explain(compiled).calls.values()) == 5 * 12 * len(calls)


# Memory


def pieces(a: Any) -> Any:
    doubled = a * 2.0
    return doubled[: len(a) // 2], doubled, (a + 1.0).reshape(2, -1)[1], (a * 3.0)[1:], (a - 1.0)[:]


@pytest.mark.parametrize("size", [4, 100, 2048, 40_000])
@pytest.mark.parametrize("make", [np.arange, tj.arange], ids=["arrays", "tensors"])
def test_parts_of_results(size: int, make: Any):
    """Memory is as large as all of it, whatever part is shown."""
    agree(pieces, [(make(float(size)),)])
    for place in range(5):
        agree(lambda a, place=place: pieces(a)[place], [(make(float(size)) + k,) for k in range(3)])


@pytest.mark.parametrize("size", [4, 100, 2048, 40_000])
@pytest.mark.parametrize("make", [np.arange, tj.arange], ids=["arrays", "tensors"])
def test_memory_that_is_seen_is_not_used_again(size: int, make: Any):
    compiled = tj.compile(lambda a, k: a * 2.0 + k)
    held = []
    for k in range(60):
        result = compiled(make(float(size)), float(k))
        held.append((result[1:], k))
        if k % 3 == 0:
            del held[k % len(held)]
        del result
        for view, at in held:
            assert view[0] == 2.0 + at
            assert view[-1] == 2.0 * (size - 1) + at
    assert native_calls(compiled) > 40


def test_results_of_one_call_lie_apart():
    compiled = agree(lambda a: (a * 2.0, a * 3.0, a * 2.0), [(np.arange(5000.0),)])
    first, second, third = compiled(np.arange(5000.0))
    first += 1.0
    assert second.tobytes() == (np.arange(5000.0) * 3.0).tobytes()
    assert third.tobytes() == (np.arange(5000.0) * 2.0).tobytes()


def test_arguments_that_overlap_are_told_apart():
    def f(a: Any, b: Any) -> Any:
        a += b
        return a * 1.0

    whole = np.arange(20.0)
    compiled = tj.compile(f)
    for _ in range(6):
        for start in (0, 3, 10):
            twin = whole.copy()
            expected = f(twin[:10], twin[start : start + 10])
            found = compiled(whole[:10], whole[start : start + 10])
            assert found.tobytes() == expected.tobytes()
            assert whole.tobytes() == twin.tobytes()
            whole %= 7.0


@pytest.fixture
def _wide() -> Iterator[None]:
    with tj.config.scope(num_threads=2):
        yield


@pytest.mark.usefixtures("_wide")
def test_programs_of_several_threads():
    agree(lambda a: (a * 2.0).sum() + a.max(), [(np.arange(200_000.0),), (tj.arange(200_000.0),)])
