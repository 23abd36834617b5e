"""Seeds that are set in compiled functions, where there are generators on several devices."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit as tj


def test_a_seed_is_set_on_all_devices(device: str) -> None:
    tj.random.random((2,), device=device)

    def f(x: Any, least: float) -> Any:
        tj.random.seed(3)
        while x.max() > least:
            x = x * 0.5 + tj.random.random((3,)) * 0.01
        return x

    compiled = tj.compile(f)
    for _ in range(3):
        found = compiled(tj.ones(3), 0.1)
        assert np.asarray(found).tobytes() == np.asarray(f(tj.ones(3), 0.1)).tobytes()
    after = tj.random.random((2,), device=device).tolist()
    f(tj.ones(3), 0.1)
    assert tj.random.random((2,), device=device).tolist() == after
