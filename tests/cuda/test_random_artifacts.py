"""A small sample of random programs, exported, and run on a GPU; `sample` tries as many as are asked for."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

import tracejit as tj
from tests.standalone.random_programs import Exporting, Loaded, Tally
from tests.tracing.fuzz.runner import Mode, run_sample
from tracejit.standalone.capture import Captured
from tracejit.standalone.container import pack
from tracejit.standalone.exporting import _entries
from tracejit.standalone.native import target_of


class ExportingForGpu(Exporting):
    def _made(self, captured: Captured) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "f.tj")
            path.write_bytes(b"".join(pack(_entries(captured, [target_of("cuda")]))))
            return Loaded(tj.load(path, device="cuda"))


def sample(mode: Mode, *, seed: int, count: int) -> tuple[list[str], Tally]:
    """What was wrong, and how many calls were exported."""
    tally = Tally()
    outcome = run_sample(mode, compile=lambda f: ExportingForGpu(f, tally), seed=seed, count=count)
    return [*map(str, outcome.wrong)], tally


@pytest.mark.parametrize(("mode", "count"), [("expressions", 2), ("programs", 1), ("loops", 1)])
def test_exported_programs_answer_on_a_gpu_as_python_does(
    emulated: str, mode: Mode, count: int
) -> None:
    wrong, tally = sample(mode, seed=3, count=count)
    assert not wrong, "\n".join(wrong)
    assert tally.exported
    assert tally.calls
