"""Integers that calls count on: read as numbers, and written over where nobody else can tell."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.runtime.native.harness import MISSED, Code, Entry
from tracejit.runtime.cpu.native.install import installed

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")


class Counter:
    __slots__ = ("count",)

    def __init__(self, count: Any) -> None:
        self.count = count


class Odd(int):
    """An integer of another class."""


NUMBERS = [
    0, 1, 4, 254, 255, 256, 257, 1000, (1 << 30) - 3, (1 << 30) - 2, (1 << 30) - 1, 1 << 30, 1 << 45, (1 << 60) - 1, 1 << 60,
    (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, 1 << 64, 1 << 100, -1, -5, -6, -257, -(1 << 30), -(1 << 62), -(1 << 64),
]  # fmt: skip
OTHERS = [True, 1.0, Odd(1000), "1000", None]
ENTRY = Code(
    enter=[
        "s0 = args[0]",
        "if not (type(s0) is dict): return 1",
        "s1 = s0['n']",
        "if not (type(s1) is int): return 2",
        "E[0] = s1",
        "E[1] = E[0] + 1",
        "E[2] = E[1] + 2",
        "E[3] = E[2] != E[1]",
        "if not (E[3] is True): return 3",
    ],
    commit=["s0 = args[0]", "s0['n'] = E[1]", "return E[1]"],
)
SLOT = Code(
    enter=["s0 = args[0]", "if not (type(s0) is Counter): return 1"],
    commit=["s0 = args[0]", "s0.count += 3", "return 'done'"],
    names={"Counter": Counter},
)


def made(number: Any) -> Any:
    """The same as an object of its own, unless Python has but one."""
    return int(str(number)) if type(number) is int else number


def native(code: Code, example: Any) -> Entry:
    return code.native(((example,), {}))


@pytest.mark.parametrize("is_held", [False, True])
def test_entries_are_counted_on_as_python_does(is_held: bool):
    call = native(ENTRY, {"n": 1})
    taken = 0
    for number in (*NUMBERS, *OTHERS):
        found = {"n": made(number), "more": 1}
        other = found["n"] if is_held else None
        result = call(found)
        if result is MISSED:
            assert repr(found["n"]) == repr(number)
            continue
        taken += 1
        assert (result, found) == (number + 1, {"n": number + 1, "more": 1})
        assert [*map(type, (result, found["n"]))] == [int, int]
        assert other is None or other == number
    assert taken == sum(-(1 << 63) <= number < (1 << 62) - 1 for number in NUMBERS)


@pytest.mark.parametrize("is_held", [False, True])
def test_slots_are_counted_on_as_python_does(is_held: bool):
    call = native(SLOT, Counter(1))
    for number in (*NUMBERS, True, 1.5, Odd(1000)):
        counter = Counter(made(number))
        other = counter.count if is_held else None
        assert call(counter) == "done"
        assert (type(counter.count), counter.count) == (type(number + 3), number + 3)
        assert other is None or (type(other), other) == (type(number), number)


def test_small_integers_are_those_that_python_keeps():
    call, counter = native(SLOT, Counter(1)), Counter(-10)
    for number in range(-7, 600, 3):
        call(counter)
        assert counter.count == number
        assert counter.count is made(number) or not -5 <= number <= 256


def test_integers_that_several_hold_are_not_written_over():
    call = native(ENTRY, {"n": 1})
    shared = made(5000)
    first, second = {"n": shared}, {"n": shared}
    del shared
    assert (call(first), first, second) == (5001, {"n": 5001}, {"n": 5000})
    assert (call(second), first, second) == (5001, {"n": 5001}, {"n": 5001})


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="references are counted in other ways")
def test_an_integer_that_nobody_else_holds_stays_where_it_is():
    counter, found = Counter(made(5000)), {"n": made(5000)}
    places = id(counter.count), id(found["n"])
    slot, entry = native(SLOT, Counter(1)), native(ENTRY, {"n": 1})
    for k in range(1, 5):
        slot(counter)
        assert entry(found) == 5000 + k
        assert (id(counter.count), id(found["n"])) == places
    assert (counter.count, found["n"]) == (5012, 5004)


def test_what_is_missing_is_missed():
    call = native(ENTRY, {"n": 1})
    assert call({}) is MISSED
    assert call({"m": 1}) is MISSED


def test_calls_hold_on_to_no_integer():
    entry = native(ENTRY, {"n": 1})
    for start in (5000, (1 << 30) - 2, 1 << 45):
        number = made(start)
        found = {"n": number}
        before = sys.getrefcount(number)
        entry(found)
        assert sys.getrefcount(number) == before - 1
