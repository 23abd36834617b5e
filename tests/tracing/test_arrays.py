"""NumPy programs: arrays in, arrays out, and what they do in between is what NumPy does."""

from __future__ import annotations

import gc
import time
import warnings
import weakref
from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit.tracing.stand_in import StandIn


def matrix(dtype: str = "f8") -> np.ndarray:
    return (np.arange(12).reshape(3, 4) - 5).astype(dtype)


def close(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6)


PROGRAMS: dict[str, Callable[[np.ndarray], Any]] = {
    "arithmetic": lambda x: (x * 2 + 1) / (x * x + 1) - x**2,
    "reflected": lambda x: 1 - x + 2 * x - 3 / (x + 100),
    "functions": lambda x: np.exp(-np.abs(x)) + np.sqrt(np.maximum(x, 0)) * np.tanh(x),
    "sum": lambda x: x.sum(),
    "sum over an axis": lambda x: x.sum(axis=1, keepdims=True) + np.mean(x, axis=0),
    "a number": lambda x: x[1, 2] * 2,
    "an integer": lambda x: np.argmax(x, axis=1),
    "comparison": lambda x: (x > 0) & (x < 3),
    "choice": lambda x: np.where(x > 0, x, -x),
    "product": lambda x: x @ x.T,
    "dot": lambda x: x.dot(np.ones(4)),
    "with a closed-over array": lambda x: x + np.ones(4) * np.arange(4),
    "slices": lambda x: x[1:, ::2].T[0] + x[-1, 0],
    "a mask": lambda x: x[x > 0],
    "integer indices": lambda x: x[[2, 0]],
    "shape": lambda x: x.reshape(2, -1).T.ravel().shape,
    "attributes": lambda x: (x.ndim, x.size, x.dtype, x.strides, x.nbytes, x.itemsize, len(x)),
    "isinstance": lambda x: isinstance(x * 2, np.ndarray),
    "what only NumPy has": lambda x: np.linalg.norm(x) + x.ptp() if hasattr(x, "ptp") else np.linalg.norm(x),
    "std with ddof": lambda x: x.std(axis=0, ddof=1),
    "cumulative": lambda x: np.cumsum(x, axis=1),
    "creation like": lambda x: np.zeros_like(x) + np.ones_like(x) * np.full_like(x, 3),
    "stack": lambda x: np.concatenate([x, x * 2], axis=0) + np.stack([x[0], x[1]]).sum(),
    "text": lambda x: (str(x * 2), repr(x[0]), f"{x[0, 0]:.2f}"),
    "a Python number": lambda x: (float(x.sum()), int(x[0, 0]), bool(x[0, 0] < 0), x.tolist()),
    "float of int": lambda x: x.astype(np.int32).mean() / x.astype(np.int8).sum(),
    "filled": lambda x: (x.fill(3), x + 1)[1],
    "sorted": lambda x: (x.sort(axis=0), x)[1],
    "rows": lambda x: [row.sum() for row in x],
    "tuple, list and dict": lambda x: (x + 1, [x * 2, {"a": x.T}]),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_a_numpy_program_means_what_numpy_says(name: str, dtype: str):
    f = PROGRAMS[name]
    x, y = matrix(dtype), matrix(dtype)
    found, expected = tj.compile(f)(x), f(y)
    np.testing.assert_array_equal(x, y)
    check(found, expected)


def check(found: Any, expected: Any) -> None:
    if isinstance(expected, tuple | list):
        assert type(found) is type(expected)
        assert len(found) == len(expected)
        for part, other in zip(found, expected):
            check(part, other)
    elif isinstance(expected, dict):
        check(list(found.items()), list(expected.items()))
    elif isinstance(expected, np.ndarray | np.generic):
        close(found, expected)
    else:
        assert found == expected


def in_place(x: np.ndarray, part: np.ndarray) -> np.ndarray:
    x += 1
    part *= 2
    x[0] = part[0] + x[2]
    np.add(x, 1, out=x)
    row = x[1]
    row -= 3
    first = x[0, 0]
    x[0, 0] = 99
    total = x.sum()
    alias = total
    total += 1
    return np.stack([x.sum(axis=1), np.full(3, first), np.full(3, total - alias)])


def test_arguments_that_share_memory_are_written_in_place():
    x, y = matrix(), matrix()
    close(tj.compile(in_place)(x, x[1:]), in_place(y, y[1:]))
    np.testing.assert_array_equal(x, y)


def test_an_alias_of_an_argument_sees_every_write_at_once():
    world = matrix()

    @tj.compile
    def f(x):
        x += 1
        before = world.sum()
        world[0] = 0
        return before, (x * 2).sum()

    other = matrix() + 1
    before, after = f(world)
    assert before == other.sum()
    other[0] = 0
    assert after == (other * 2).sum()


def test_an_argument_that_is_returned_is_the_same_array():
    x = matrix()
    found = tj.compile(lambda x: {"same": x, "view": x[1:]})(x)
    assert found["same"] is x
    assert np.shares_memory(found["view"], x)


@pytest.mark.parametrize("kept", [lambda x: x * 2, lambda x: x[1:]], ids=["made", "a view"])
def test_an_array_that_is_returned_and_kept_is_one_array(kept: Callable[[np.ndarray], np.ndarray]):
    state = SimpleNamespace()

    @tj.compile
    def f(x):
        y = kept(x)
        state.by_name, state.all = y, [y]
        return y

    for _ in range(4):
        y = f(np.arange(4.0))
        assert type(y) is np.ndarray
        assert y is state.by_name
        assert y is state.all[0]
    assert f.calls["replay"] > 0


def test_containers_keep_their_identity_and_hold_arrays_again():
    Pair = namedtuple("Pair", "a b")
    values, options, pair = [matrix()], {"scale": np.float64(2), "x": matrix()}, Pair(matrix(), 1)

    @tj.compile
    def f(values, options, pair):
        values.append(values[0] * options["scale"])
        options["y"] = options["x"] + pair.a
        return pair._replace(b=pair.a + 1)

    found = f(values, options, pair)
    assert [type(value) for value in values] == [np.ndarray, np.ndarray]
    np.testing.assert_array_equal(values[1], matrix() * 2)
    np.testing.assert_array_equal(options["y"], matrix() * 2)
    assert isinstance(found, Pair)
    np.testing.assert_array_equal(found.b, matrix() + 1)


def test_arrays_are_arrays_again_after_an_exception():
    values = [matrix()]

    @tj.compile
    def f(values):
        values[0] += 1
        raise RuntimeError

    with pytest.raises(RuntimeError):
        f(values)
    assert type(values[0]) is np.ndarray
    np.testing.assert_array_equal(values[0], matrix() + 1)


def test_tensors_and_arrays_together_give_tensors():
    found = tj.compile(lambda x, t: (x + t, x + 1))(np.ones(3, "f4"), tj.ones(3))
    assert type(found[0]) is tj.Tensor
    assert type(found[1]) is np.ndarray


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3) * 1j, np.array(["a", "b", "c"]), np.array([1, None, 2]), np.arange(3).astype(">f4"),
        np.broadcast_to(np.float64(1), (3,)), np.zeros(3, "M8[s]"), np.ma.masked_array([1.0, 2.0, 3.0]),
    ],
)  # fmt: skip
def test_arrays_that_tracejit_does_not_compute_with_are_left_to_numpy(array: np.ndarray):
    seen: list[Any] = []
    tj.compile(lambda x: seen.append(type(x)))(array)
    assert seen == [type(array)]


