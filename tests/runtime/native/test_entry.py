"""A compiled function whose calls machine code takes is called in all the ways in which a function is."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import operator
import pickle
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.runtime.native.harness import Code, Entry
from tracejit._native import entry
from tracejit.runtime.cpu.native.install import installed
from tracejit.runtime.cpu.native.ways import Ways
from tracejit.tracing.compile import Compiled

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")
LARGE = 1 << 15
"""Elements of float64: a program that moves so many lets other threads run meanwhile."""


def plain(x: Any, y: Any = 2.0, *, scale: Any = 1.0) -> Any:
    return (x + y) * scale


compiled = tj.compile(plain)


@tj.compile
def named(x: Any) -> Any:
    return x * 2.0


def vector() -> tj.Tensor:
    return tj.tensor([1.0, -2.0, 3.0])


def native_calls(f: Any) -> int:
    """How many calls machine code has taken."""
    return 0 if f._native is None else f._native.calls


def warmed(f: Any, *args: Any, **kwargs: Any) -> Any:
    """`f`, of which such calls are taken by machine code."""
    for _ in range(3):
        f(*args, **kwargs)
    before = native_calls(f)
    f(*args, **kwargs)
    assert native_calls(f) == before + 1
    return f


CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "positional": lambda f, x: f(x, 3.0),
    "by name": lambda f, x: f(x, y=3.0),
    "all by name": lambda f, x: f(x=x, y=3.0, scale=2.0),
    "in another order": lambda f, x: f(scale=2.0, y=3.0, x=x),
    "in yet another": lambda f, x: f(y=3.0, x=x, scale=2.0),
    "from a dict": lambda f, x: f(**{"x": x, "y": 3.0}),
    "from a dict of new names": lambda f, x: f(**{"".join([*name]): x for name in ["x", "y", "scale"]}),
    "from a tuple": lambda f, x: f(*(x, 3.0)),
    "from both": lambda f, x: f(*[x], **{"scale": 2.0}),
    "no names": lambda f, x: f(x, **{}),
    "partial": lambda f, x: functools.partial(f, x)(3.0),
    "partial by name": lambda f, x: functools.partial(f, scale=2.0)(x),
    "map": lambda f, x: [*map(f, [x, x], [1.0, 2.0])],
    "filter": lambda f, x: [*filter(lambda t: f(t).sum() > 0, [x])],
    "sorted": lambda f, x: sorted([x, x * 2], key=lambda t: f(t).sum().item()),
    "a call from C": lambda f, x: operator.call(f, x, scale=2.0),
    "reduce": lambda f, x: functools.reduce(f, [x, 1.0, 2.0]),
    "dunder call": lambda f, x: f.__call__(x, 3.0),
    "type's call": lambda f, x: type(compiled).__call__(f, x, 3.0) if f is compiled else f(x, 3.0),
    "through a descriptor": lambda f, x: f.__get__(x)(3.0),
    "without one": lambda f, x: f.__get__(None, int)(x, 3.0),
}  # fmt: skip


def shown(value: Any) -> Any:
    return [*map(shown, value)] if isinstance(value, list) else value.tolist()


@pytest.mark.parametrize("name", CALLS)
def test_a_call(name: str):
    call = CALLS[name]
    expected = shown(call(plain, vector()))
    for _ in range(6):
        assert shown(call(compiled, vector())) == expected


WRONG: list[Callable[[Any], Any]] = [
    lambda f: f(),
    lambda f: f(vector(), 1.0, 2.0),
    lambda f: f(vector(), z=1.0),
    lambda f: f(vector(), x=1.0),
    lambda f: f(y=1.0),
    lambda f: f(vector(), **{1: 2}),
    lambda f: f(*[vector()] * 400),
    lambda f: f(vector(), None),
    lambda f: f(None, 3.0),
]


@pytest.mark.parametrize("call", WRONG)
def test_a_wrong_call_raises_what_python_does(call: Callable[[Any], Any]):
    warmed(tj.compile(plain), vector(), 3.0)
    f = warmed(compiled, vector(), 3.0)
    with pytest.raises(Exception) as expected:  # any
        call(plain)
    for _ in range(3):
        with pytest.raises(type(expected.value)) as found:
            call(f)
        assert str(found.value).replace(str(f), str(plain)) == str(expected.value).replace(
            str(f), str(plain)
        )


def test_more_arguments_than_a_stack_holds():
    way = Code(enter=["if not (args[0] == 1): return 1"]).way(((1,), {}))
    assert way is not None

    class Counting(Entry):
        def called(self, *args: Any, **kwargs: Any) -> Any:
            return len(args), len(kwargs), args[-1]

    counting, alone = Counting(way), object()
    for count in (1, 254, 255, 256, 257, 3_000_000):
        last = object()
        assert counting(*[1] * count, last) == (count + 1, 0, last)
        assert sys.getrefcount(last) == sys.getrefcount(alone)
    by_name = {f"name{place}": place for place in range(1000)}
    assert counting(2, **by_name) == (1, 1000, 2)


# Methods


class Layer:
    def __init__(self) -> None:
        self.weight = tj.ones(3)

    @tj.compile
    def method(self, x: Any, k: Any = 2.0) -> Any:
        return self.weight * x * k

    @classmethod
    @tj.compile
    def of_class(cls, x: Any) -> Any:
        return x * 3.0

    @staticmethod
    @tj.compile
    def static(x: Any) -> Any:
        return x * 4.0

    @property
    @tj.compile
    def doubled(self) -> Any:
        return self.weight * 2.0

    @functools.lru_cache  # noqa: B019  # of one object
    @tj.compile
    def cached(self, k: Any) -> Any:
        return self.weight * k


def test_methods():
    layer, x = Layer(), vector()
    doubled, tripled = (x * 2.0).tolist(), (x * 3.0).tolist()
    for _ in range(6):
        assert layer.method(x).tolist() == doubled
        assert layer.method(x, k=3.0).tolist() == tripled
        assert Layer.method(layer, x).tolist() == doubled
        assert Layer.method(layer, x=x).tolist() == doubled
        bound = layer.method
        assert bound(x).tolist() == doubled
        assert [each.tolist() for each in map(layer.method, [x, x])] == [doubled] * 2
        assert layer.of_class(x).tolist() == Layer.of_class(x).tolist() == tripled
        assert layer.static(x).tolist() == Layer.static(x).tolist() == (x * 4.0).tolist()
        assert layer.doubled.tolist() == [2.0] * 3
        assert layer.cached(2.0) is layer.cached(2.0)
    for name in ("method", "of_class", "static"):
        found = inspect.getattr_static(Layer, name)
        assert native_calls(getattr(found, "__func__", found)) > 6
    assert layer.method.__self__ is layer
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        layer.method()
    with pytest.raises(TypeError):
        Layer.method()


def test_a_method_of_another_object_is_another_call():
    first, second = Layer(), Layer()
    second.weight = tj.zeros(3)
    for _ in range(6):
        assert first.method(vector()).tolist() == (vector() * 2.0).tolist()
        assert second.method(vector()).tolist() == [0.0, -0.0, 0.0]


# As an object


def test_it_is_copied_and_pickled_by_name():
    f = warmed(named, vector())
    assert copy.copy(f) is f
    assert copy.deepcopy(f) is f
    assert pickle.loads(pickle.dumps(f)) is f


def test_a_compiled_object_is_copied_as_the_object_is():
    model = tj.compile(tj.nn.Linear(3, 2))
    warmed(model, tj.ones((4, 3)))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for _ in range(6):
            assert twin(tj.ones((4, 3))).tolist() == model(tj.ones((4, 3))).tolist()
        assert native_calls(twin) < native_calls(model)


def test_it_has_the_signature_and_the_names():
    assert inspect.signature(compiled) == inspect.signature(plain)
    assert compiled.__name__ == "plain"
    assert compiled.__wrapped__ is plain
    assert isinstance(compiled, Compiled)
    assert weakref.ref(compiled)() is compiled


# Watched, and in threads


def test_calls_that_are_traced_go_to_python():
    f = warmed(tj.compile(plain), vector())
    lines: list[int] = []

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code is plain.__code__ and event == "line":
            lines.append(frame.f_lineno)
        return trace

    before, count = sys.gettrace(), native_calls(f)
    sys.settrace(trace)
    try:
        found = f(vector())
    finally:
        sys.settrace(before)
    assert len(lines) == 1
    assert found.tolist() == plain(vector()).tolist()
    assert native_calls(f) == count
    f(vector())
    assert native_calls(f) == count + 1


def in_another_thread(work: Callable[[], Any]) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


def test_calls_go_to_python_while_a_thread_records():
    f = warmed(tj.compile(plain), vector())
    counts: list[int] = []

    @tj.compile
    def recorded(x: Any) -> Any:
        counts.append(native_calls(f))
        result = in_another_thread(lambda: f(vector()).tolist())
        counts.append(native_calls(f))
        return x * sum(result)

    recorded(vector())
    assert len(counts) == 2
    assert counts[0] == counts[1]
    assert not entry.busy
    f(vector())
    assert native_calls(f) == counts[1] + 1


def test_a_call_inside_a_recording_is_part_of_it():
    f = warmed(tj.compile(plain), vector())
    before = native_calls(f)
    outer = tj.compile(lambda x: f(x) * 2)
    for _ in range(6):
        assert outer(vector()).tolist() == (plain(vector()) * 2).tolist()
    assert native_calls(f) == before
    assert native_calls(outer)


def depth_of(call: Callable[[], Any], left: int) -> Any:
    """Makes the call with so many more frames."""
    return call() if left == 0 else depth_of(call, left - 1)


def test_near_the_limit_of_recursion_a_call_gives_its_result_or_the_error():
    f = warmed(tj.compile(plain), vector())
    expected = plain(vector()).tolist()
    given = vector()
    outcomes = set()
    limit = sys.getrecursionlimit()
    for left in range(limit - 120, limit):
        try:
            outcomes.add(tuple(depth_of(lambda: f(given), left).tolist()))
        except RecursionError:
            outcomes.add("error")
    assert outcomes == {tuple(expected), "error"}
    assert f(given).tolist() == expected


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching")
def test_entries_die_while_a_thread_calls_them():
    x = np.arange(float(LARGE))
    expected = (x * 2.0 + 1.0).tolist()
    failures: list[Any] = []

    def made() -> Any:
        return warmed(tj.compile(lambda a: a * 2.0 + 1.0), x)

    def work(held: list[Any]) -> None:
        # No name but the list's: the call alone holds the function.
        if held.pop()(x).tolist() != expected:
            failures.append("wrong")

    for _ in range(20):
        held = [made()]
        ref = weakref.ref(held[0])
        thread = threading.Thread(target=work, args=(held,))
        thread.start()
        gc.collect()
        thread.join()
        gc.collect()
        assert ref() is None
    assert not failures


@pytest.mark.usefixtures("switching")
def test_ways_are_replaced_while_a_thread_is_on_them():
    f = warmed(tj.compile(lambda a: a * 2.0 + 1.0), x := np.arange(float(LARGE)))
    ways = f._held_ways.ways
    expected = (x * 2.0 + 1.0).tobytes()
    done = threading.Event()
    failures: list[Any] = []
    counts: list[int] = []

    def work() -> None:
        count = 0
        while not done.is_set() or count < 50:
            count += 1
            if f(x).tobytes() != expected:
                failures.append(count)
        counts.append(count)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(300):
        with f.replays.tree.lock:  # calls that come to Python in between want ways as well
            f.take_ways(None if turn % 3 == 0 else Ways(ways))
        gc.collect(0)
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(counts) == 3
    f.take_ways(Ways(ways))
    assert f(x).tobytes() == expected


@pytest.mark.usefixtures("switching")
def test_calls_of_all_threads_are_counted():
    f = tj.compile(lambda a, n: a * 2.0 + float(len(n)))
    arrays = [np.arange(float(size)) for size in (4, LARGE)]
    names = ["n" * place for place in range(12)]

    def work() -> None:
        for turn in range(60):
            a, n = arrays[turn % 2], names[turn % 12]
            assert f(a, n).tobytes() == (a * 2.0 + float(len(n))).tobytes()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tj.explain(f).calls.values()) == 6 * 60


# What Python's part of a call raises


class Raising(Exception):
    pass


def test_an_exception_of_python_s_part_goes_through():
    way = Code(enter=["if not (args[0] == 1): return 1"]).way(((1,), {}))
    assert way is not None

    class Refusing(Entry):
        def called(self, *args: Any, **kwargs: Any) -> Any:
            raise Raising(args, kwargs)

    refusing = Refusing(way)
    assert refusing(1) == "hit"
    given = [object() for _ in range(3)]
    for _ in range(100):
        with pytest.raises(Raising) as error:
            refusing(given[0], given[1], name=given[2])
        assert error.value.args == ((given[0], given[1]), {"name": given[2]})
        del error
    gc.collect()
    assert list(map(sys.getrefcount, given)) == [1 + 1] * 3


def test_an_entry_is_no_entry_before_it_begins():
    class Unready(entry.entry_class()):  # type: ignore[misc]
        def called(self, *args: Any) -> Any:
            return args

    unready = Unready()
    unready.begin()
    assert unready(1, 2) == (1, 2)
    assert unready.is_native


def test_ways_stay_whole_when_taking_them_is_interrupted():
    """By a signal, say, whose handler raises between any two lines."""
    way = Code(enter=["if not (args[0] == 1): return 1"]).way(((1,), {}))
    assert way is not None
    code = type(Entry(way)).take_ways.__code__
    interrupted = 0
    for line in range(12):
        found = Entry(way)
        seen = 0

        def trace(frame: Any, event: str, argument: Any, line: int = line) -> Any:
            nonlocal seen, interrupted
            if frame.f_code is not code:
                return None
            if event == "line":
                seen += 1
                if seen == line + 1:
                    interrupted += 1
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            found.take_ways(Ways([way, way]))
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        gc.collect()
        held = [Ways([way]) for _ in range(20)]
        assert (found(1), found(2)) == ("hit", "missed")
        tables = found._held_ways, found._held_ways.before
        assert found._ways_address in [table.address for table in tables if table is not None]
        del held
    assert interrupted > 2
