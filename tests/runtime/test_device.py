"""Devices are told, and those that are not here say what to do."""

from __future__ import annotations

import pytest

from tracejit._errors import DeviceUnavailable
from tracejit.runtime.cpu.target import LEVELS
from tracejit.runtime.device import cpu, full_name


def test_the_cpu_is_a_device() -> None:
    found = cpu()
    assert found.name == "cpu"
    assert found.cores >= 1
    assert found.level in LEVELS
    assert found.processor in str(found)


@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_names_of_the_cpu(name: str) -> None:
    assert full_name(name) == "cpu"


@pytest.mark.parametrize("name", ["cuda:99", "cpu:1"])
def test_a_device_that_is_not_here_says_what_mends_it(name: str) -> None:
    with pytest.raises(DeviceUnavailable, match=f"{name}: .*use device='cpu'"):
        full_name(name)


@pytest.mark.parametrize("name", ["abacus", "cuda:x"])
def test_what_is_no_device_is_told(name: str) -> None:
    with pytest.raises(DeviceUnavailable, match=f"{name}: there is no such device"):
        full_name(name)
