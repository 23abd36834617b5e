"""Eager ops that are called often become machine code, and go on meaning what they mean."""

from __future__ import annotations

import gc
import itertools
import math
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit import dispatch, eager
from tracejit.dispatch import Scalar
from tracejit.ops.op import Op
from tracejit.ops.registry import REGISTRY
from tracejit.runtime.cpu.native.install import installed
from tracejit.storage import as_array
from tracejit.tracing import quick

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")
TIMES = 6
ADD, MULTIPLY, EXP, MATMUL, POWER = (
    REGISTRY[name] for name in ("add", "multiply", "exp", "matmul", "power")
)


@pytest.fixture(autouse=True)
def _anew() -> None:
    """No op has machine code, and no program has been run, before a test."""
    for op in REGISTRY.values():
        op.take_ways(None)
    dispatch.ripe.clear()
    for interpreter in dispatch.stack.interpreters:
        if isinstance(interpreter, eager.Eager):
            interpreter._executables.clear()
            interpreter._views.clear()
    quick._views.clear()


def hits(op: Op) -> int:
    """How many calls machine code has taken."""
    return 0 if op._held_ways is None else sum(op._held_ways.hits)


def picture(value: Any) -> Any:
    """All that makes up a tensor."""
    handle = value.autograd
    return (
        type(value),
        str(value.aval),
        value.layout,
        value.origin and (value.origin[0].requires_grad, *value.origin[1:]),
        value.requires_grad,
        None if handle is None else str(handle.node),
        value.storage.size,
        value.storage.version,
        value.storage.escaped,
        as_array(value).tobytes(),
    )


def outcome(op: Op, *args: Any, **params: Any) -> Any:
    try:
        return picture(op(*args, **params))
    except Exception as error:
        return type(error), str(error).partition(": ")[2]


def by_python(op: Op, *args: Any, **params: Any) -> Any:
    """The same without machine code."""
    ways = op._held_ways
    op.take_ways(None)
    try:
        return outcome(op, *args, **params)
    finally:
        op.take_ways(ways)


def same(op: Op, *args: Any, **params: Any) -> bool:
    """Whether calls give what they give without machine code; and whether the last one was taken."""
    expected = by_python(op, *args, **params)
    for _ in range(TIMES):
        assert outcome(op, *args, **params) == expected
    before = hits(op)
    assert outcome(op, *args, **params) == expected
    return hits(op) == before + 1


def vector(dtype: Any = tj.float32) -> tj.Tensor:
    return tj.tensor([1, -2, 3], dtype=dtype)


def special() -> tj.Tensor:
    return tj.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 1e-40, 3.5])


# What becomes machine code

