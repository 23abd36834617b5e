"""Fixtures of the run time's tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracejit._config import config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cache_dir(tmp_path: Path) -> Iterator[Path]:
    """An empty disk cache for this test."""
    with config.scope(cache_dir=tmp_path):
        yield tmp_path


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., str]:
    """Runs a script in a process of its own, with `tests.runtime.plans` at hand; gives what it printed."""

    def run(script: str, **environment: str) -> str:
        path = tmp_path / "script.py"
        path.write_text(script)
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", str(path)],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
