"""Random loops whose rounds hold, share and rebind Python values are what they are in Python."""

from __future__ import annotations

import pytest

from tests.tracing.replay.random_rounds import sample


@pytest.mark.parametrize("seed", [0, 1000, 2000, 3000])
def test_compiled_and_exported_they_do_the_same(seed: int) -> None:
    wrong, tally = sample(seed, 6)
    assert not wrong, wrong[0]
    assert tally.replayed > tally.calls / 3
    assert tally.exported
