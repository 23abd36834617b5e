"""The graph behind the result of a replayed step is built only when somebody asks, and says what the eager one says."""

from __future__ import annotations

from typing import Any

import pytest

import tracejit as tj
from tracejit.autograd.late import LateNode


def step(w: Any, x: Any) -> Any:
    w.grad = None
    loss = ((w * x) ** 3).sum()
    loss.backward()
    return loss


def replayed(w: Any, x: Any) -> Any:
    f = tj.compile(step)
    for _ in range(3):
        loss = f(w, x)
    assert f.calls["replay"]
    return loss


def test_the_freed_graph_of_a_replayed_loss_is_built_late():
    w, x = tj.tensor([1.0, 2.0], requires_grad=True), tj.tensor([3.0, 4.0])
    loss = replayed(w, x)
    assert isinstance(loss.grad_fn, LateNode)
    assert loss.requires_grad
    assert not loss.is_leaf
    assert repr(loss.grad_fn) == repr(step(w, x).grad_fn)


def test_a_second_backward_fails_as_it_does_eagerly():
    w, x = tj.tensor([1.0, 2.0], requires_grad=True), tj.tensor([3.0, 4.0])
    eager, late = step(w, x), replayed(w, x)
    messages = []
    for loss in (eager, late):
        with pytest.raises(tj.AutogradError) as caught:
            loss.backward()
        messages.append(str(caught.value).partition(": ")[2])
    assert messages[0] == messages[1]


def test_late_nodes_stand_between_earlier_and_later_ones():
    w, x = tj.tensor([1.0, 2.0], requires_grad=True), tj.tensor([3.0, 4.0])
    loss = replayed(w, x)
    after = loss * 2
    edges = [loss.grad_fn]
    while edges:
        node = edges.pop()
        for edge in node.edges:
            if hasattr(edge, "edges"):
                assert edge.sequence < node.sequence
                edges.append(edge)
    assert after.grad_fn.sequence > loss.grad_fn.sequence


def test_a_live_graph_of_a_replayed_forward_pass_gives_the_same_gradients():
    w = tj.tensor([1.0, 2.0], requires_grad=True)
    f = tj.compile(lambda x: (tj.exp(w * x) * x).sum())
    for _ in range(4):
        w.grad = None
        f(tj.tensor([0.5, 0.25])).backward()
    found = w.grad.tolist()
    w.grad = None
    f.function(tj.tensor([0.5, 0.25])).backward()
    assert f.calls["replay"] == 3
    assert found == w.grad.tolist()
