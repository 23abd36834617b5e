"""Loops, decisions and ways that guards choose: machine code goes the way that Python goes, and holds nothing afterwards."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.native.harness import (
    MISSED,
    Entry,
    holds_nothing,
    outcome,
    takes_no_references,
)
from tracejit.runtime.cpu.native.install import installed
from tracejit.runtime.cpu.native.lines import Lines
from tracejit.runtime.cpu.native.ways import way_of
from tracejit.tracing.replay.translation import Broken, language
from tracejit.tracing.replay.tree import key_of

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")

SLOTS = 64
TRUE, FALSE = (bool, True), (bool, False)
Call = Callable[..., Any]


def native(lines: Lines, names: Mapping[str, Any], positional: int = 1) -> Entry:
    way = way_of(
        lines,
        names,
        positional=positional,
        keywords=(),
        arrays={},
        on_break=Broken("code"),
        language=language(),
    )
    assert way is not None, "the code has a translation"
    return Entry(way)


def python(lines: Lines, names: Mapping[str, Any]) -> Call:
    """The same by Python: what a tree does with its nodes."""
    made: dict[Lines, Any] = {}

    def functions(each: Lines) -> Any:
        if each not in made:
            parts = {"enter": [*each.enter, "return 0"], "run": each.run, "commit": each.commit}
            text = "".join(
                f"def {name}(E, args, kwargs):\n " + "\n ".join(body or ["pass"]) + "\n"
                for name, body in parts.items()
            )
            scope = dict(names)
            exec(text, scope)
            made[each] = SimpleNamespace(**{name: scope[name] for name in parts})
        return made[each]

    def entered(ways: tuple[Lines, ...], *state: Any) -> Lines | None:
        for each in ways:
            try:
                if not functions(each).enter(*state):
                    return each
            except Exception:
                continue
        return None

    def call(*args: Any, **kwargs: Any) -> Any:
        state = [None] * SLOTS, args, kwargs
        heads: dict[int, Lines] = {}
        here = entered((lines,), *state)
        while here is not None:
            if here.loop is not None:
                heads[here.loop] = here
            try:
                functions(here).run(*state)
            except Exception:
                return MISSED
            if here.commit:
                return functions(here).commit(*state)
            if here.again is not None:
                here = heads[here.again]
                continue
            ways = dict(here.following)
            key = None if None in ways else key_of(state[0][here.decision])
            here = entered(ways.get(key, ()), *state)
        return MISSED

    return call


def agree(lines: Lines, worlds: list[Callable[[], tuple[Any, ...]]], **names: Any) -> list[bool]:
    """Both do the same in all worlds, and calls hold on to nothing; gives which calls were taken."""
    code, plain = native(lines, names, len(worlds[0]())), python(lines, names)
    taken = []
    for world in worlds:
        expected = outcome(plain, (world(), {}))
        assert outcome(code, (world(), {})) == expected
        taken.append(expected[1] != ("str", MISSED) and expected[1] != (str, MISSED))
        holds_nothing(code, lambda world=world: (world(), {}))  # type: ignore[misc]
    return taken


def leaf(*slots: int) -> Lines:
    return Lines((), (), [f"return ({''.join(f'E[{slot}], ' for slot in slots)})"])


def loop(
    before: list[str], head: list[str], body: Lines, after: Lines, *, number: int = 0
) -> Lines:
    """`while E[9]: ...`, whose head says what that is."""
    rounds = Lines(
        (), head, decision=9, following=((TRUE, (body,)), (FALSE, (after,))), loop=number
    )
    return Lines((), before, following=((None, (rounds,)),))


def counting(*body: str, start: str = "0") -> Lines:
    """Rounds for as many numbers as the first argument says; gives all slots that change."""
    return loop(
        [f"E[0] = args[0][{start!s}]", "E[1] = 0", "E[2] = [0]", "E[3] = (0.5)"],
        ["E[9] = (E[1]) < (E[0])"],
        Lines((), [*body, "E[4] = (E[1]) + (1)", "E[1], = E[4], "], again=0),
        leaf(1, 2, 3),
    )


def rounds(*counts: int) -> list[Callable[[], tuple[Any, ...]]]:
    return [lambda count=count: ([count],) for count in counts]  # type: ignore[misc]


# What goes round


def test_a_loop_goes_round_as_often_as_data_says():
    assert agree(counting(), rounds(0, 1, 2, 7, 40)) == [True] * 5


def test_what_a_round_makes_goes_on_to_the_next():
    agree(counting("E[2] = [*E[2], ]", "E[3] = (E[3]) * (1.5)"), rounds(0, 1, 9))
    agree(counting("E[2] = (E[2], E[3], )", "E[3] = (E[1], )"), rounds(0, 1, 2, 5))


def test_values_that_change_places():
    swapped = counting("E[2], E[3], = E[3], E[2], ")
    agree(swapped, rounds(0, 1, 2, 3))
    turned = counting("E[3] = (E[3]) + (1)", "E[2], E[3], E[0], = E[3], E[0], E[2], ")
    assert agree(turned, rounds(0)) == [True]


def test_numbers_beyond_a_machine_word():
    agree(counting("E[2] = (E[3])", "E[3] = (E[3]) * (4294967297)"), rounds(0, 1, 3))
    grown = counting("E[3] = ((E[1]) + (1)) * (18446744073709551616)")
    agree(grown, rounds(0, 1, 3))


def test_conditions_and_lengths_go_round_as_objects():
    agree(counting("E[3] = len(E[2])", "E[2] = (E[2], E[3] is None, not E[3], )"), rounds(0, 1, 4))


def test_many_rounds_need_no_more_references_than_few():
    code = native(counting("E[2] = [E[1], E[3]]", "E[3] = (E[3]) + (0.25)"), {})
    code([3])
    before = sys.getallocatedblocks()
    assert code([100_000])[0] == 100_000
    assert sys.getallocatedblocks() - before < 50


def test_what_a_round_has_made_is_let_go_of_when_it_ends():
    alive, most = [0], [0]

    class Counted:
        def __init__(self) -> None:
            alive[0] += 1
            most[0] = max(most[0], alive[0])

        def __del__(self) -> None:
            alive[0] -= 1

    code = native(counting("E[5] = K0()", "E[6] = K0()", "E[2], = E[5], "), {"K0": Counted})
    result = code([50])
    assert most[0] <= 4
    assert alive[0] == 1
    del result
    assert alive[0] == 0


# Loops in loops


def nested() -> Lines:
    """For each of the first argument's numbers: rounds from there down to 0."""
    inner = loop(
        ["E[3] = args[0][1]"],
        ["E[9] = (E[3]) > (E[1])"],
        Lines((), ["E[3] = (E[3]) - (1)", "E[2] = (E[2]) + (E[3])"], again=1),
        Lines((), ["E[1] = (E[1]) + (1)", "E[4] = [E[2], E[4]]"], again=0),
        number=1,
    )
    return loop(
        ["E[1] = 0", "E[2] = 0", "E[4] = None"],
        ["E[9] = (E[1]) < (args[0][0])"],
        inner,
        leaf(1, 2, 4),
    )


