"""Fixtures of the run time's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tracejit._config import config


@pytest.fixture
def cache_dir(tmp_path: Path) -> Iterator[Path]:
    """An empty disk cache for this test."""
    with config.scope(cache_dir=tmp_path):
        yield tmp_path
