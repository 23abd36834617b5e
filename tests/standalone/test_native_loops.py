"""Calls with loops that artifacts make by machine code: the bits of Python's steps, their exceptions and interruptions."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.standalone.files import artifact, entries, expected, packed, resealed, results
from tests.standalone.test_control_flow import LOOPS, Iterating, X, outcome
from tests.standalone.test_roundtrip import bits
from tests.tracing.replay.test_native_loops import ringing
from tracejit.standalone.loops import counts
from tracejit.standalone.overview import overview

Load = Callable[..., tuple[Any, Any]]


@pytest.fixture
def both(tmp_path: Path) -> Load:
    """The function as its artifact runs it, and as Python's steps do."""

    def load(f: Any, *args: Any) -> tuple[Any, Any]:
        path = tmp_path / "f.tj"
        tj.export(f, args, path)
        return tj.load(path), tj.load(path, native=False)

    return load


@contextmanager
def taken(made: int, left: int = 0) -> Iterator[None]:
    """Of the calls in the block so many are made by machine code, and so many left to Python."""
    before = counts.made, counts.left
    yield
    assert (counts.made - before[0], counts.left - before[1]) == (made, left)


def same(native: Any, plain: Any, *args: Any) -> Any:
    found = outcome(native, *args)
    assert found == outcome(plain, *args)
    assert shown(native) == shown(plain)
    return found


def shown(artifact: Any) -> Any:
    return {name: bits(value) for name, value in artifact.state_dict().items()}


@pytest.mark.parametrize(("function", "calls"), LOOPS, ids=[each.__name__ for each, _ in LOOPS])
def test_machine_code_goes_round(both: Load, function: Any, calls: Any) -> None:
    native, plain = both(function, *calls[0])
    with taken(len(calls)):
        for args in calls:
            same(native, plain, *args)
    again = [outcome(native, *args) for args in calls]
    assert again == [outcome(plain, *args) for args in calls]


def test_state_of_both_stays_the_same(both: Load) -> None:
    native, plain = both(Iterating(), X, 0.5)
    rng = np.random.default_rng(0)
    with taken(30):
        found = [
            same(native, plain, tj.tensor(rng.normal(size=3).astype(np.float32)), 10**k)
            for k in rng.uniform(-7, 0, 30).tolist()
        ]
    assert {each[0] for each in found} == {OverflowError, "tensor"}


def doubled(x, rounds):
    """What it reads may lie in any way, and is not written."""
    y = x.T + 1
    while y.min() < 100:
        y = y * 2
        rounds += 3
    return y, y.T[..., ::2], rounds


def inputs() -> list[Any]:
    whole = np.arange(48, dtype=np.float32).reshape(6, 8)
    return [
        whole[:3, :4], whole[::2, ::2], whole[:3, 3::-1], np.full((3, 4), np.nan, np.float32),
        np.full((3, 4), np.inf, np.float32), whole.T[:3, :4], np.zeros((3, 4), np.float32),
    ]  # fmt: skip


def test_arrays_may_lie_in_any_way(both: Load) -> None:
    native, plain = both(doubled, np.ones((3, 4), np.float32), 5)
    with taken(len(inputs())):
        for x in inputs():
            before = x.tobytes()
            same(native, plain, x, 7)
            assert x.tobytes() == before


def test_what_is_empty_or_has_no_axes(both: Load) -> None:
    def empty(x, n):
        while n < 5:
            x, n = x * 2, n + 1
        return x, n

    for x in (np.zeros((0, 3)), np.array(1.5)):
        native, plain = both(empty, x, 1)
        with taken(2):
            for n in (0, 9):
                same(native, plain, x, n)


def test_results_are_the_callers_own(both: Load) -> None:
    native, _ = both(doubled, np.ones((3, 4), np.float32), 5)
    first = native(np.zeros((3, 4), np.float32), 0)
    kept = bits(first)
    native(np.full((3, 4), 7, np.float32), 0)
    assert bits(first) == kept


