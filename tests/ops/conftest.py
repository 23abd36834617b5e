"""Every test of the ops runs on NumPy alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ops.interpreter import NumpyInterpreter, lift
from tracejit import dispatch


@pytest.fixture(autouse=True)
def numpy_interpreter() -> Iterator[None]:
    base, lifts = tuple(dispatch._base), tuple(dispatch._lift)
    dispatch.install((NumpyInterpreter(),), lift)
    yield
    if base:
        dispatch.install(base, *lifts)
