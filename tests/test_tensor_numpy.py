"""NumPy functions on tensors, arrays over tensors' memory, DLPack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit.numpy_functions.calls import SAME_NAME, table


@pytest.fixture(autouse=True)
def eager() -> Iterator[None]:
    with tj.config.scope(eager="numpy"):
        yield


def random_array(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).random(shape, np.float32)


CALLS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: np.sum(x, 0),
    "sum keepdims": lambda x: np.sum(x, axis=1, keepdims=True),
    "mean dtype": lambda x: np.mean(x, axis=0, dtype=np.float64),
    "var ddof": lambda x: np.var(x, ddof=1),
    "max initial": lambda x: np.max(x, axis=0, initial=5),
    "sum where": lambda x: np.sum(x, where=np.array([True, False, True, True])),
    "reduce": lambda x: np.add.reduce(x),
    "reduce axis": lambda x: np.maximum.reduce(x, axis=1),
    "outer ufunc": lambda x: np.multiply.outer(x, x),
    "where": lambda x: np.where(x > 0.5, x, 0),
    "clip": lambda x: np.clip(x, 0.2, 0.5),
    "clip one": lambda x: np.clip(x, a_min=0.2, a_max=None),
    "round": lambda x: np.round(x, 2),
    "power": lambda x: np.power(x, 2),
    "reflected": lambda x: 2**x,
    "array on the left": lambda x: random_array(3, 4) - x,
    "concatenate": lambda x: np.concatenate([x, x], axis=1),
    "stack": lambda x: np.stack([x, x], 1),
    "split": lambda x: np.split(x, 2, axis=1),
    "array_split": lambda x: np.array_split(x, 2),
    "vstack": lambda x: np.vstack([x, x]),
    "transpose": lambda x: np.transpose(x, (1, 0)),
    "reshape": lambda x: np.reshape(x, (4, 3)),
    "ravel": lambda x: np.ravel(x),
    "cumsum flat": lambda x: np.cumsum(x),
    "cumsum": lambda x: np.cumsum(x, 1),
    "take": lambda x: np.take(x, [0, 1], 1),
    "argmax": lambda x: np.argmax(x, 1),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "tensordot": lambda x: np.tensordot(x, x, 2),
    "matmul": lambda x: x.T @ x,
    "pad": lambda x: np.pad(x, 1),
    "roll": lambda x: np.roll(x, 1, 0),
    "norm, which tracejit lacks": lambda x: np.linalg.norm(x),
    "sort": lambda x: np.sort(x, axis=0),
    "sort flat": lambda x: np.sort(x, axis=None),
    "sort by a named method": lambda x: np.sort(x, kind="mergesort"),
    "sort, stable": lambda x: np.sort(x, stable=True),
    "argsort": lambda x: np.argsort(x, 0),
    "argsort of equals": lambda x: np.argsort(np.repeat(x > 0.5, 30)),
    "argsort of equals, the method": lambda x: np.repeat(x > 0.5, 30).argsort(),
    "argsort flat": lambda x: np.argsort(x, None),
    "argsort, the method": lambda x: x.argsort(0),
    "searchsorted": lambda x: np.searchsorted(np.sort(x[0]), x, side="right"),
    "diff": lambda x: np.diff(x, 2, prepend=0.5),
    "isin": lambda x: np.isin(x, x[1:]),
    "repeat": lambda x: np.repeat(x, [1, 0, 2], axis=0),
    "where, of a condition alone": lambda x: np.where(x > 0.5),
    "nonzero": lambda x: np.nonzero(x > 0.5),
    "unique, which tracejit lacks": lambda x: np.unique(x),
    "histogram, which gives two": lambda x: np.histogram(x),
    "divmod, which gives two": lambda x: np.divmod(x, 0.3),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_numpy_functions_on_tensors_give_tensors_of_numpys_values(
    call: Callable[[Any], Any],
) -> None:
    array = random_array(3, 4)
    found, expected = call(tj.tensor(array)), call(array)
    many = isinstance(expected, (tuple, list))
    for tensor, value in zip(
        found if many else [found], expected if many else [expected], strict=True
    ):
        assert isinstance(tensor, tj.Tensor)
        assert tensor.shape == np.shape(value)
        np.testing.assert_allclose(tensor.numpy(), value, rtol=1e-5)


def test_every_name_in_the_table_is_one_of_numpys() -> None:
    assert all(callable(getattr(tj, name)) for name in SAME_NAME)
    assert len(table()) > 100


def test_out_writes_to_arrays_and_to_tensors() -> None:
    array = random_array(3)
    t, out = tj.tensor(array), np.zeros(3, np.float32)
    assert np.add(t, t, out=out) is out
    np.testing.assert_array_equal(out, array + array)
    out += t
    assert isinstance(out, np.ndarray)
    target = tj.zeros((3,))
    assert np.sum([t, t], axis=0, out=target) is target
    np.testing.assert_array_equal(target.numpy(), array + array)


def test_numpy_functions_are_on_the_tape_or_refuse() -> None:
    x = tj.tensor(random_array(3), requires_grad=True)
    np.sum(np.exp(x) * random_array(3)).backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp(random_array(3)) * random_array(3), rtol=1e-6)
    with pytest.raises(TypeError, match=r"np\.unique is not differentiable"):
        np.unique(x)
    with pytest.raises(tj.AutogradError, match=r"a leaf .* in-place"):
        np.add.at(x, [0], 1)


def test_numpy_shares_memory_and_refuses_tensors_that_require_gradients() -> None:
    t = tj.zeros((2, 3))
    array = t.T.numpy()
    array[0] = 1
    assert t[:, 0].tolist() == [1, 1]
    assert t.storage.escaped
    assert np.asarray(t, dtype=np.float64).dtype == np.float64
    copied = np.array(t)
    copied[:] = 9
    assert t.sum().item() == 2
    with pytest.raises(ValueError, match="only by a copy"):
        np.asarray(t, dtype=np.float64, copy=False)
    with pytest.raises(RuntimeError, match=r"Use tensor.detach\(\).numpy\(\) instead"):
        np.asarray(tj.ones((2,), requires_grad=True))


def test_memory_that_has_escaped_stays_the_tensors_memory() -> None:
    t = tj.zeros((3,))
    array = t.numpy()
    t += 1
    t[0] = 5
    assert array.tolist() == [5, 1, 1]


def test_an_array_operand_is_read_as_of_the_op() -> None:
    x = tj.tensor([1.0, 2.0], requires_grad=True)
    factor = np.array([3.0, 4.0], np.float32)
    y = (x * factor).sum()
    factor[:] = 0
    y.backward()
    assert x.grad.tolist() == [3, 4]


def test_dlpack_shares_memory_both_ways() -> None:
    t = tj.arange(6).reshape(2, 3)
    array = np.from_dlpack(t.T)
    assert array.tolist() == [[0, 3], [1, 4], [2, 5]]
    source = np.arange(4.0)
    shared = tj.from_dlpack(source)
    source[0] = 9
    assert shared[0].item() == 9


def test_tensors_made_of_arrays_keep_them_alive() -> None:
    t = tj.asarray(np.arange(1000.0))
    again = tj.from_dlpack(np.arange(1000.0))
    np.arange(1000.0)
    assert t[999].item() == again[999].item() == 999
    array = tj.arange(1000).numpy()
    assert array[999] == 999


def test_programs_written_against_the_array_api_find_its_namespace() -> None:
    x = tj.tensor([1.0, 4.0])
    xp = x.__array_namespace__()
    assert xp is tj
    assert xp.sqrt(x).to_device("cpu").tolist() == [1, 2]
