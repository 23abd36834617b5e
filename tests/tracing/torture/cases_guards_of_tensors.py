"""What a replay has to know of a tensor besides dtype and shape: its class, where its elements lie, and whose view it is."""

from __future__ import annotations

import numpy as np

import tracejit as tj
from tests.tracing.torture.cases_state import Box
from tests.tracing.torture.harness import case, thrice
from tracejit import nn


@case
def class_of_a_tensor_in_state(compile):
    state = Box()

    @compile
    def f(x):
        return x * state.w if isinstance(state.w, nn.Parameter) else x + state.w

    leaf, parameter = tj.tensor([1.0, 2.0], requires_grad=True), nn.Parameter([1.0, 2.0])
    for state.w in thrice(leaf, parameter, leaf):
        yield f(tj.tensor([3.0, 5.0]))


@case
def strides_of_a_tensor_of_its_own(compile):
    rows = np.arange(4.0, dtype=np.float32).reshape(2, 2)
    state = Box()

    @compile
    def f(x):
        return x - state.t

    straight, turned = tj.from_numpy(rows.copy()), tj.from_numpy(np.asfortranarray(rows))
    for state.t in thrice(straight, turned, straight):
        yield f(tj.ones((2, 2)))


@case
def offset_of_a_view(compile):
    base = tj.tensor([1.0, 2.0, 3.0, 4.0])
    state = Box()

    @compile
    def f(x):
        state.t.add_(1)
        return x * state.t

    for state.t in thrice(base[:2], base[1:3], base[::2], base[:2]):
        yield f(tj.ones(2)), base


@case
def tensor_replaced_by_a_view_of_a_leaf(compile):
    base = tj.tensor([1.0, 2.0, 3.0])
    part = base[:2]
    state = Box()

    @compile
    def f(x):
        y = x * state.t
        return y, y.requires_grad

    for state.t in thrice(tj.tensor([1.0, 2.0])):
        yield f(tj.tensor([3.0, 5.0]))
    base.requires_grad_()
    for state.t in thrice(part, tj.tensor([4.0, 5.0])):
        yield f(tj.tensor([3.0, 5.0]))