def test_loops_in_loops():
    worlds = [lambda n=n, m=m: ([n, m],) for n in (0, 1, 4) for m in (0, 1, 5)]  # type: ignore[misc]
    assert agree(nested(), worlds) == [True] * 9


def test_a_round_that_ends_in_several_ways():
    odd = Lines((), ["E[2] = (E[2]) * (3)", "E[1] = (E[1]) + (1)"], again=0)
    even = Lines((), ["E[2] = [E[2]]", "E[2] = len(E[2])", "E[1] = (E[1]) + (2)"], again=0)
    body = Lines(
        (),
        ["E[5] = (E[1]) % (3)"],
        decision=5,
        following=(((int, 0), (odd,)), ((int, 1), (even,)), ((int, 2), (leaf(1),))),
    )
    lines = loop(
        ["E[1] = args[0][1]", "E[2] = 1"], ["E[9] = (E[1]) < (args[0][0])"], body, leaf(1, 2)
    )
    worlds = [lambda n=n, k=k: ([n, k],) for n in (0, 1, 9, 20) for k in (-5, 0, 1, 2)]  # type: ignore[misc]
    assert all(agree(lines, worlds))


def test_an_outcome_that_is_not_known_leaves_the_call_to_python():
    body = Lines(
        (),
        ["E[1] = (E[1]) + (1)", "E[5] = (E[1]) > (3)"],
        decision=5,
        following=((FALSE, (Lines((), (), again=0),)),),
    )
    lines = loop(["E[1] = 0"], ["E[9] = (E[1]) < (args[0][0])"], body, leaf(1))
    assert agree(lines, rounds(0, 2, 3, 4, 9)) == [True, True, True, False, False]


def test_what_fails_in_a_round_leaves_the_call_to_python():
    lines = counting("E[3] = (1) / ((E[1]) - (3))")
    assert agree(lines, rounds(0, 3, 4, 9)) == [True, True, False, False]


