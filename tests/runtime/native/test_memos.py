"""What native code remembers of dicts is what they hold, however they were changed."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.runtime.native.harness import Code, outcome
from tracejit._native import dicts
from tracejit.runtime.cpu.native.install import installed

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")

NAMES = "abcd"


class Owner:
    def __init__(self) -> None:
        self.a = 0


LOOKS = Code(
    ["s0 = args[0]", "if not (type(s0) is K0): return 1", "s1 = s0.__dict__"]
    + [f"if not ({name!r} not in s1): return 2" for name in "cd"]
    + ["s2 = s1['a']", "E[0] = s2", "E[1] = s1", "if not ('b' in K1): return 3", "E[2] = K1['b']"],
    commit=["return E[0], E[1], E[2]"],
    names={"K0": Owner, "K1": (table := dict[str, Any]())},
)
"""Of an object's dict, and of one that the code refers to."""

CHANGES: dict[str, Callable[[Owner, dict[str, Any], str, int], object]] = {
    "attribute": lambda owner, _, name, value: setattr(owner, name, value),
    "item": lambda _, names, name, value: names.__setitem__(name, value),
    "update": lambda _, names, name, value: names.update({name: value}),
    "default": lambda _, names, name, value: names.setdefault(name, value),
    "merge": lambda _, names, name, value: names.__ior__({name: value}),
    "pop": lambda _, names, name, value: names.pop(name, value),
    "last": lambda _, names, name, value: names.popitem() if names else None,
    "clear": lambda _, names, name, value: names.clear(),
    "nothing": lambda _, names, name, value: names.get(name),
    "other": lambda _, names, name, value: names.__setitem__(value, name),
    "dict": lambda owner, names, name, value: setattr(owner, "__dict__", {**names, name: value}),
}


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(CHANGES)),
            st.sampled_from(NAMES),
            st.integers(0, 2),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_any_way_to_change_a_dict_is_seen(steps: list[tuple[str, str, int, bool]]):
    owner = Owner()
    table.clear()
    table["b"] = 1
    arguments = (owner,), {}
    native, python = LOOKS.native(arguments), LOOKS.python(arguments)
    for change, name, value, of_object in steps:
        assert outcome(native, arguments) == outcome(python, arguments)
        if of_object or change in ("attribute", "dict"):
            CHANGES[change](owner, owner.__dict__, name, value)
        else:
            CHANGES[change](owner, table, name, value)
    assert outcome(native, arguments) == outcome(python, arguments)


def test_dicts_that_take_turns_in_one_place_of_memory():
    code = Code(
        ["s0 = args[0]", "if not (type(s0) is dict): return 1", "E[0] = s0['a']"],
        commit=["return E[0]"],
    )
    native = code.native((({"a": 0},), {}))
    for value in range(1000):
        assert native({"a": value}) == value
        gc.collect(0)


def test_keys_that_change_are_looked_for_anew():
    code = Code(
        [
            "s0 = args[0]",
            "if not (type(s0) is dict): return 1",
            "s1 = args[1]",
            "E[0] = s0[s1]",
            "E[1] = s1 in s0",
        ],
        commit=["return E[0], E[1]"],
    )
    names = {"a": 1, "b": 2}
    native = code.native(((names, "a"), {}))
    assert [native(names, key) for key in ("a", "b", "a")] == [(1, True), (2, True), (1, True)]


@pytest.mark.skipif(not dicts.have_versions(), reason="dicts of this Python have no versions")
def test_a_lookup_is_made_once_for_each_version():
    asked = []

    class Key(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            asked.append(other)
            return str.__eq__(self, other)

    names = {Key("a"): 1}
    code = Code(["E[0] = K0['a']"], commit=["return E[0]"], names={"K0": names})
    native = code.native(((), {}))
    assert [native() for _ in range(5)] == [1] * 5
    assert len(asked) == 1
    names["b"] = 2
    assert native() == 1
    assert len(asked) == 2


@pytest.mark.parametrize("way", ["attribute", "table", "delete", "another layer", "clear"])
def test_a_parameter_that_is_replaced_is_used(way: str):
    model = tj.nn.Sequential(tj.nn.Linear(3, 3), tj.nn.Linear(3, 3))

    @tj.compile
    def forward(x: tj.Tensor) -> tj.Tensor:
        return model(x)

    x = tj.ones((2, 3))
    with tj.no_grad():
        for _ in range(40):
            forward(x)
        tj.synchronize()
        forward(x)
        new = tj.nn.Parameter(tj.full((3, 3), 2.0))
        layer = model[1]
        if way == "attribute":
            layer.weight = new
        elif way == "table":
            layer._parameters["weight"] = new
        elif way == "delete":
            del layer.weight
            layer.weight = new
        elif way == "another layer":
            model._modules["1"] = tj.nn.Linear(3, 3)
        else:
            kept = {**layer._parameters, "weight": new}
            layer._parameters.clear()
            layer._parameters.update(kept)
        for _ in range(40):
            assert forward(x).tolist() == model(x).tolist()
