"""Devices are told, and those that are not here say what to do."""

from __future__ import annotations

import pytest

from tracejit._errors import DeviceUnavailable
from tracejit.runtime.cpu.target import LEVELS
from tracejit.runtime.device import check, devices


def test_the_cpu_is_a_device() -> None:
    (cpu,) = devices()
    assert cpu.name == "cpu"
    assert cpu.cores >= 1
    assert cpu.level in LEVELS
    assert cpu.processor in str(cpu)


@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_names_of_the_cpu(name: str) -> None:
    assert check(name) == "cpu"


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "cpu:1"])
def test_a_device_that_is_not_here_says_what_mends_it(name: str) -> None:
    with pytest.raises(DeviceUnavailable, match=f"{name}: .*use device='cpu'"):
        check(name)


def test_what_is_no_device_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="'abacus' is no device"):
        check("abacus")