# Guards that choose


def choosing(*ways: Lines) -> Lines:
    return Lines(["s0 = args[0]"], ["E[0] = 1"], following=((None, ways),))


def where(condition: str, result: str) -> Lines:
    return Lines(["s0 = args[0]", f"if not ({condition}): return 1"], (), [f"return {result}"])


def test_the_first_way_whose_guards_hold_is_taken():
    lines = choosing(where("s0 == 1", "'one'"), where("s0 < 3", "'few'"), where("s0 == 7", "7"))
    worlds = [lambda n=n: (n,) for n in (0, 1, 2, 3, 7, 2**70)]  # type: ignore[misc]
    assert agree(lines, worlds) == [True, True, True, False, True, False]


def test_a_guard_that_raises_does_not_hold():
    lines = choosing(
        where("s0['a'] == 1", "'a'"), where("s0.x == 2", "'x'"), where("True", "args[0]")
    )
    objects = ({"a": 1}, {"a": 2}, {}, SimpleNamespace(x=2), SimpleNamespace(), 3)
    worlds = [lambda each=each: (each,) for each in objects]  # type: ignore[misc]
    assert all(agree(lines, worlds))


def test_what_one_way_knows_of_a_value_the_next_does_not():
    lines = choosing(
        where("type(s0) is K0 and s0 == {}", "len(args[0])"),
        where("True", "(args[0], 1 in args[0], )"),
    )
    objects: tuple[Any, ...] = ({}, {1: 2}, [], [1], (), (0, 1))
    agree(lines, [lambda each=each: (each,) for each in objects], K0=dict)  # type: ignore[misc]


def test_what_guards_of_a_round_read_goes_on_to_the_next():
    body = Lines(["E[3] = (E[2], args[0], )"], ["E[1], E[2], = (E[1]) + (1), E[3], "], again=0)
    before = ["E[1] = 0", "E[2] = 0", "E[3] = 0"]
    lines = loop(before, ["E[9] = (E[1]) < (args[0])"], body, leaf(1, 2, 3))
    assert all(agree(lines, [lambda n=n: (n,) for n in (0, 1, 4)]))  # type: ignore[misc]


def test_what_is_no_ordinary_error_of_a_guard_goes_to_the_caller():
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise KeyboardInterrupt

        __hash__ = None  # type: ignore[assignment]

    code = native(choosing(where("s0 == 1", "1"), where("True", "2")), {})
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            code(Odd())
    assert code(5) == (2)


def test_nothing_to_go_on_with_is_a_miss():
    lines = Lines(
        (), ["E[0] = args[0]"], decision=0, following=(((int, 1), ()), ((int, 2), (leaf(0),)))
    )
    assert agree(lines, [lambda n=n: (n,) for n in (1, 2, 3)]) == [False, True, False]  # type: ignore[misc]


# Interruptions


ENDLESS = counting("E[1] = (E[1]) - (1)", "E[2] = [E[1], E[3]]")
"""Rounds without end."""


def test_an_endless_loop_can_be_interrupted():
    code = native(ENDLESS, {})
    blocks = sys.getallocatedblocks()
    for _ in range(3):
        with Ringing(KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            code([1])
    assert code([0]) == (0, [0], 0.5)
    assert sys.getallocatedblocks() - blocks < 500


def test_what_a_handler_of_a_signal_raises_reaches_the_caller():
    code = native(ENDLESS, {})
    with Ringing(TimeoutError), pytest.raises(TimeoutError):
        code([1])


def test_a_handler_may_call_what_it_interrupts():
    code = native(ENDLESS, {})
    seen: list[Any] = []

    def handle() -> None:
        seen.append(code([0]))
        raise KeyboardInterrupt

    with Ringing(handle), pytest.raises(KeyboardInterrupt):
        code([1])
    assert seen == [(0, [0], 0.5)]


class Ringing:
    """Inside the block a signal comes after a moment; its handler calls this, or raises it."""

    def __init__(self, action: Any) -> None:
        self._action = action

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, 0.02)

    def __exit__(self, *error: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _ring(self, *_: object) -> None:
        if isinstance(self._action, type):
            raise self._action
        self._action()


def test_other_threads_go_on_meanwhile_and_can_end_it():
    code, started, ended = native(ENDLESS, {}), threading.Event(), []

    def run() -> None:
        started.set()
        try:
            code([1])
        except SystemExit as error:
            ended.append(type(error))

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    assert code([0]) == (0, [0], 0.5)
    raised = ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
    )
    thread.join(20)
    assert raised == 1
    assert ended == [SystemExit]


