"""Each kind of guard is needed: with it left out, a program of the torture suite gives another answer than plain Python."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

import tracejit as tj
from tests.tracing.torture.harness import compare, load
from tracejit import eager
from tracejit.tracing.replay import guards as g

CAUGHT_BY = {
    ("AllDistinct", None): "list_alias",
    ("ArgumentsAre", 0): "defaults_added",
    ("ArgumentsAre", 1): "kwargs_defaults",
    ("ArrayIs", 0): "array_subclass",
    ("ArrayIs", 1): "array_dtypes",
    ("ArrayIs", 2): "array_written_in_place",
    ("ArrayIs", 3): "read_only_array",
    ("BasesAre", None): "mro_changed_under_a_super_call",
    ("ClassEntry", None): "kdict_of_a_super_call",
    ("ClassHas", None): "method_found_in_a_class_put_between",
    ("ClassLacks", None): "getattr_hook_added",
    ("CodeIs", 0): "code_of_the_function_replaced",
    ("Differ", None): "objects_told_apart_in_new_containers",
    ("Equals", None): "global_changed",
    ("Is", None): "monkeypatched_function",
    ("KeyIn", None): "key_present_only",
    ("KeysAre", None): "set_of_names",
    ("LengthIs", None): "deep_sum_of_lists",
    ("MemoryApart", None): "alias_fxx",
    ("ModeIs", None): "global_mode_switch",
    ("NumberIs", None): "isinstance_args",
    ("ResultIs", None): "shape_list_changed",
    ("SameObject", None): "is_compare",
    ("SettingsAre", None): "default_dtype_switched",
    ("SizeIs", None): "size_decides_in_many_ways",
    ("TensorIs", 0): "class_of_a_tensor_in_state",
    ("TensorIs", 1): "dtype_changes",
    ("TensorIs", 2): "strides_of_a_tensor_of_its_own",
    ("TensorIs", 3): "tensor_replaced_by_a_view_of_a_leaf",
    ("TensorIs", 4): "leaf_flag_switched",
    ("TensorIs", 5): "hook_on_a_leaf",
    ("TruthIs", None): "bool_of_outside_list",
    ("TypeIs", None): "class_of_an_object_assigned",
    ("ViewIs", None): "part_is_written",
}
"""(kind, which of its conditions is left out; None: all) -> a case that shows it."""
NO_CONDITION = frozenset({"Computed"})
"""They compute what other guards compare."""


def kinds() -> dict[str, type[g.Guard]]:
    return {
        name: kind
        for name, kind in vars(g).items()
        if isinstance(kind, type) and issubclass(kind, g.Guard) and kind is not g.Guard
    }


@pytest.mark.parametrize(("name", "left_out"), CAUGHT_BY)
def test_leaving_out_a_guard_is_noticed(
    name: str, left_out: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        eager, "QUICK_AFTER", sys.maxsize
    )  # eager ops, which stay right, have guards as well
    kind = kinds()[name]
    conditions = kind.conditions

    def fewer(self: Any, writer: Any) -> Iterator[str]:
        for place, condition in enumerate(conditions(self, writer)):
            if left_out is not None and place != left_out:
                yield condition

    case = load()[CAUGHT_BY[name, left_out]]
    assert not compare(case, tj.compile).difference
    monkeypatch.setattr(kind, "conditions", fewer)
    assert compare(case, tj.compile).difference


def test_every_kind_of_guard_is_left_out_once() -> None:
    assert {name for name, _ in CAUGHT_BY} == kinds().keys() - NO_CONDITION