def test_a_stand_in_is_an_array_and_no_tensor():
    @tj.compile
    def f(x):
        t = x if isinstance(x, tj.Tensor) else tj.asarray(x * 1)
        return isinstance(x, np.ndarray), isinstance(x, tj.Tensor), t + 1, tj.exp(x), tj.tensor(x)

    is_array, is_tensor, *tensors = f(matrix())
    assert (is_array, is_tensor) == (True, False)
    assert {type(t) for t in tensors} == {tj.Tensor}


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (2,), (0,)], ids=str)
@pytest.mark.parametrize("convert", [int, float, complex, bool])
def test_arrays_become_numbers_where_numpys_do(convert: Callable[..., Any], shape: Any):
    def outcome(f, x):
        try:
            return f(x)
        except (TypeError, ValueError) as error:
            return type(error)

    f = tj.compile(lambda x: convert(x))
    x = np.full(shape, 2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for _ in range(3):
            assert outcome(f, x) == outcome(convert, x)


def test_a_tensor_over_a_result_shares_its_memory():
    def f(x):
        y = x + 1
        t = tj.asarray(y)
        y += 1
        t.add_(1)
        return y, t, y * 2

    for found, expected in zip(tj.compile(f)(matrix()), f(matrix())):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


class Holder:
    __slots__ = ("a", "b")


def test_what_stands_for_an_array_is_left_nowhere():
    world: dict[str, Any] = {
        "list": [],
        "slots": Holder(),
        "object": type("Plain", (), {})(),
        "keys": {},
    }

    @tj.compile
    def f(x, wait):
        nonlocal last
        wait(0)  # not replayed
        last = x * 2
        world["item"], world["tuple"] = x, (x, (last, 1))
        world["list"].append(last)
        world["slots"].a = world["object"].a = last
        world["keys"][x.sum()] = {x.max()}
        return last

    last: Any = None
    x = matrix()
    for _ in range(4):
        result = f(x, time.sleep)
        assert world["item"] is x
        assert world["tuple"][0] is x
        for found in (
            last,
            world["tuple"][1][0],
            world["list"][-1],
            world["slots"].a,
            world["object"].a,
        ):
            assert found is result
            assert type(found) is np.ndarray
    ((key, (number,)),) = world["keys"].items()
    assert type(key) is type(number) is np.float64


def test_an_array_stands_in_only_for_the_call():
    seen: list[Any] = []

    @tj.compile
    def f(x, wait):
        seen.append(x)
        seen.append(x * 2)
        seen.append(type(x))
        wait(0)  # not replayed
        return seen[-2]

    x = matrix()
    for _ in range(3):  # recorded in vain; then by Python
        double = f(x, time.sleep)
        assert seen[-3] is x
        assert seen[-2] is double
        assert type(double) is np.ndarray
    kinds = seen[2::3]
    assert kinds == [np.ndarray, StandIn, StandIn]


def test_what_numpy_takes_over_keeps_no_array_of_the_call_alive():
    inside: list[Any] = []

    @tj.compile
    def f(x, wait):
        wait(0)  # not replayed
        y = x + 1
        inside.append(weakref.ref(y))
        np.multiply.at(x, [0, 0], 2.0)  # which tracejit has not

    gc.collect()
    gc.disable()  # what is in a cycle would stay
    try:
        for _ in range(4):
            f(np.arange(4.0), time.sleep)
        assert all(each() is None for each in inside)
    finally:
        gc.enable()


def test_a_numpy_chain_is_one_program():
    @tj.compile
    def f(x):
        return np.exp(-(x * x)) * 0.5 + 1

    f(matrix())
    assert len(tj.explain(f).graphs) == 1