def test_memory_that_is_written_is_written_at_the_end(both: Load) -> None:
    def f(x, least):
        rounds = 0
        while np.abs(x).max() > least:
            x *= 0.5
            rounds += 1
        return rounds

    def written(x, least):
        rounds = 0
        while x.abs().max() > least:
            x.mul_(0.5)
            rounds += 1
        return rounds

    for function, made in ((f, np.array), (written, tj.tensor)):
        native, plain = both(function, made([1.0, 2.0]), 0.3)
        with taken(3):
            for least in (0.1, 5.0, 1e-6):
                x, twin = made([0.5, -9.0]), made([0.5, -9.0])
                assert native(x, least) == plain(twin, least)
                assert bits(x) == bits(twin)


# What machine code leaves


def grown(n, factor):
    total = 0
    while total < n:
        total = total * factor + 1
    return total


def divided(x, n):
    total = 0.0
    while x.sum() > 1:
        x, n = x * 0.5, n - 1
        total += 1 / n
    return total, x


def test_python_takes_over_where_numbers_are_too_large(both: Load) -> None:
    native, plain = both(lambda x, n, f: (grown(n, f), x * 2), X, 5, 3)
    with taken(2):
        same(native, plain, X, 50, 2)
        same(native, plain, X, 1 << 40, 7)
    with taken(0, 2):
        assert same(native, plain, X, 1 << 63, 3)
        assert same(native, plain, X, (1 << 62) + 5, 1 << 61)


def test_an_error_in_the_middle_is_pythons(both: Load) -> None:
    native, plain = both(divided, X * 8, 50)
    with taken(1):
        same(native, plain, X * 8, 50)
    with taken(0, 1):
        found = same(native, plain, X * 8, 3)
    assert found[0] is ZeroDivisionError


def test_an_index_that_is_out_of_bounds_is_pythons_error(both: Load) -> None:
    def walked(x, places):
        rounds = 0
        while x.max() < 100:
            x, places = x + x[places], places + 1
            rounds += 1
        return x, rounds

    native, plain = both(walked, X * 60, tj.tensor([0, 1, 1]))
    with taken(1):
        same(native, plain, X * 60, tj.tensor([0, 1, -3]))
    with taken(0, 2):
        assert same(native, plain, X, tj.tensor([0, 1, 1]))[0] is IndexError
        assert same(native, plain, X, tj.tensor([0, -4, 1]))[0] is IndexError


def test_state_of_another_type_is_left_to_python(both: Load) -> None:
    class Counting:
        def __init__(self):
            self.n = 0

        def __call__(self, x):
            while x.max() > 1:
                x = x * 0.5
                self.n += 1
            return x

    native, plain = both(Counting(), X)
    for value in (3, 1 << 70):
        for each in (native, plain):
            each.load_state_dict({"n": value})
        with taken(*((1, 0) if value == 3 else (0, 1))):
            assert same(native, plain, X * 9)[0] == "tensor"
    assert native.state_dict()["n"] > 1 << 70


def sorted_rounds(x):
    while x.max() > 1:
        x = tj.sort(x) * 0.5
    return x


def test_what_numpy_computes_is_gone_round_by_python(both: Load, tmp_path: Path) -> None:
    native, plain = both(sorted_rounds, X)
    with taken(0):
        same(native, plain, tj.tensor([9.0, 3.0, 4.0]))
    (told,) = (line for line in overview(tmp_path / "f.tj").splitlines() if "loops:" in line)
    assert "by Python, as sort is computed by NumPy" in told


def test_inspect_tells_of_machine_code(both: Load, tmp_path: Path) -> None:
    both(divided, X, 5)
    assert "  loops: machine code" in overview(tmp_path / "f.tj").splitlines()
    tj.export(lambda x: x * 2, (X,), tmp_path / "f.tj")
    assert "loops:" not in overview(tmp_path / "f.tj")


# Interruptions and threads


class Endless:
    def __init__(self, size: int) -> None:
        self.total, self.calls = tj.zeros(size), 0

    def __call__(self, x, factor):
        self.calls += 1
        while x.max() > 0.5:
            x = x * factor
            self.total.add_(x)
        return self.total.sum()


@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeoutError])
@pytest.mark.parametrize("size", [4, 1 << 15])
def test_a_loop_without_end_is_interrupted(
    both: Load, size: int, error: type[BaseException]
) -> None:
    native, plain = both(Endless(size), tj.ones(size), tj.tensor(0.5))
    same(native, plain, tj.ones(size), tj.tensor(0.25))
    before = shown(native)
    with taken(0), ringing(error), pytest.raises(error):
        native(tj.ones(size), tj.tensor(1.0))
    assert shown(native) == before
    with taken(1):
        same(native, plain, tj.ones(size), tj.tensor(0.25))


