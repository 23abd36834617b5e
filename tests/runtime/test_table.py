"""The table of launches has rounds that are alike once, and its walk does all of them in order."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.programs import arrays_of, run
from tests.compiler.test_rolled import LOOPS, averaged, random_loop
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.compiler import compile_graph
from tracejit.ir.aval import aval
from tracejit.ir.graph import Effect, Graph, Input, Node
from tracejit.passes import repeats
from tracejit.runtime import table
from tracejit.runtime.table import Entry, Rounds, rounds_of


def spread(entries: list[Entry], groups: list[Rounds]) -> list[Entry]:
    """The launches that a table of these groups stands for."""
    found = []
    for group in groups:
        for turn in range(group.count):
            for entry, steps in zip(entries[group.start :], group.steps):
                places = tuple(at + turn * by for at, by in zip(entry.places, steps))
                found.append(Entry(entry.before, places, entry.dims))
    return found


def parts(entry: Entry) -> tuple[object, ...]:
    return entry.before, entry.places, entry.dims


def entry(kind: int, *places: int) -> Entry:
    return Entry((1, kind), places, (kind,))


def random_entries(rnd: Random) -> list[Entry]:
    """Runs of launches that are done again with their places moved, by turns, or with something else among them."""
    entries: list[Entry] = []
    for _ in range(rnd.randint(1, 4)):
        turns = rnd.choice((1, 1, 2, 3))
        launches = [
            [(rnd.randrange(3), rnd.randrange(9), rnd.choice((0, 0, 8, -8)))] * turns
            for _ in range(rnd.randint(1, 4))
        ]
        for number in range(rnd.choice((1, 2, 3, 7, 20))):
            for each in launches:
                kind, at, by = each[number % turns]
                entries.append(entry(kind, at + number % turns, 64 + by * (number // turns)))
            if rnd.random() < 0.1:
                entries.append(entry(rnd.randrange(3), 0, 0))
    return entries


@settings(max_examples=200)
@given(seed=st.integers(0, 10**6))
def test_rounds_stand_for_the_very_launches(seed: int) -> None:
    entries = random_entries(Random(seed))
    groups = [*rounds_of(entries)]
    assert [*map(parts, spread(entries, groups))] == [*map(parts, entries)]


def test_rounds_are_found_that_move_along_and_take_turns() -> None:
    along = [entry(k % 2, k // 2 + 1, 8 * (k // 2)) for k in range(40)]
    (group,) = rounds_of(along)
    assert (group.period, group.count, group.steps) == (2, 20, ((1, 8), (1, 8)))
    turns = [entry(0, 5, 64 * (k % 2)) for k in range(40)]
    (group,) = rounds_of(turns)
    assert (group.period, group.count) == (2, 20)
    others = [entry(k, 0) for k in range(40)]
    (group,) = rounds_of(others)
    assert (group.period, group.count) == (40, 1)
    assert [*rounds_of([])] == []


def swept(rounds: int) -> Graph:
    """Two arrays by turns, each made of the other."""
    x = Input(aval(dtypes.float32, (6, 6)), memory=0)
    a: Node = x
    for _ in range(rounds):
        a = averaged(a, apply("tanh", a))
    return Graph((x,), (), (Effect(x, a),))


def test_the_size_of_a_table_does_not_depend_on_the_number_of_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(repeats, "LEAST_NODES", 0)
    found = []
    for rounds in (40, 400):
        executable = compile_graph(swept(rounds))
        assert len(executable.plan.steps) > rounds
        found.append(sum(step.table.nbytes for step in executable.program._steps))
    assert found[0] == found[1] < 4000


@pytest.mark.parametrize("loop", LOOPS)
def test_a_walk_round_after_round_has_the_bits_of_a_walk_along_all(
    loop: Callable[[], Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    check(loop(), 0, monkeypatch)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_random_loops_have_the_bits_of_a_walk_along_all(seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        check(random_loop(Random(seed)), seed, patch)


def check(graph: Graph, seed: int, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(repeats, "LEAST_NODES", 0)
    patch.setattr(repeats, "LEAST_ROUNDS", 3)
    arrays = arrays_of(graph, seed)
    patch.setattr(table, "LEAST_LAUNCHES", 1 << 40)
    expected = run(graph, arrays)
    patch.setattr(table, "LEAST_LAUNCHES", 0)
    for a, b in zip(run(graph, arrays), expected, strict=True):
        assert a.tobytes() == b.tobytes()
