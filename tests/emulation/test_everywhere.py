"""A sample of the suites whose tests say nothing of how the CPU computes, with a GPU's kernels in the place of its own."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.emulation.emulate import unavailable
from tests.emulation.everywhere import ROOT, command

SAMPLE = 250


def test_a_sample_of_the_suites_passes_on_a_gpus_kernels() -> None:
    if (why := unavailable()) is not None:
        pytest.skip(why)
    done = subprocess.run(
        [sys.executable, *command(SAMPLE)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) >= 10
