"""The tree of recorded calls: bounded, with the variants in use kept."""

from __future__ import annotations

import numpy as np

import tracejit as tj
from tracejit.tracing.replay.tree import MOST_ALIKE, MOST_ROOTS


def test_the_variants_that_are_not_used_make_room() -> None:
    f = tj.compile(lambda x: x * 2, dynamic=False)
    used = tj.ones(1000)
    f(used)
    for size in range(2 * MOST_ROOTS):
        f(tj.ones(size))
        before = dict(f.calls)
        assert f(used).tolist() == [2.0] * 1000
        assert f(tj.ones(size)).tolist() == [2.0] * size
        assert f.calls["replay"] == before["replay"] + 2
    tree = f.replays.tree
    assert len(tree.roots) <= MOST_ROOTS
    assert tree.evicted >= MOST_ROOTS
    assert tree.nodes == len(tree.roots)


def test_many_sizes_are_replayed_each_after_its_recording() -> None:
    @tj.compile(dynamic=False)
    def f(x, *, scale):
        return x * scale

    for _ in range(3):
        for size in range(100):
            assert f(tj.ones(size), scale=2.0).tolist() == [2.0] * size
            assert f(np.ones((size, 1)), scale=2.0).shape == (size, 1)
    assert f.calls == {"replay": 400, "record": 200, "eager": 0}


def test_variants_of_like_arguments_make_room_for_one_another() -> None:
    state = {"name": ""}

    @tj.compile
    def f(x):
        return x * len(state["name"])

    for length in range(2 * MOST_ALIKE):
        state["name"] = "a" * length
        for _ in range(2):
            assert f(tj.ones(2)).tolist() == [float(length)] * 2
    assert f.calls["replay"] == 2 * MOST_ALIKE
    assert len(f.replays.tree.roots) == MOST_ALIKE


def test_equal_calls_are_one_path() -> None:
    f = tj.compile(lambda x: x * 2 if x.sum() > 0 else x * 3)
    for sign in [1, 1, -1, -1, 1]:
        f(tj.ones(3) * sign)
    assert f.calls == {"replay": 3, "record": 2, "eager": 0}
    assert len(f.replays.tree.roots) == 1
    assert f.replays.tree.nodes == 3