# Random stretches

STATEMENTS = (
    "E[{a}] = (E[{b}]) + (E[{c}])", "E[{a}] = [E[{b}], E[{c}]]", "E[{a}] = (E[{b}], )", "E[{a}], E[{b}], = E[{b}], E[{a}], ",
    "E[{a}], E[{b}], E[{c}], = E[{b}], E[{c}], E[{a}], ", "E[{a}] = len(args[0])", "E[{a}] = {c}", "E[{a}] = {c}.5",
    "E[{a}] = E[{b}] is E[{c}]", "E[{a}] = K0(E[{b}])", "E[{a}] = args[0]['n']", "E[{a}] = -(E[{b}])", "pass",
)  # fmt: skip
GUARDS = (
    "'x' in args[0]",
    "args[0]['n'] > {a}",
    "args[0].get('y', {b}) == {c}",
    "len(args[0]) < {a}",
)
FIRST, LAST = 10, 14
"""The slots that random statements use; the fuel is in slot 1."""


def shortened(value: Any) -> Any:
    """Something small that is made of a value; an error for some."""
    if value == 3:
        raise ValueError
    return str(value)[:5]


@st.composite
def statements(draw: st.DrawFn) -> list[str]:
    slots = st.integers(FIRST, LAST)
    chosen = draw(st.lists(st.sampled_from(STATEMENTS), max_size=3))
    return [each.format(a=draw(slots), b=draw(slots), c=draw(slots)) for each in chosen]


@st.composite
def stretches(draw: st.DrawFn, depth: int, heads: tuple[int, ...]) -> Lines:
    """All that comes from here on; `heads` are the loops around."""
    enter = []
    for guard in draw(st.lists(st.sampled_from(GUARDS), max_size=1)):
        numbers = [draw(st.integers(0, 3)) for _ in "abc"]
        enter = [f"if not ({guard.format(a=numbers[0], b=numbers[1], c=numbers[2])}): return 1"]
    run = draw(statements())
    result = f"return ({''.join(f'E[{slot}], ' for slot in range(FIRST, LAST + 1))})"
    kind = draw(
        st.sampled_from(["leaf", "again", "decide", "loop"] if depth else ["leaf", "again"])
    )
    if kind == "leaf" or (kind == "again" and not heads):
        return Lines(enter, run, [result])
    if kind == "again":
        return Lines(enter, run, again=draw(st.sampled_from(heads)))
    number = len(heads)
    if kind == "loop":
        ways = tuple(
            Lines(
                (),
                ["E[1] = (E[1]) - (1)", *draw(statements()), "E[9] = (E[1]) > (0)"],
                decision=9,
                following=(
                    (TRUE, (draw(stretches(depth - 1, (*heads, number))),)),
                    (FALSE, (draw(stretches(0, ())),)),
                ),
                loop=number,
            )
            for _ in range(draw(st.integers(1, 2)))
        )
        return Lines(enter, run, following=((None, ways),))
    below = st.lists(stretches(depth - 1, heads), min_size=1, max_size=2).map(tuple)
    slot = draw(st.integers(FIRST, LAST))
    run = [*run, f"E[8] = E[{slot}] is E[{FIRST}]"]
    return Lines(enter, run, decision=8, following=((TRUE, draw(below)), (FALSE, draw(below))))


@settings(max_examples=120)
@given(
    st.data(),
    st.lists(
        st.dictionaries(st.sampled_from("nxy"), st.integers(0, 4), max_size=3),
        min_size=3,
        max_size=5,
    ),
)
def test_random_stretches(data: st.DataObject, worlds: list[dict[str, int]]):
    first = [f"E[{slot}] = [{slot}]" for slot in range(FIRST, LAST + 1)]
    rest = data.draw(stretches(4, ()))
    lines = Lines((), ["E[1] = 12", *first], following=((None, (rest,)),))
    names = {"K0": shortened}
    code, plain = native(lines, names), python(lines, names)
    for world in worlds:
        assert outcome(code, (({**world},), {})) == outcome(plain, (({**world},), {}))
    takes_no_references(code, (({**worlds[0]},), {}))


def test_stretches_take_no_references():
    """Rounds of two loops, and rounds that fail."""
    takes_no_references(native(nested(), {}), (([3, 4],), {}))
    failing = native(counting("E[3] = K0(E[1])"), {"K0": shortened})
    for count in (2, 5):
        takes_no_references(failing, (([count],), {}))
