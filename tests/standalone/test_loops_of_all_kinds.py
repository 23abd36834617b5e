"""Loops that a compiled function closes are loops of its artifact, whatever goes round, in training steps as well."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import tracejit as tj
from tests.standalone.test_roundtrip import bits
from tests.tracing.replay import test_heads as heads
from tracejit.standalone.ways import has_loops

EXPORTED = [each for each in (*heads.ALIKE, *heads.TRAINING) if each is not heads.writes_a_class]


@pytest.mark.parametrize("make", EXPORTED, ids=lambda make: make.__name__)
def test_artifacts_go_round_as_python_does(make: Any, tmp_path: Path) -> None:
    (ours, _), (theirs, _) = make(), make()
    tj.export(ours, (tj.tensor([2.0, -2.0, 3.0]), 0.5), tmp_path / "f.tj")
    loaded = [tj.load(tmp_path / "f.tj"), tj.load(tmp_path / "f.tj", native=False)]
    assert has_loops(loaded[0].manifest.call)
    rng = random.Random(0)
    for _ in range(20):
        x, least = tj.tensor([rng.uniform(1, 4), -2.0, 3.0]), 10 ** rng.uniform(-4, 0)
        expected = bits(theirs(x, least))
        assert [bits(each(x, least)) for each in loaded] == [expected, expected]


def test_classes_are_no_state(tmp_path: Path) -> None:
    f, _ = heads.writes_a_class()
    with pytest.raises(tj.ExportError, match=r"Shared\.count is written"):
        tj.export(f, (tj.ones(3), 0.5), tmp_path / "f.tj")
