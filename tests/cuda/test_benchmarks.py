"""The benchmarks of GPUs run, and their results are right."""

from __future__ import annotations

import pytest

from benchmarks import gpu


def test_every_workload_is_timed(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--small"]) == 0
    table = capsys.readouterr().out.rpartition("\n\n")[2].splitlines()
    ours = [line.split()[0] for line in table if " tracejit " in line]
    assert ours == [workload.name for workload in gpu.WORKLOADS]
