"""Functions that a call makes have the annotations that Python gives them, whenever it finds these."""

from __future__ import annotations

import sys

import pytest

import tracejit as tj
from tests.tracing.instrument.texts import module_from

TEXT = """
def f(x):
    def g(y: int, z: x.dtype = 3) -> str: return y + x
    def h(y): return y
    return g, h, x * 2
"""


def test_a_function_that_a_replay_makes_has_them():
    plain = module_from(TEXT)["f"]
    compiled = tj.compile(plain)
    x = tj.ones(3)
    wanted, _, _ = plain(x)
    for _ in range(4):
        g, h, _ = compiled(x)
        assert g.__annotations__ == wanted.__annotations__
        assert [*g.__annotations__] == ["y", "z", "return"]
        assert h.__annotations__ == {}
        assert g(1.0).tolist() == [2.0, 2.0, 2.0]
    assert tj.explain(compiled).calls["replay"] > 1


@pytest.mark.skipif(sys.version_info < (3, 14), reason="up to Python 3.13 a `def` runs them")
def test_nobody_runs_them_but_who_asks():
    variables = module_from(
        "seen = []\ndef f(x: seen.append(1)) -> Later:\n"
        " def g(y: (seen.append(2), Later)): return y\n"
        " return g, g(x) * 2\n"
    )
    compiled = tj.compile(variables["f"])
    for _ in range(4):
        g, _ = compiled(tj.ones(3))
    assert not variables["seen"]
    for _ in range(2):
        with pytest.raises(NameError, match="Later"):
            g.__annotations__
    assert variables["seen"] == [2, 2]
    variables["Later"] = int
    assert g.__annotations__ == {"y": (None, int)}
    assert tj.explain(compiled).calls["replay"]
