"""What every test runs under: a compile cache of its own, and examples that a slow machine does not fail."""

from __future__ import annotations

import os
import tempfile

import hypothesis
import pytest

# Before tracejit is imported, and inherited by the processes that tests start.
_cache = tempfile.TemporaryDirectory(prefix="tracejit-tests-", ignore_cleanup_errors=True)
os.environ["TRACEJIT_CACHE_DIR"] = _cache.name

hypothesis.settings.register_profile(
    "tracejit", deadline=None, database=None, derandomize=True, print_blob=True
)
hypothesis.settings.load_profile("tracejit")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the listings that tests compare with as the code makes them now",
    )
