"""Where tensors are made when nobody says: `tj.config.default_device`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.cuda.artifacts import bits
from tests.cuda.test_tensors import MAKERS
from tracejit import nn
from tracejit.nn import functional as F

X = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def there(device: str) -> Iterator[str]:
    """A GPU that is the default device."""
    with tj.config.scope(default_device=device):
        yield device


@pytest.mark.parametrize("make", MAKERS)
def test_it_is_where_tensors_are_made_of_what_is_on_none(
    device: str, make: Callable[..., Any]
) -> None:
    here = make()
    with tj.config.scope(default_device=device):
        made = make()
        assert made.device == device
        assert bits(made) == bits(here)
        assert make(device="cpu").device == "cpu"
    assert make().device == here.device == "cpu"


def test_what_is_somewhere_stays_there(there: str) -> None:
    here = tj.tensor(X, device="cpu")
    for made in (
        tj.tensor(here),
        tj.asarray(here),
        tj.zeros_like(here),
        tj.full_like(here, 2),
        tj.full(3, here[0, 0]),
        here * 2 + np.float32(1),
        F.dropout(here, 0.5),
        here[[0, 1]],
        tj.from_dlpack(here),
    ):
        assert made.device == "cpu"
    with pytest.raises(ValueError, match="only by a copy"):
        tj.asarray(X, copy=False)


def test_models_are_made_there_with_the_same_numbers(device: str) -> None:
    def made(where: str) -> nn.Module:
        tj.random.default_generator.on(device)
        tj.random.seed(3)
        with tj.config.scope(default_device=where):
            return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Embedding(5, 2))

    here, there = made("cpu"), made(device)
    assert {t.device for t in (*there.parameters(), *there.buffers())} == {device}
    assert bits(there.state_dict()) == bits(here.state_dict())


def test_a_compiled_function_asks_anew_when_it_changes(device: str) -> None:
    f = tj.compile(lambda n: tj.zeros(3) + n)
    for where in ("cpu", device, "cpu", device):
        with tj.config.scope(default_device=where):
            for n in range(3):
                made = f(n)
                assert made.device == where
                assert made.tolist() == [n] * 3


def test_a_name_that_is_none_is_refused(emulated: str) -> None:
    for name in ("gpu", "cuda:", "cuda:x", "cpu:1:2", "auto:0"):
        with pytest.raises(ValueError, match="expected 'auto', 'cpu', or a GPU"):
            tj.config.default_device = name
    with (
        tj.config.scope(default_device="cuda:7"),
        pytest.raises(tj.DeviceUnavailable, match=r"test_default_device.py:\d+: cuda:7: the dr"),
    ):
        tj.zeros(3)


def test_it_is_chosen_by_itself_or_by_the_environment(
    in_a_process: Callable[[str], str], run_python: Callable[..., str]
) -> None:
    script = "import tracejit as tj\nprint(tj.zeros(3).device, tj.__array_namespace_info__().default_device())"
    chosen = "import tracejit as tj\ntj.config.default_device = 'auto'\n"
    assert in_a_process(chosen + script) == "cuda:0 cuda:0\n"
    assert in_a_process(script) == "cpu cpu\n"
    if tj.cuda.why_not() is not None or not tj.cuda.get_device_name().startswith("host"):
        return
    assert run_python(script, TRACEJIT_DEFAULT_DEVICE="auto") == "cpu cpu\n"
