"""Every case of the torture suite without native code, which takes nearly all calls where there is some."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_compiled_means_what_plain_python_means_without_native_code():
    done = subprocess.run(
        [sys.executable, "-m", "tests.tracing.torture"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TRACEJIT_NATIVE_CALLS": "0"},
        capture_output=True,
        text=True,
    )
    last = done.stdout.splitlines()[-1] if done.stdout else done.stderr
    assert done.returncode == 0, "\n".join(re.findall(r".*WRONG.*", done.stdout)) or last
    assert re.match(r"\d{3,} cases: .* 0 WRONG", last), last
