"""Open sizes: arithmetic as that of integers, and facts that tell for which other values the answers are the same."""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracejit import dtypes
from tracejit.ir.aval import aval
from tracejit.ir.dim import Dim, Sizes, at, plain

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod]
QUESTIONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
VALUES = st.integers(0, 12)
NUMBERS = st.integers(-4, 4)

Step = tuple[Callable[[Any, Any], Any], int, int | None, int]
"""An operation on the value at a place, and on the one at another, or on a number."""

steps = st.lists(
    st.tuples(
        st.sampled_from([*ARITHMETIC, *QUESTIONS]),
        st.integers(0, 30),
        st.one_of(st.none(), st.integers(0, 30)),
        NUMBERS,
    ),
    max_size=12,
)


def run(program: list[Step], values: list[Any]) -> list[Any]:
    """What the steps give; a question's answer says whether the next step is left out."""
    known, answers = list(values), []
    is_skipped = False
    for function, first, second, number in program:
        if is_skipped:
            is_skipped = False
            continue
        a = known[first % len(known)]
        b = number if second is None else known[second % len(known)]
        try:
            result = function(a, b)
        except ZeroDivisionError:
            answers.append("division by zero")
            continue
        if function in QUESTIONS:
            answers.append(bool(result))
            is_skipped = bool(result)
        else:
            known.append(result)
            answers.append(result)
    return answers


@given(steps, st.lists(VALUES, min_size=1, max_size=3), st.lists(VALUES, min_size=3, max_size=3))
def test_sizes_compute_as_integers_do_and_facts_say_where_the_answers_hold(program, now, others):
    sizes = Sizes()
    found = run(program, [sizes.variable(value) for value in now])
    assert [plain(each) for each in found] == run(program, now)
    later = others[: len(now)]
    try:
        atoms = sizes.atoms(later)
    except ZeroDivisionError:
        return
    facts = [
        ((size.at(atoms) == 0) if relation == "eq" else (size.at(atoms) < 0)) is outcome
        for (size, relation), outcome in sizes.facts.items()
    ]
    if all(facts):
        assert [at(each, atoms) for each in found] == run(program, later)


def test_equal_sizes_are_one_object():
    sizes = Sizes()
    n, m = sizes.variable(6), sizes.variable(5)
    assert n * m is m * n
    assert (n * 784) // 784 is n
    assert n + 1 - 1 is n
    assert n - n == 0
    assert (n * 4) % 2 == 0
    assert prod((n, m, 2)) is m * 2 * n
    assert aval(dtypes.float32, (n, 3)) is aval(dtypes.float32, (n, 3))
    assert not sizes.facts


def test_what_holds_for_all_sizes_is_no_fact():
    sizes = Sizes()
    n = sizes.variable(6)
    assert n + 1 != 0
    assert n != -1
    assert n >= 0
    assert not n * 3 < 0
    assert not sizes.facts


@pytest.mark.parametrize(
    "look",
    [int, float, str, repr, hash, "{}".format, range, [0].__mul__, lambda n: n / 2, lambda n: n**2],
)
def test_whoever_looks_at_the_value_fixes_it(look):
    sizes = Sizes()
    n = sizes.variable(6)
    found = look(n)
    if look is not hash:  # by identity, which says nothing of the value
        assert found == look(6)
        assert sizes.is_fixed()


def test_a_size_that_is_found_to_be_a_number_is_that_number_in_new_shapes():
    sizes = Sizes()
    n, m = sizes.variable(6), sizes.variable(4)
    assert m == 4
    assert aval(dtypes.float32, (n, m)) is aval(dtypes.float32, (n, 4))
    assert n - 2 == m
    assert aval(dtypes.float32, (n, 3)) is aval(dtypes.float32, (6, 3))


def test_closed_sizes_are_numbers_and_note_nothing():
    sizes = Sizes()
    n = sizes.variable(6)
    sizes.is_open = False
    assert int(n) == 6
    assert n < 7
    assert not sizes.facts
    assert aval(dtypes.float32, (n, 2)) is aval(dtypes.float32, (6, 2))


def test_names_tell_no_value():
    sizes = Sizes()
    n, m = sizes.variable(6), sizes.variable(4)
    size = n * m * 2 + n // 4 - 3
    assert isinstance(size, Dim)
    assert size.name == "n2+2*n0*n1+-3"
    assert size.text(["rows", "columns", "quarter"]) == "quarter+2*rows*columns+-3"
    assert str(sizes.labels[2]) == "(n0 // 4)"
    assert aval(dtypes.float32, (n, 3)).name == "f32[n0,3]"
    assert not sizes.facts
