"""Random nestings of the expressions that replays are made of, with random values: machine code does what Python does."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.runtime.native.harness import Code, agree, takes_no_references
from tracejit.runtime.cpu.native.install import installed
from tracejit.tracing.replay.guards.values import typed

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")


class Whole(int):
    pass


class Real(float):
    pass


class Names(dict):  # type: ignore[type-arg]
    pass


class Items(list):  # type: ignore[type-arg]
    pass


class Pair(tuple):  # type: ignore[type-arg]
    __slots__ = ()


class Owner:
    def __init__(self, x: Any) -> None:
        self.x = x

    def __repr__(self) -> str:
        return "an owner"


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x

    __repr__ = Owner.__repr__


KINDS = [
    int,
    float,
    bool,
    str,
    tuple,
    list,
    dict,
    Whole,
    Names,
    Owner,
    Slotted,
    type(None),
    np.float64,
]
NAMES: dict[str, Any] = {f"K{place}": kind for place, kind in enumerate(KINDS)} | {
    "K20": typed,
    "K21": typed(("a", "b")),
    "K22": operator.add,
    "K23": max,
    "K24": 2**65,
    "K25": math.inf,
    "K26": (1, "a"),
    "K27": {"a": 1, "b": 2},
    "K28": Owner(3),
}

# Values


def text(letters: list[str]) -> str:
    """A string that is no constant of the code."""
    return "".join(letters)


NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([2**63, -(2**63), 2**63 - 1, 2**65, -(2**70)]),
    st.sampled_from([0.0, -0.0, 1.0, 1.5, -1.0, math.nan, math.inf, 3.0]),
    st.booleans(),
    st.sampled_from([Whole(1), Whole(2**65), Real(1.0), Real(-0.0), np.float64(1.0), np.int64(3)]),
)
ATOMS = NUMBERS | st.none() | st.lists(st.sampled_from("ab"), max_size=2).map(text)


def containers(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    listed = st.lists(parts, max_size=3)
    keys = st.sampled_from(["a", "b", 1, 1.0, True, -0.0, None])
    named = st.dictionaries(keys, parts, max_size=3)
    kinds = [tuple, list, Pair, Items]
    return st.one_of(
        st.builds(lambda kind, parts: kind(parts), st.sampled_from(kinds), listed),
        st.builds(lambda kind, parts: kind(parts), st.sampled_from([dict, Names]), named),
        named.map(lambda names: {"".join([*str(key)]): part for key, part in names.items()}),
        st.builds(lambda kind, part: kind(part), st.sampled_from([Owner, Slotted]), parts),
    )


VALUES = st.recursive(ATOMS, containers, max_leaves=5)

# Code

CONSTANTS = st.sampled_from(
    [
        "0", "1", "-1", "3", "True", "False", "None", "1.5", "0.0", "-0.0", "'a'", "'b'", "''", "(1, 'a', )", "()",
        "(-1, (2.0, ), )",         "9223372036854775808", "K24", "K25", "K26", "K27", "K28", "slice(1, None, None)",
    ]
)  # fmt: skip
GIVEN = st.sampled_from(["args[0]", "args[1]", "kwargs['name']", "E[0]", "s0"])
ARGUMENTS = GIVEN | st.sampled_from(["E[1]", "s1"])
ALONE = st.sampled_from(["None", "True", "False", "K27", "K28"])


def larger(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    keys = st.sampled_from(["'a'", "'b'", "0", "1", "-1", "1.0", "True", "s1", "'x'"])
    binary = st.sampled_from(["+", "-", "*", "/", "//", "%", "&", "|"])
    return st.one_of(
        st.builds(lambda a, op, b: f"({a}) {op} ({b})", parts, binary, parts),
        st.builds(lambda a, key: f"{a}[{key}]", ARGUMENTS, keys),
        st.builds(lambda a, key: f"({a})[{key}]", parts, keys),
        st.builds(lambda a: f"({a}).x", parts),
        st.builds(lambda a: f"({a}).__dict__", parts),
        st.builds(lambda a: f"-({a})", parts),
        st.builds(lambda a: f"len({a})", parts),
        st.builds(lambda a: f"type({a})", parts),
        st.builds(lambda a: f"repr({a})", parts),
        st.builds(lambda a, b: f"K23({a}, {b})", parts, parts),
        st.builds(lambda a, b: f"K22({a}, {b})", parts, parts),
        st.builds(lambda a, b: f"({a}, {b}, )", parts, parts),
        st.builds(lambda a, b: f"[{a}, {b}]", parts, parts),
        st.builds(lambda a, b: f"{{{a}, {b}}}", parts, parts),
        st.builds(lambda a: f"[*{a}]", ARGUMENTS),
        st.builds(lambda a: f"len({a} or ())", ARGUMENTS),
        st.builds(lambda a: f"({a}).get('a', K25)", parts),
        CONDITIONS,
    )


def compared(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    relation = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
    kinds = st.sampled_from([f"K{place}" for place in range(len(KINDS))])
    return st.one_of(
        st.builds(lambda a, op, b: f"({a}) {op} ({b})", values, relation, values),
        st.builds(lambda a, kind: f"type({a}) is {kind}", values, kinds),
        st.builds(
            lambda a, kind, b: f"type({a}) is {kind} and {a} == {b}", ARGUMENTS, kinds, CONSTANTS
        ),
        st.builds(lambda a, n: f"len({a}) == {n}", values, st.integers(0, 3)),
        st.builds(lambda a: f"K20({a}) == K21", ARGUMENTS),
        st.builds(lambda a: f"type({a}) is dict and K20({a}) == K21", ARGUMENTS),
        # Not of numbers that the code makes: which of those are one object is nobody's business.
        st.builds(lambda a, b: f"len({{*map(id, ({a}, {b}))}}) == 2", GIVEN, GIVEN),
        st.builds(
            lambda a, op, b: f"{a} {op} {b}",
            GIVEN,
            st.sampled_from(["is", "is not"]),
            GIVEN | ALONE,
        ),
        st.builds(lambda a: f"({a}) is True", values),
        st.builds(lambda a: f"({a})", values),
    )


CONDITIONS: st.SearchStrategy[str] = st.recursive(
    compared(ARGUMENTS | CONSTANTS),
    lambda parts: st.one_of(
        st.builds(lambda a, b: f"({a}) and ({b})", parts, parts),
        st.builds(lambda a, b: f"({a}) or ({b})", parts, parts),
        st.builds(lambda a: f"not ({a})", parts),
    ),
    max_leaves=4,
)
EXPRESSIONS = st.recursive(ARGUMENTS | CONSTANTS, larger, max_leaves=6)
GUARDS = st.one_of(
    st.builds(lambda a: f"if not ({a}): return 1", CONDITIONS | compared(EXPRESSIONS)),
    st.builds(lambda a: f"if {a}: return 1", CONDITIONS),
    st.builds(
        lambda a, kind: f"if not (type({a}) is {kind}): return 1",
        st.sampled_from(["s0", "s1"]),
        st.sampled_from([f"K{place}" for place in range(len(KINDS))]),
    ),
    st.builds(lambda a: f"s1 = {a}", EXPRESSIONS),
    st.builds(lambda a: f"E[1] = {a}", EXPRESSIONS),
)
EFFECTS = st.one_of(
    st.builds(lambda a: f"s0.append({a})", EXPRESSIONS),
    st.builds(lambda a: f"s0.x = {a}", EXPRESSIONS),
    st.builds(lambda a: f"s0['a'] = {a}", EXPRESSIONS),
    st.builds(lambda a: f"s0.x += {a}", EXPRESSIONS),
    st.builds(lambda a: f"v0, v1, = {a}", EXPRESSIONS),
    st.builds(lambda a: f"s1 = {a}", EXPRESSIONS),
)
START = ["s0 = args[0]", "s1 = args[1]", "E[0] = s0", "E[1] = kwargs['name']"]


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example]
)
@given(
    guards=st.lists(GUARDS, max_size=3),
    run=st.lists(EXPRESSIONS, max_size=2),
    effects=st.lists(EFFECTS, max_size=2),
    result=EXPRESSIONS,
    values=st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=4, max_size=4),
)
def test_random_code(
    guards: list[str], run: list[str], effects: list[str], result: str, values: Any
):
    code = Code(
        enter=[*START, *guards],
        run=[f"E[{2 + place}] = {each}" for place, each in enumerate(run)],
        commit=[*START[:2], *effects, f"return ({result}, s1, )"],
        names=NAMES,
    )
    code.run = [line.replace("s0", "E[0]").replace("s1", "E[1]") for line in code.run]
    if code.way(((1, 2), {"name": 3})) is None:
        return  # Python runs it
    worlds = [lambda given=given: copied(given) for given in values]
    agree(code, worlds)
    if not effects:
        native = code.native(worlds[0]())
        takes_no_references(native, worlds[0]())


def copied(given: tuple[Any, Any, Any]) -> Any:
    """Arguments that calls may write to."""
    first, second, named = (twin(each) for each in given)
    return (first, second), {"name": named}


def twin(value: Any) -> Any:
    kind = type(value)
    if kind in (list, tuple, Pair, Items):
        return kind(map(twin, value))
    if kind in (dict, Names):
        return kind((key, twin(part)) for key, part in value.items())
    return kind(twin(value.x)) if kind in (Owner, Slotted) else value
