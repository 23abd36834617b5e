"""Machines on which slabs gain something sooner, or never."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tracejit.compiler import machine

OFF = {"least_bytes": 1 << 60, "least_bytes_in_turn": 1 << 60}


def choose(monkeypatch: pytest.MonkeyPatch, **values: float) -> None:
    """What is reckoned of CPUs and GPUs from now on."""
    for name in ("CORES", "WARPS"):
        monkeypatch.setattr(machine, name, replace(getattr(machine, name), **values))
