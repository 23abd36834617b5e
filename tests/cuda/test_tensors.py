"""Tensors on a GPU: made there, moved there and back, looked at, and refused beside others."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.emulation import standin
from tracejit import nn, optim

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_a_tensor_goes_there_and_comes_back(device: str) -> None:
    there = tj.tensor(X).to("cuda")
    assert there.device == device
    assert there.shape == (3, 4)
    assert there.to(device) is there
    np.testing.assert_array_equal(there.cpu().numpy(), X)
    np.testing.assert_array_equal(tj.tensor(X).cuda().to("cpu").numpy(), X)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int64", "uint64", "float16", "bfloat16", "float32", "float64"]
)
def test_every_kind_of_number_travels(device: str, dtype: str) -> None:
    here = tj.tensor(X).astype(dtype)
    assert here.to(device).cpu().tolist() == here.tolist()


def test_views_travel_as_what_they_show(device: str) -> None:
    there = tj.tensor(X, device=device)
    for part, expected in ((there.T, X.T), (there[::2, 1:], X[::2, 1:]), (there[1], X[1])):
        np.testing.assert_array_equal(part.cpu().numpy(), expected)
    np.testing.assert_array_equal(tj.tensor(X).T.to(device).cpu().numpy(), X.T)


def test_empty_tensors_and_those_of_no_dimensions_travel(device: str) -> None:
    assert tj.zeros((0, 3), device=device).cpu().shape == (0, 3)
    assert tj.tensor(2.5, device=device).item() == 2.5


def test_elements_are_looked_at_through_copies(device: str) -> None:
    there = tj.tensor(X, device=device)
    assert there[1, 2].item() == float(there[1, 2]) == 6.0
    assert int(there[0, 1]) == 1
    assert there.tolist() == X.tolist()
    assert bool((there >= 0).all())
    assert repr(there[0, :2]) == f"tensor([0., 1.], device='{device}')"
    assert [row.sum().item() for row in there] == X.sum(1).tolist()


def test_numpy_is_refused_and_told_how(device: str) -> None:
    there = tj.tensor(X, device=device)
    for ask in (there.numpy, lambda: np.asarray(there), lambda: np.linalg.det(there[:, :3])):
        with pytest.raises(
            TypeError, match=r"test_tensors.py:\d+: can't convert a cuda:0 tensor.*cpu\(\)"
        ):
            ask()


MAKERS: list[Callable[..., Any]] = [
    lambda **where: tj.arange(5, **where),
    lambda **where: tj.arange(1.0, 2.0, 0.25, **where),
    lambda **where: tj.empty(3, **where),
    lambda **where: tj.eye(3, k=1, **where),
    lambda **where: tj.full((2, 2), 7, **where),
    lambda **where: tj.linspace(0, 1, 5, **where),
    lambda **where: tj.ones((2, 3), dtype="int8", **where),
    lambda **where: tj.zeros(4, **where),
    lambda **where: tj.tensor([[1, 2], [3, 4]], **where),
    lambda **where: tj.asarray(X, **where),
    lambda **where: tj.Tensor([1.0, 2.0], **where),
]


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_made_there_is_what_is_made_here(device: str, make: Callable[..., Any]) -> None:
    there, here = make(device=device), make()
    assert there.device == device
    assert there.dtype is here.dtype
    assert there.cpu().tolist() == here.tolist()


def test_what_is_made_like_another_is_where_that_is(device: str) -> None:
    there = tj.tensor(X, device=device)
    for made in (
        tj.zeros_like(there),
        tj.ones_like(there),
        tj.full_like(there, 3),
        tj.empty_like(there),
    ):
        assert made.device == device
    assert tj.zeros_like(there, device="cpu").device == "cpu"
    assert tj.zeros_like(tj.tensor(X), device=device).device == device


@pytest.mark.parametrize(
    "mix",
    [
        lambda a, b: a + b,
        lambda a, b: a @ b.T,
        lambda a, b: tj.where(a > 0, a, b),
        lambda a, b: tj.concat([a, b]),
        lambda a, b: a * b[0, 0],
    ],
)
def test_devices_are_not_mixed(device: str, mix: Callable[..., Any]) -> None:
    here, there = tj.tensor(X), tj.tensor(X, device=device)
    for given in ((here, there), (there, here)):
        with pytest.raises(
            tj.DeviceError,
            match=r"test_tensors.py:\d+: \w+: .*@cuda:0.*different devices.*\.to\(device\)",
        ):
            mix(*given)
        with pytest.raises(tj.DeviceError, match="different devices"):
            tj.compile(mix)(*given)


def test_numbers_go_with_any_device(device: str) -> None:
    there = tj.tensor(X, device=device)
    np.testing.assert_array_equal((2 - there * np.float32(3)).cpu().numpy(), 2 - X * 3)


def test_a_write_brings_its_values_along(device: str) -> None:
    there, expected = tj.tensor(X, device=device), X.copy()
    for index, value in (
        (0, 5.0),
        ((slice(1, 3), 0), np.float32([1, 2])),
        (..., X * 2),
        ([0, 2], 9.0),
        (X > 20, -1.0),
    ):
        there[index] = value
        expected[index] = value
        np.testing.assert_array_equal(there.cpu().numpy(), expected)
    there.T[1:3] += 1
    expected.T[1:3] += 1
    there.copy_(there.flip(0))
    np.testing.assert_array_equal(there.cpu().numpy(), expected[::-1])
    here = tj.zeros((3, 4))
    here[...] = there
    np.testing.assert_array_equal(here.numpy(), expected[::-1])


def test_indices_from_the_cpu_select_there(device: str) -> None:
    there = tj.tensor(X, device=device)
    for key in ([2, 0], np.array([1, 1]), tj.tensor([0, 2]), X[:, 0] > 3, (slice(None), [3, 0])):
        expected = X[np.asarray(key) if isinstance(key, tj.Tensor) else key]
        np.testing.assert_array_equal(there[key].cpu().numpy(), expected)
    with pytest.raises(IndexError, match="index 3 is out of bounds"):
        tj.take(there, [3], axis=0)


def test_copies_stay_where_they_are(device: str) -> None:
    there = tj.tensor(X, device=device)
    for twin in (
        there.copy(),
        copy.deepcopy(there),
        tj.tensor(there),
        pickle.loads(pickle.dumps(there)),
    ):
        assert twin.device == device
        twin[0] = -1
    np.testing.assert_array_equal(there.cpu().numpy(), X)


def test_gradients_flow_back_to_where_they_came_from(device: str) -> None:
    x = tj.tensor([1.0, 2.0], requires_grad=True)
    y = x.to(device)
    (y * y).sum().backward()
    assert x.grad is not None
    assert x.grad.device == "cpu"
    assert x.grad.tolist() == [2, 4]


def test_devices_are_listed(device: str) -> None:
    assert tj.devices() == ["cpu", *(f"cuda:{n}" for n in range(tj.cuda.device_count()))]
    assert tj.cuda.is_available()
    assert tj.cuda.why_not() is None
    assert tj.cuda.get_device_name(0) == tj.cuda.get_device_name(device)
    with pytest.raises(tj.DeviceUnavailable, match=r"cuda:99: the driver finds"):
        tj.zeros(1, device="cuda:99")
    with pytest.raises(ValueError, match="a GPU is named"):
        tj.cuda.synchronize("cpu")


def test_ops_can_be_left_to_numpy(device: str) -> None:
    with tj.config.scope(eager="numpy"):
        made = tj.exp(tj.tensor(X, device=device))
    assert made.device == device
    np.testing.assert_array_equal(made.cpu().numpy(), np.exp(X))


def test_ops_do_not_wait_for_the_device(emulated: str) -> None:
    x = tj.tensor(X, device=emulated)
    before = standin.counts()
    y = (tj.softmax(x * 2) @ x.T).sum()
    x[0] = 3.0
    since = standin.counts() - before
    assert "waits" not in since
    assert "copies_out" not in since
    y.item()
    assert (standin.counts() - before)["waits"] == 1


def test_integers_that_were_sent_are_looked_at_without_waiting(emulated: str) -> None:
    x, places = tj.tensor(X, device=emulated), tj.tensor([2, 0], device=emulated)
    before = standin.counts()
    made = tj.take(x, places, axis=0)
    assert places[1:].tolist() == [0]
    assert "waits" not in standin.counts() - before
    np.testing.assert_array_equal(made.cpu().numpy(), X[[2, 0]])


def add_one(x: tj.Tensor) -> None:
    x += 1


def put_seven(x: tj.Tensor) -> None:
    x[1:] = 7


@pytest.mark.parametrize("change", [add_one, put_seven, tj.compile(add_one), tj.compile(put_seven)])
def test_integers_that_were_sent_and_written_since_are_seen_as_they_are(
    device: str, change: Callable[..., Any]
) -> None:
    for count in (1, 2, 3, 4):
        values = np.arange(5 + count)
        x = tj.tensor(values, device=device)
        other = tj.tensor(values, device=device)
        part = x[2:]
        change(part)
        expected = values.copy()
        change(expected[2:])
        assert x.tolist() == expected.tolist()
        assert part.tolist() == expected[2:].tolist()
        assert other.tolist() == values.tolist()


def test_modules_and_optimizers_move_with_all_that_they_have(device: str) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    model(tj.tensor(X)).sum().backward()
    before = {name: t.tolist() for name, t in model.state_dict().items()}
    parameters = list(model.parameters())
    assert model.cuda() is model
    assert all(a is b for a, b in zip(model.parameters(), parameters))
    assert {t.device for t in (*model.parameters(), *model.buffers())} == {device}
    assert {p.grad.device for p in parameters if p.grad is not None} == {device}
    assert {name: t.tolist() for name, t in model.state_dict().items()} == before
    there = optim.Adam(parameters)
    there.step()
    here = optim.Adam(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).parameters())
    here.load_state_dict(there.state_dict())
    there.load_state_dict(here.state_dict())
    there.step()
    model.cpu()
    assert {t.device for t in (*model.parameters(), *model.buffers())} == {"cpu"}
    with pytest.raises(
        ValueError, match=r"the state 'exp_avg' is f32\[3,4\]@cuda:0, its parameter f32\[3,4\]"
    ):
        there.step()
