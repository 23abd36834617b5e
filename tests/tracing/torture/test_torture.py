"""Every case of the torture suite: compiled means what plain Python means."""

from __future__ import annotations

import pytest

from tests.tracing.torture.harness import load, outcome


def _marks(known: str):
    return pytest.mark.xfail(strict=True, reason=known) if known else ()


@pytest.mark.parametrize(
    "name", [pytest.param(case.name, marks=_marks(case.known)) for case in load().values()]
)
def test_compiled_means_what_plain_python_means(name: str):
    found = outcome(name)
    assert not found.difference, found.difference
