"""Arrays of other libraries on the same GPU: each sees what the other has written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj

X = np.arange(12, dtype=np.float32).reshape(3, 4)


class Other:
    """Another library's array: a view of a tensor's memory by the protocol alone."""

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__cuda_array_interface__ = interface


def seen(tensor: tj.Tensor, **changes: Any) -> Other:
    return Other({**tensor.__cuda_array_interface__, **changes})


def test_a_tensor_says_where_its_elements_lie(device: str) -> None:
    there = tj.tensor(X, device=device)
    whole, part = there.__cuda_array_interface__, there.T[1:, ::2].__cuda_array_interface__
    assert whole["shape"] == (3, 4)
    assert whole["typestr"] == "<f4"
    assert whole["strides"] == (16, 4)
    assert part["shape"] == (3, 2)
    assert part["strides"] == (4, 32)
    assert part["data"][0] - whole["data"][0] == 4


def test_anothers_array_becomes_a_tensor_of_its_own(device: str) -> None:
    there = tj.tensor(X, device=device)
    for view, expected in (
        (there, X),
        (there.T, X.T),
        (there[::2, 1:], X[::2, 1:]),
        (there[0, :0], X[0, :0]),
    ):
        for make in (tj.asarray, tj.tensor):
            made = make(seen(view))
            assert made.device == device
            np.testing.assert_array_equal(made.cpu().numpy(), expected)
    made = tj.asarray(seen(there, strides=None, stream=None), dtype="float64", device="cpu")
    assert made.dtype is tj.float64
    made[0] = -1
    np.testing.assert_array_equal(there.cpu().numpy(), X)
    backward = {**there.__cuda_array_interface__, "strides": (-16, 4)}
    backward["data"] = (backward["data"][0] + 32, False)
    np.testing.assert_array_equal(tj.asarray(Other(backward)).cpu().numpy(), X[::-1])


def test_what_others_may_have_written_is_read_anew(device: str) -> None:
    there = tj.tensor([1, 2, 3], device=device)
    address = there.__cuda_array_interface__["data"][0]
    alias = tj.tensor([7, 8, 9], device=device)

    def write() -> None:  # as another library would
        from tracejit.runtime.cuda.driver import gpu

        gpu().copy(address, alias.__cuda_array_interface__["data"][0], 24)

    @tj.compile
    def f(x: tj.Tensor) -> tuple[tj.Tensor, tj.Tensor]:
        before = x + 1
        write()
        return before, x * 2

    before, after = f(there)
    assert before.tolist() == [2, 3, 4]
    assert after.tolist() == [14, 16, 18]
    assert there.tolist() == [7, 8, 9]


def test_what_has_no_interface_says_so(device: str) -> None:
    for tensor in (tj.tensor(X), tj.tensor(X, dtype="bfloat16", device=device)):
        assert not hasattr(tensor, "__cuda_array_interface__")
    with pytest.raises(tj.AutogradError, match="detach"):
        _ = tj.tensor(X, device=device, requires_grad=True).__cuda_array_interface__


@pytest.mark.cuda
def test_pytorch_sees_the_same_memory(real: str) -> None:
    torch = pytest.importorskip("torch")
    there = tj.tensor(X, device=real)
    seen = torch.as_tensor(there, device="cuda")
    seen += 1
    np.testing.assert_array_equal(there.cpu().numpy(), X + 1)
    there[0] = 7.0
    assert seen[0].tolist() == [7.0] * 4
    np.testing.assert_array_equal(tj.asarray(seen.T).cpu().numpy(), there.T.cpu().numpy())


@pytest.mark.cuda
def test_cupy_sees_the_same_memory(real: str) -> None:
    cupy = pytest.importorskip("cupy")
    there = tj.tensor(X, device=real)
    seen = cupy.asarray(there)
    seen *= 2
    np.testing.assert_array_equal(there.cpu().numpy(), X * 2)
    np.testing.assert_array_equal(tj.asarray(seen[::-1]).cpu().numpy(), X[::-1] * 2)
