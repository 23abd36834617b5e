"""Parts, reshapes and new axes of eager tensors: one call of machine code, and the same views as before."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.tracing.test_quick import picture
from tracejit import eager, indexing
from tracejit.ops import chain, shape
from tracejit.ops.chain import Chain
from tracejit.runtime.cpu.native.install import installed
from tracejit.tensor import Tensor
from tracejit.tracing import quick
from tracejit.tracing.background import BACKGROUND

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")
TIMES = 3 * chain.EACH


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing has machine code yet, and what is called often gets it at once."""
    monkeypatch.setattr(eager, "QUICK_AFTER", chain.EACH)
    monkeypatch.setattr(BACKGROUND, "at_once", True)
    for table in (indexing._parts, shape._reshapes):
        table.clear()
    quick._chains.clear()
    yield
    for table in (indexing._parts, shape._reshapes):
        table.clear()


@pytest.fixture
def in_python(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The chains that Python has run."""
    runs: list[Any] = []
    called = Chain.called

    def noted(self: Any, x: Any, /) -> Any:
        runs.append(self)
        return called(self, x)

    monkeypatch.setattr(Chain, "called", noted)
    return runs


def tensor(*extents: int) -> Any:
    return tj.tensor(np.arange(float(np.prod(extents))).reshape(extents).astype(np.float32))


VIEWS: dict[str, Callable[[Any], Any]] = {
    "row": lambda x: x[1],
    "last row": lambda x: x[-1],
    "element": lambda x: x[1, 2],
    "rows": lambda x: x[1:],
    "column": lambda x: x[:, 0],
    "block": lambda x: x[1:3, 2:4],
    "backwards": lambda x: x[::-1, ::2],
    "ellipsis": lambda x: x[..., 1],
    "new axis": lambda x: x[None],
    "new axes": lambda x: x[:, None, 1],
    "all": lambda x: x[:],
    "nothing": lambda x: x[2:2],
    "flat": lambda x: x.reshape(-1),
    "in pairs": lambda x: x.reshape(-1, 2),
    "another shape": lambda x: x.reshape((2, 12)),
    "same shape": lambda x: x.reshape(4, 6),
    "expanded": lambda x: tj.expand_dims(x, 1),
    "squeezed": lambda x: tj.squeeze(tj.expand_dims(x, 0), 0),
    "turned": lambda x: x.transpose(0, 1),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("source", ["whole", "turned", "part", "column of a larger one"])
def test_views_are_the_same_with_and_without(view: str, source: str, in_python: list[Any]):
    make = {
        "whole": lambda: tensor(4, 6),
        "turned": lambda: tensor(6, 4).T,
        "part": lambda: tensor(9, 12)[1:5, :6],
        "column of a larger one": lambda: tensor(4, 6, 3)[:, :, 1],
    }[source]
    f = VIEWS[view]
    x = make()
    expected = picture(f(x))
    for _ in range(TIMES):
        assert picture(f(x)) == expected
    y = make()
    in_python.clear()
    assert picture(f(y)) == expected
    if f(y).origin is not None and view != "same shape":
        assert not in_python


@pytest.mark.parametrize("view", ["row", "rows", "flat", "block", "new axis"])
def test_writes_go_through_to_the_base(view: str):
    f = VIEWS[view]
    x, y = tensor(4, 6), np.arange(24.0, dtype=np.float32).reshape(4, 6)
    for k in range(TIMES):
        f(x).add_(float(k))
        f_of_y = f(y) if view != "flat" else y.reshape(-1)
        f_of_y += np.float32(k)
    np.testing.assert_array_equal(x.numpy(), y)


def test_gradients_flow_through_views_of_the_same_kind():
    x = tensor(4, 6)
    for _ in range(TIMES):
        x[1], x.reshape(-1)
    w = tensor(4, 6).requires_grad_()
    for _ in range(TIMES):
        (w[1] * 2.0).sum().backward()
        (w.reshape(-1) * 3.0).sum().backward()
    expected = np.full((4, 6), 3.0 * TIMES)
    expected[1] += 2.0 * TIMES
    np.testing.assert_array_equal(w.grad.numpy(), expected)
    assert x[1].grad_fn is None
    x.requires_grad_()
    assert x[1].grad_fn is not None
    assert x.reshape(-1).grad_fn is not None


def test_each_error_is_raised_each_time():
    x = tensor(4, 6)
    for _ in range(TIMES):
        assert x[3].shape == (6,)
        assert x.reshape(3, 8).shape == (3, 8)
        with pytest.raises(IndexError):
            x[4]
        with pytest.raises(tj.ShapeError):
            x.reshape(5, -1)
        with pytest.raises(TypeError):
            x.reshape(3.0, 8)
        with pytest.raises(IndexError):
            tj.expand_dims(x, 4)
        with pytest.raises(ValueError, match="squeeze"):
            tj.squeeze(x, 0)


def test_other_tensors_are_no_match():
    x = tensor(4, 6)
    for _ in range(TIMES):
        x[1], x.reshape(-1)
    others = [tensor(6, 4).T, tensor(5, 6), tensor(4, 6, 1), x.astype(tj.int64), tensor(8, 6)[::2]]
    for other in others:
        for _ in range(TIMES):
            array = other.numpy()
            np.testing.assert_array_equal(other[1].numpy(), array[1])
            np.testing.assert_array_equal(other.reshape(-1).numpy(), array.reshape(-1))


def test_parts_in_compiled_functions_are_recorded():
    x = tensor(4, 6)
    for _ in range(TIMES):
        x[1], x.reshape(-1)

    @tj.compile
    def f(x: Any) -> Any:
        return x[1] * 2.0, x.reshape(-1) + 1.0, tj.expand_dims(x, 0)

    for _ in range(6):
        row, flat, deep = f(x)
        np.testing.assert_array_equal(row.numpy(), x.numpy()[1] * 2)
        np.testing.assert_array_equal(flat.numpy(), x.numpy().reshape(-1) + 1)
        assert deep.shape == (1, 4, 6)
    assert f.calls["replay"] >= 4


def test_what_is_patched_is_called(monkeypatch: pytest.MonkeyPatch):
    x = tensor(4, 6)
    for _ in range(TIMES):
        x[1]
    monkeypatch.setattr(Tensor, "__getitem__", lambda self, key: "patched")
    assert x[1] == "patched"


def test_a_view_holds_its_base_and_nothing_holds_the_view():
    x = tensor(4, 6)
    for _ in range(TIMES):
        x[1]
    row = x[1]
    assert row.origin[0].base is x
    storages = len([each for each in gc.get_objects() if each is x.storage])
    del row
    assert len([each for each in gc.get_objects() if each is x.storage]) == storages


def test_many_keys_get_no_more_machine_code_than_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quick, "MOST_CHAINS", 3)
    x = tensor(20, 2)
    for _ in range(TIMES):
        for k in range(20):
            np.testing.assert_array_equal(x[k].numpy(), x.numpy()[k])
    assert len(quick._chains) == 3
    indexing._parts.clear()
    gc.collect()
    assert not len(quick._chains)
