"""The demo on a GPU reads as many digits as on the CPU."""

from __future__ import annotations

import re

import pytest

from tracejit import cli

pytest.importorskip("tracejit.demo", reason="the packages of the demo are not installed")


def read_right(device: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["demo", "--device", device, "--epochs", "2"]) == 0
    printed = capsys.readouterr().out
    assert "all losses and weights the same, bit for bit: yes" in printed
    found = re.search(r"read right: ([\d.]+)%", printed)
    assert found is not None
    return found[1]


def test_the_demo_learns_there_as_it_does_here(
    device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_right(device, capsys) == read_right("cpu", capsys)
