"""Which cases of the torture suite are replayed, and that the others say why not."""

from __future__ import annotations

import pytest

from tests.tracing.torture.harness import load, outcome

REPLAY_IS_BUILT = False
"""Turn on with the replay engine."""

REPLAYED: frozenset[str] = frozenset()
"""The cases of which at least one call must be replayed."""

AT_LEAST = 155
"""How many cases must be among them."""

needs_replay = pytest.mark.skipif(not REPLAY_IS_BUILT, reason="replay is not built yet")


@needs_replay
def test_enough_cases_are_replayed():
    assert len(REPLAYED) >= AT_LEAST
    assert load().keys() >= REPLAYED


@needs_replay
@pytest.mark.parametrize("name", sorted(REPLAYED))
def test_a_call_is_replayed(name: str):
    found = outcome(name)
    assert found.replayed, found.reason


@pytest.mark.parametrize("name", load())
def test_a_case_that_is_not_replayed_says_why(name: str):
    found = outcome(name)
    assert found.replayed or found.reason
