"""Every op has its rules, or a reason to have none."""

from __future__ import annotations

import copy
import pickle

import pytest

from tracejit import dtypes, ops
from tracejit.ir.aval import aval
from tracejit.ops.op import Op
from tracejit.ops.registry import NOT_DIFFERENTIABLE, REGISTRY, missing_rules, register

WITHOUT_FLOATS = {
    "advance", "all", "any", "argmax", "argmin", "argsort", "matmul_exact", "multiply_high", "philox", "searchsorted",
}  # fmt: skip
"""Ops whose arguments or result are never floating point."""


def gives_floats(op: Op) -> bool:
    if op.name in WITHOUT_FLOATS or op.name.startswith("bitwise"):
        return False
    try:
        arity = op.recipe.scalar.__code__.co_argcount - 1
        return op.infer(*[aval(dtypes.float64, (2,))] * arity).dtype.is_float
    except (AttributeError, TypeError):  # not pointwise, or with parameters: it takes floats
        return True


@pytest.mark.parametrize("op", REGISTRY.values(), ids=str)
def test_floating_point_ops_have_a_gradient_or_a_reason(op: Op) -> None:
    if gives_floats(op):
        assert (op.vjp is None) == (op.name in NOT_DIFFERENTIABLE)


def test_the_registry_lists_what_is_missing() -> None:
    missing = missing_rules()
    assert set(missing) <= set(REGISTRY)
    assert "vjp" not in missing["exp"]
    assert "jvp" in missing["exp"]
    assert missing["nextafter"] == ("vmap",)


def test_names_are_unique() -> None:
    with pytest.raises(ValueError, match="two ops named add"):
        register(ops.REGISTRY["add"])


@pytest.mark.parametrize("name", sorted(set(ops.__all__) - {"REGISTRY", "random"}))
def test_every_function_is_documented(name: str) -> None:
    function = getattr(ops, name)
    assert function.doc if isinstance(function, Op) else function.__doc__


@pytest.mark.parametrize("op", REGISTRY.values(), ids=str)
def test_copies_and_pickles_of_an_op_are_the_op(op: Op) -> None:
    for twin in (copy.copy(op), copy.deepcopy([op])[0], pickle.loads(pickle.dumps(op))):
        assert twin is op
