"""argmin and argmax as machine code."""

from __future__ import annotations

import numpy as np
import pytest

import tracejit as tj

WORST = {
    "argmin": {"f4": [np.inf], "f8": [np.inf], "i4": [2**31 - 1], "u1": [255], "?": [True]},
    "argmax": {"f4": [-np.inf], "f8": [-np.inf], "i4": [-(2**31)], "u1": [0], "?": [False]},
}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("kind", ["f4", "f8", "i4", "u1", "?"])
@pytest.mark.parametrize("name", WORST)
def test_a_search_finds_the_first_of_equals_whatever_they_are(
    name: str, kind: str, axis: int
) -> None:
    """Also where all values are the worst there is, or there are several NaNs."""
    (worst,) = WORST[name][kind]
    rng = np.random.default_rng(0)
    special = [worst, np.nan, 0.0, -0.0] if kind[0] == "f" else [worst]
    for length in (1, 2, 15, 16, 17, 63, 64, 65, 130, 4097):
        rows = [np.full(length, worst, kind) for _ in range(9)]
        for row in rows[1:]:
            row[rng.integers(0, length, 3)] = rng.choice(special + [worst], 3)
        rows[-1] = rng.integers(0, 3, length).astype(kind)
        array = np.stack(rows, 1 - axis)
        expected = getattr(np, name)(array, axis)
        assert np.array_equal(getattr(tj, name)(tj.tensor(array), axis=axis), expected)