@pytest.mark.parametrize("size", [4, 1 << 15])
def test_other_threads_run_while_one_does_not_end(both: Load, size: int) -> None:
    def endless(x, factor):
        rounds = 0
        while x.max() > 0.5:
            x, rounds = x * factor, rounds + 1
        return x, rounds

    native, plain = both(endless, tj.ones(size), tj.tensor(0.5))
    factors = [tj.tensor(each) for each in (0.5, 0.75, 0.875)]
    wanted = [outcome(plain, tj.ones(size), each) for each in factors]
    found: list[Any] = []

    def run() -> None:
        found.extend([outcome(native, tj.ones(size), each) for each in factors] for _ in range(3))

    threads = [threading.Thread(target=run) for _ in range(3)]
    timer = threading.Timer(0.0, lambda: [each.start() for each in threads])
    timer.start()
    with ringing(KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        native(tj.ones(size), tj.tensor(1.0))
    timer.join()
    for each in threads:
        each.join()
    assert found == [wanted] * 9


@pytest.mark.parametrize("size", [4, 1 << 15])
def test_a_process_ends_though_threads_go_round(
    both: Load, size: int, tmp_path: Path, run_python: Callable[..., str]
) -> None:
    def endless(x, factor):
        rounds = 0
        while x.max() > 0.5:
            x, rounds = x * factor, rounds + 1
        return x, rounds

    both(endless, tj.ones(size), tj.tensor(0.5))
    script = f"""
import threading, time
import tracejit as tj
loaded = tj.load({str(tmp_path / "f.tj")!r})
for _ in range(2):
    args = tj.ones({size}), tj.tensor(1.0)
    threading.Thread(target=loaded, args=args, daemon=True).start()
time.sleep(0.1)
print("the end")
"""
    assert run_python(script).strip() == "the end"


def test_threads_of_a_setting_are_those_of_the_call(both: Load) -> None:
    native, plain = both(doubled, np.ones((300, 400), np.float32), 5)
    before = tj.get_num_threads()
    try:
        for count in (1, 2, 3, 1):
            tj.set_num_threads(count)
            with taken(1):
                same(native, plain, np.ones((300, 400), np.float32), 5)
    finally:
        tj.set_num_threads(before)


# The file


@functools.cache
def entry() -> str:
    """The call's object in the artifact of a training step with a loop."""
    (found,) = (name for name in entries() if "/call_" in name)
    return found


def loaded(parts: dict[str, bytes], tmp_path: Path) -> Any:
    (tmp_path / "f.tj").write_bytes(resealed(parts))
    return tj.load(tmp_path / "f.tj")


def test_without_the_object_python_goes_round(tmp_path: Path) -> None:
    parts = entries()
    del parts[entry()]
    with taken(2):
        wanted = results(loaded(entries(), tmp_path))
    assert wanted == expected()
    with taken(0):
        assert results(loaded(parts, tmp_path)) == wanted
    assert "loops: by Python, as there is no object" in overview(tmp_path / "f.tj")


def test_an_object_that_is_none_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"no object", entries()[entry()][:200]):
        with pytest.raises(tj.ArtifactError, match="call_"):
            loaded({**entries(), entry(): content}, tmp_path)


def test_an_object_that_was_changed_is_refused(tmp_path: Path) -> None:
    content = bytearray(entries()[entry()])
    content[len(content) // 2] ^= 1
    (tmp_path / "f.tj").write_bytes(packed({**entries(), entry(): bytes(content)}))
    with pytest.raises(tj.ArtifactError):
        tj.load(tmp_path / "f.tj")


def test_an_object_is_not_entered_for_other_records(tmp_path: Path) -> None:
    """Its name is that of the text that this call would have."""
    parts = entries()
    changed, count = re.subn(
        rb'("is": "Known",\s+"value": )0\.1000\S+\s', rb"\g<1>1e-9 ", parts["manifest.json"]
    )
    assert count
    with taken(0):
        found = results(loaded({**parts, "manifest.json": changed}, tmp_path))
    assert all(rounds > 10 for _, rounds in found)


def test_the_same_function_gives_the_same_file() -> None:
    one = artifact()
    artifact.cache_clear()
    assert artifact() == one