TAKEN: dict[str, Callable[[], tuple[Any, ...]]] = {
    "tensors": lambda: (ADD, vector(), vector()),
    "float64": lambda: (ADD, vector(tj.float64), vector(tj.float64)),
    "int64": lambda: (ADD, vector(tj.int64), vector(tj.int64)),
    "int8": lambda: (MULTIPLY, vector(tj.int8), vector(tj.int8)),
    "bools": lambda: (REGISTRY["logical_and"], vector(tj.bool), vector(tj.bool)),
    "of one": lambda: (EXP, special()),
    "a matrix product": lambda: (MATMUL, tj.ones((3, 4)), tj.ones((4, 2))),
    "broadcast": lambda: (ADD, tj.ones((2, 3)), vector()),
    "of no dimensions": lambda: (ADD, tj.tensor(1.5), vector()),
    "all of no dimensions": lambda: (ADD, tj.tensor(1.5), tj.tensor(2.5)),
    "empty": lambda: (ADD, tj.zeros((0, 3)), vector()),
    "one tensor twice": lambda: (lambda x: (ADD, x, x))(vector()),
    "a float": lambda: (ADD, vector(), 1.5),
    "a float before": lambda: (ADD, 1.5, vector()),
    "an int": lambda: (MULTIPLY, vector(), 3),
    "a bool": lambda: (MULTIPLY, vector(), True),
    "an int with ints": lambda: (MULTIPLY, vector(tj.int32), 3),
    "a comparison": lambda: (REGISTRY["less"], vector(), 1.5),
    "large": lambda: (ADD, tj.ones(100_000), 1.5),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_an_op_becomes_machine_code(name: str):
    assert same(*TAKEN[name]())


LEFT: dict[str, Callable[[], tuple[Any, ...]]] = {
    "a leaf": lambda: (ADD, vector().requires_grad_(), vector()),
    "on the tape": lambda: (ADD, vector().requires_grad_() * 2, 1.5),
    "another dtype": lambda: (ADD, vector(), vector(tj.float64)),
    "an int that needs another dtype": lambda: (ADD, vector(tj.int32), 1.5),
    "an array": lambda: (ADD, vector(), np.ones(3, "f4")),
    "a number of NumPy": lambda: (ADD, vector(), np.float64(1.5)),
    "a subclass of int": lambda: (ADD, vector(), type("Whole", (int,), {})(3)),
    "a subclass of float": lambda: (ADD, vector(), type("Real", (float,), {})(3)),
    "half": lambda: (ADD, vector(tj.float16), 1.5),
    "an int too large": lambda: (ADD, vector(), 10**400),
    "an int out of range": lambda: (ADD, vector(tj.int8), 300),
    "no number": lambda: (ADD, vector(), "text"),
    "other shapes": lambda: (ADD, vector(), tj.ones(4)),
    "one too few": lambda: (ADD, vector()),
    "one too many": lambda: (ADD, vector(), 1.5, 2.5),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_an_op_is_the_same_where_python_runs_it(name: str):
    op, *args = LEFT[name]()
    same(op, *args)
    for each in TAKEN.values():
        other, *others = each()
        if other is op:
            same(op, *others)
            same(op, *args)


VIEWS: list[Callable[[], tj.Tensor]] = [
    vector,
    lambda: tj.ones(6)[::2],
    lambda: tj.ones(6)[3:],
    lambda: tj.ones((3, 2)).T[0],
    lambda: tj.ones(3).detach(),
    lambda: tj.ones((3, 1)).reshape(3),
    lambda: tj.asarray(np.ones(3, "f4")),
    lambda: tj.asarray(np.ones(6, "f4")[::2]),
    lambda: tj.nn.Parameter(tj.ones(3)),
    lambda: tj.nn.Parameter(tj.ones(3)).requires_grad_(False),
    lambda: tj.ones(3).requires_grad_(),
    lambda: tj.ones(3).requires_grad_().requires_grad_(False),
    lambda: tj.ones(4),
    lambda: tj.ones((3, 1)),
    lambda: tj.ones(3, dtype=tj.float64),
    lambda: tj.ones(3, dtype=tj.int32),
    lambda: tj.tensor(1.0),
]


SLICE, RESHAPE, PERMUTE, ASTYPE = (
    REGISTRY[name] for name in ("slice", "reshape", "permute", "astype")
)
BOUNDS = {"start": (1,), "stop": (3,), "step": (1,)}
OF_ARGUMENTS: dict[str, tuple[Op, Callable[[], tj.Tensor], dict[str, Any]]] = {
    "slice": (SLICE, vector, BOUNDS),
    "slice of a slice": (SLICE, lambda: tj.ones(8)[2:][::2], BOUNDS),
    "slice of an array": (SLICE, lambda: tj.asarray(np.ones(3, "f4")), BOUNDS),
    "reshape": (RESHAPE, lambda: tj.ones((2, 3)), {"shape": (3, 2)}),
    "permute": (PERMUTE, lambda: tj.ones((2, 3)), {"axes": (1, 0)}),
    "permute of a permutation": (PERMUTE, lambda: tj.ones((2, 3)).T, {"axes": (1, 0)}),
    "to another dtype": (ASTYPE, vector, {"dtype": tj.float64}),
    "to another dtype, of a part": (ASTYPE, lambda: tj.ones(8)[2:], {"dtype": tj.int32}),
}


@pytest.mark.parametrize("name", OF_ARGUMENTS)
def test_an_op_with_arguments_becomes_machine_code(name: str):
    op, make, params = OF_ARGUMENTS[name]
    assert same(op, make(), **params)


@pytest.mark.parametrize("make", VIEWS)
def test_views_of_all_kinds_are_what_they_are_in_python(make: Callable[[], tj.Tensor]):
    for given in (make(), *(other() for other in VIEWS), make()):
        for params in ({"shape": (3,)}, {"shape": (1, given.size)}):
            same(RESHAPE, given, **params)
            with tj.no_grad():
                same(RESHAPE, given, **params)


def test_a_view_by_machine_code_is_a_view():
    x = tj.arange(6)
    parts = [x[1:] for _ in range(TIMES)]
    assert hits(SLICE)
    parts[-1][0] = 9
    assert x.tolist() == [0, 9, 2, 3, 4, 5]
    assert all(part.origin[0] is x and part.storage is x.storage for part in parts)


def test_who_looks_at_many_rows_does_not_have_machine_code_made_for_each(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(quick, "_views", Counter())
    x = tj.arange(2 * quick.MOST_VIEWS)
    for _ in range(TIMES):
        assert [x[place : place + 1].item() for place in range(len(x))] == x.tolist()
    assert quick._views[SLICE] == quick.MOST_VIEWS


def test_what_is_seen_under_no_grad_stays_a_constant():
    w = tj.ones(4)
    for _ in range(TIMES):
        w[1:]
    w.requires_grad_()
    with tj.no_grad():
        part = w[1:]
    assert not (part * 2).requires_grad
    assert (w[1:] * 2).requires_grad
    inner = part[1:]
    assert not inner.requires_grad


def test_keys_that_are_equal_and_not_the_same():
    x = tj.arange(6).reshape((2, 3))
    for _ in range(TIMES):
        assert x[1].tolist() == [3, 4, 5]
        assert x[True].tolist() == [[[0, 1, 2], [3, 4, 5]]]
        assert x[np.int64(1)].tolist() == [3, 4, 5]
        assert x[1:].tolist() == [[3, 4, 5]]
        assert x[1, ...].tolist() == [3, 4, 5]
        assert x[None, 1].tolist() == [[3, 4, 5]]
        assert x[:].tolist() == x.tolist()
        assert x[:] is not x
        assert x[()] is not x
        assert x[-1, ::-1].tolist() == [5, 4, 3]
        with pytest.raises(IndexError, match="index 2 is out of bounds"):
            x[2]
        with pytest.raises(IndexError, match="too many indices"):
            x[0, 0, 0]


def test_tensors_that_lie_otherwise_in_turn():
    expected = [outcome(MULTIPLY, make(), 2.0)[:4] for make in VIEWS]
    for _ in range(TIMES):
        given = [make() for make in VIEWS]
        assert [outcome(MULTIPLY, each, 2.0)[:4] for each in given] == expected
        assert [(each * 2.0).tolist() for each in given] == [
            (each + each).tolist() for each in given
        ]
    assert hits(MULTIPLY)


def test_results_with_gradients_have_them():
    w = vector().requires_grad_()
    for _ in range(TIMES):
        ADD(vector(), 1.5)
        ADD(w, 1.5).sum().backward()
    assert w.grad.tolist() == [TIMES] * 3
    with tj.no_grad():
        for _ in range(TIMES):
            assert not ADD(w, 1.5).requires_grad
            assert not ADD(vector(), 1.5).requires_grad
    assert ADD(w, 1.5).requires_grad
    assert hits(ADD)


def test_a_tensor_that_comes_to_need_a_gradient():
    x = vector()
    assert same(MULTIPLY, x, 2.0)
    x.requires_grad_()
    y = MULTIPLY(x, 2.0)
    assert y.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [2.0] * 3


# Numbers

NUMBERS = [
    0, 1, -1, 3, 255, 256, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30, 10**39, 10**400,
    True, False, 0.0, -0.0, 1.5, 0.5, 2.0, 3.0, -1.0, math.nan, math.inf, -math.inf, 1e-45, 1e300, 3.4e38, 3.5e38, 0.1, 1e-320,
    np.float64(1.5), np.float32(0.1), np.int64(3), np.bool_(True),
]  # fmt: skip
BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "power",
    "less",
    "equal",
    "maximum",
    "floor_divide",
    "remainder",
    "bitwise_and",
]
DTYPES = [tj.float32, tj.float64, tj.int8, tj.int32, tj.int64, tj.uint8, tj.bool, tj.float16]


@pytest.mark.parametrize("name", [name for name in BINARY if name in REGISTRY])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_number_of_any_value(name: str, dtype: Any):
    op, x = REGISTRY[name], tj.tensor([1, 0, 3], dtype=dtype)
    expected = [(by_python(op, x, number), by_python(op, number, x)) for number in NUMBERS]
    for _ in range(4):
        found = [(outcome(op, x, number), outcome(op, number, x)) for number in NUMBERS]
        assert found == expected


def test_errors_name_the_same_line():
    x = vector(tj.int8)

    def raising() -> str:
        with pytest.raises(OverflowError) as error:
            ADD(x, 300)
        return str(error.value)

    expected = raising()
    for _ in range(TIMES):
        ADD(x, 3)
    assert raising() == expected
    assert "test_quick.py" in expected


# What changes meanwhile


def test_settings_that_change():
    x = vector()
    for _ in range(3):
        assert same(ADD, x, 1.5)
        with tj.config.scope(eager="numpy"):
            before = hits(ADD)
            assert ADD(x, 1.5).tolist() == [2.5, -0.5, 4.5]
            assert hits(ADD) == before
        assert ADD(x, 1.5).tolist() == [2.5, -0.5, 4.5]


def test_a_class_that_is_patched(monkeypatch: pytest.MonkeyPatch):
    x = vector()
    assert same(ADD, x, 1.5)
    before = hits(ADD)
    monkeypatch.setattr(tj.Tensor, "anything", 3, raising=False)
    assert ADD(x, 1.5).anything == 3
    assert hits(ADD) == before
    monkeypatch.undo()
    assert same(ADD, x, 1.5)


class Noting:
    """An interpreter that notes ops on their way."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def bind(self, op: Op, args: tuple[Any, ...], params: Any) -> Any:
        self.seen.append(op.name)
        return dispatch.below(self).bind(op, args, params)

    def assign(self, target: Any, value: Any) -> None:
        dispatch.below(self).assign(target, value)


def test_an_interpreter_on_top_sees_every_op():
    x = vector()
    assert same(ADD, x, 1.5)
    noting = Noting()
    with dispatch.pushed(noting):
        for _ in range(TIMES):
            ADD(x, 1.5)
    assert noting.seen == ["add"] * TIMES
    before = hits(ADD)
    ADD(x, 1.5)
    assert hits(ADD) == before + 1


def test_ops_of_a_compiled_function_are_recorded():
    x = vector()
    assert same(ADD, x, 1.5)
    before = hits(ADD)
    f = tj.compile(lambda x: ADD(x, 1.5) * 2)
    for _ in range(TIMES):
        assert f(x).tolist() == [5.0, -1.0, 9.0]
    assert hits(ADD) == before
    assert tj.explain(f).calls["replay"]


def test_ops_beside_a_thread_that_records():
    x = vector()
    assert same(ADD, x, 1.5)
    started, done = threading.Event(), threading.Event()

    def recorded(x: Any) -> Any:
        y = ADD(x, 1.5)
        started.set()
        done.wait(10)
        return y * 2

    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(tj.compile(recorded)(vector())))
    thread.start()
    started.wait(10)
    before = hits(ADD)
    found = [ADD(x, 1.5).tolist() for _ in range(TIMES)]
    counted = hits(ADD)
    done.set()
    thread.join()
    assert found == [[2.5, -0.5, 4.5]] * TIMES
    assert counted == before
    assert results[0].tolist() == [5.0, -1.0, 9.0]
    ADD(x, 1.5)
    assert hits(ADD) == before + 1


def test_writes_between():
    x, y = vector(), vector()
    for turn in range(3 * TIMES):
        z = ADD(x, y)
        assert z.tolist() == [a + b for a, b in zip(x.tolist(), y.tolist())]
        x += 1
        y[0] = float(turn)
        z.mul_(0)
        assert ADD(x, y).tolist() == [a + b for a, b in zip(x.tolist(), y.tolist())]
    assert hits(ADD) > 3 * TIMES


def test_an_array_that_somebody_else_writes():
    array = np.ones(3, "f4")
    x = tj.asarray(array)
    for turn in range(TIMES):
        array[...] = turn
        assert ADD(x, 1.5).tolist() == [turn + 1.5] * 3


def test_results_have_memory_of_their_own():
    x = tj.ones(5000)
    held = [MULTIPLY(x, float(k)) for k in range(40)]
    assert hits(MULTIPLY)
    del held[::3]
    held += [MULTIPLY(x, 100.0) for _ in range(40)]
    assert [each[0].item() for each in held[26:]] == [100.0] * 40
    assert [each[-1].item() for each in held[:26]] == [k for k in range(40) if k % 3]


def test_more_shapes_than_there_are_ways():
    sizes = range(1, quick.MOST + 6)
    for _ in range(3 * TIMES):
        for size in sizes:
            assert ADD(tj.ones(size), 1.5).tolist() == [2.5] * size
        assert ADD._held_ways is None or len(ADD._held_ways.ways) <= quick.MOST
    assert same(ADD, tj.ones(5), 1.5)


def test_a_call_that_is_kept_from_its_machine_code_gets_no_more_of_it():
    x = vector()
    assert same(ADD, x, 1.5)
    with dispatch.pushed(Noting()):
        for _ in range(5 * TIMES):
            ADD(x, 1.5)
    assert len(ADD._held_ways.ways) == 1


def test_axes_are_part_of_the_call():
    x = tj.tensor(np.arange(24.0).reshape(2, 3, 4))
    for _ in range(TIMES):
        for axis in (0, 1, 2, -1, (0, 1), None):
            for keepdims in (False, True):
                for name in ("sum", "max", "argmax"):
                    if name == "argmax" and type(axis) is tuple:
                        continue
                    found = getattr(tj, name)(x, axis=axis, keepdims=keepdims)
                    expected = getattr(np, name)(np.array(x), axis=axis, keepdims=keepdims)
                    assert found.tolist() == expected.tolist()


# Whose call becomes machine code


def test_an_op_that_was_bound_by_something_else_is_no_call():
    """What is noted of it is looked at when the next call is made, which may be another."""
    x = vector(tj.int64)
    two = Scalar(2, tj.tensor(2).aval)
    for _ in range(eager.QUICK_AFTER):
        dispatch.bind(ADD, (x, two), {})
    assert dispatch.ripe
    for _ in range(TIMES):
        assert ADD(x, 3).tolist() == [4, 1, 6]


def test_an_axis_that_was_bound_by_something_else_is_no_call():
    x, op = tj.ones((2, 3)), REGISTRY["max"]
    for _ in range(eager.QUICK_AFTER):
        dispatch.bind(op, (x,), {"axes": (0,)})
    assert dispatch.ripe
    for _ in range(TIMES):
        assert op(x, axes=(1,)).shape == (2,)
        assert op(x, axes=(0,)).shape == (3,)


def test_calls_of_other_threads_are_others():
    x = vector(tj.int64)
    failures: list[Any] = []

    def work(first: int) -> None:
        numbers = itertools.islice(itertools.cycle(range(first, first + 9)), 400)
        failures.extend(k for k in numbers if ADD(x, k).tolist() != [1 + k, k - 2, 3 + k])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=work, args=(7 * number,)) for number in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not failures


def test_arguments_die():
    x = vector()
    refs = [weakref.ref(x)]
    for _ in range(TIMES):
        y = ADD(x, 1.5)
        refs.append(weakref.ref(y))
    del x, y
    EXP(vector())
    gc.collect()
    assert [ref() for ref in refs] == [None] * len(refs)
