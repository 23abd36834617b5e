"""Gradients: leaves, `.grad`, graphs kept and freed, hooks, backward passes outside the compiled function."""

# ruff: noqa: B007  # a loop variable is state that the compiled function reads

from __future__ import annotations

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, matrix, thrice, vector


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


def leaf():
    return vector().requires_grad_()


@case
def backward_inside(compile):
    w = leaf()

    @compile
    def f(x):
        loss = (w * x).sum()
        loss.backward()
        return loss

    for k in range(4):
        yield f(vector() + k), w
    w.grad = None
    for k in range(3):
        yield f(vector() + k), w


@case
def backward_outside(compile):
    w = leaf()

    @compile
    def f(x):
        y = (w * x).exp()
        return y.sum(), y

    for k in range(4):
        loss, y = f(vector() * k)
        loss.backward()
        yield loss, y, w
        yield attempt(y.sum().backward)


@case
def gradient_flows_to_arguments(compile):
    @compile
    def f(x, y):
        return (x * y).sum()

    x, y = leaf(), vector()
    for flags in thrice((True, False), (True, True), (False, False)):
        x.requires_grad_(flags[0])
        y.requires_grad_(flags[1])
        out = f(x, y)
        yield attempt(out.backward), out, x, y
        x.grad = y.grad = None


@case
def gradient_set_by_hand(compile):
    w = leaf()

    @compile
    def step():
        if w.grad is None:
            return None
        with tj.no_grad():
            w.sub_(w.grad)
        return w * 1

    for gradient in thrice(None, vector(), tj.ones(3), None):
        w.grad = gradient
        yield step(), w
    yield attempt(setattr, w, "grad", tj.ones(2)), w


@case
def gradient_object_is_kept_or_not(compile):
    w = leaf()
    held = []

    @compile
    def f(x):
        (w * x).sum().backward()
        return w.grad

    for k in range(4):
        gradient = f(vector() + k)
        held.append(gradient)
        yield held, gradient is w.grad
    w.grad = None
    for k in range(3):
        held.append(f(vector() + k))
        yield held, w


@case
def gradient_shared_by_two_leaves(compile):
    one, other = leaf(), leaf()

    @compile
    def f(x):
        (one + other + x).sum().backward()

    for _ in range(4):
        yield f(vector()), one, other
    one.grad = other.grad
    for _ in range(3):
        yield f(vector()), one, other, one.grad is other.grad


@case
def backward_twice(compile):
    w = leaf()

    @compile
    def f(x, keep):
        loss = (w * w * x).sum()
        loss.backward(retain_graph=keep)
        loss.backward()
        return loss

    for keep in [True, True, True, False, False, True, None]:
        yield attempt(f, vector(), keep), w


@case
def graph_retained_between_calls(compile):
    w = leaf()
    state = Box(loss=None)

    @compile
    def f(x):
        if state.loss is None:
            state.loss = (w * w * x).sum()
        state.loss.backward(retain_graph=True)
        return state.loss

    for _ in range(4):
        yield f(vector()), w, state
    state.loss = None
    for _ in range(3):
        yield f(vector()), w, state
    with tj.no_grad():
        w.add_(1)
    yield attempt(f, vector()), w


@case
def state_that_carries_a_graph(compile):
    w = leaf()
    state = Box(hidden=vector())

    @compile
    def f(x):
        state.hidden = tj.tanh(state.hidden * w + x)
        return state.hidden.sum()

    for k in range(6):
        loss = f(vector())
        yield loss, state
        if k % 2:
            loss.backward()
            state.hidden = state.hidden.detach()
            yield w


@case
def hook_on_a_leaf(compile):
    w = leaf()
    seen = []

    @compile
    def f(x):
        (w * x).sum().backward()
        return w.grad * 1

    for _ in range(3):
        yield f(vector())
    remove = w.register_hook(lambda gradient: seen.append(gradient.sum().item()))
    for _ in range(3):
        yield f(vector()), seen
    remove()
    double = w.register_hook(lambda gradient: gradient * 2)
    for _ in range(3):
        yield f(vector()), seen
    double()
    for _ in range(3):
        yield f(vector()), seen


@case
def hook_registered_inside(compile):
    w = leaf()
    factor = 2.0

    @compile
    def f(x):
        y = w * x
        y.register_hook(lambda gradient: gradient * factor)
        return y.sum()

    for factor in thrice(2.0, 3.0):
        f(vector()).backward()
        yield w


@case
def hook_on_a_result_of_a_call(compile):
    w = leaf()
    seen = []

    @compile
    def f(x):
        y = w * x
        return y, (y * y).sum()

    for _ in range(5):
        y, loss = f(vector())
        y.register_hook(lambda gradient: seen.append(gradient.sum().item()))
        y.retain_grad()
        loss.backward()
        yield y, loss, w, seen


@case
def leaf_becomes_a_result(compile):
    state = Box(w=leaf())

    @compile
    def f(x):
        y = state.w * x
        return y.is_leaf, y

    for _ in range(3):
        yield f(vector())
    state.w = state.w * 2
    for _ in range(3):
        is_leaf, y = f(vector())
        y.sum().backward(retain_graph=True)
        yield is_leaf, y
    state.w = state.w.detach()
    for _ in range(3):
        yield f(vector())


@case
def value_overwritten_before_backward(compile):
    w = leaf()

    @compile
    def f(x, write):
        y = w * 2
        z = (y * y * x).sum()
        if write:
            y.add_(1)
        z.backward()
        return z

    for write in [False, False, False, True, True, False]:
        yield attempt(f, vector(), write), w


@case
def saved_value_overwritten_between(compile):
    w = leaf()

    @compile
    def f(x):
        y = w * x
        return y, (y * y).sum()

    for k in range(5):
        y, loss = f(vector())
        if k % 2:
            y.detach().add_(1)
        yield attempt(loss.backward), w


@case
def detach_inside(compile):
    w = leaf()

    @compile
    def f(x):
        y = w * x
        constant = y.detach()
        loss = (y * constant).sum()
        loss.backward()
        return constant, y.detach() is constant

    for k in range(4):
        yield f(vector() + k), w


@case
def functional_gradient(compile):
    scale = 2.0

    @compile
    def f(x):
        return tj.grad(lambda y: (y * y * scale).sum())(x)

    for scale in thrice(2.0, 3.0):
        yield f(vector())


@case
def gradient_of_a_compiled_function(compile):
    scale = 2.0

    @compile
    def loss(x):
        return (x * x * scale).sum()

    gradient = tj.value_and_grad(loss)
    for scale in thrice(2.0, 3.0):
        yield gradient(vector()), loss(vector())


@case
def gradient_of_a_gradient(compile):
    w = leaf()

    @compile
    def f(x):
        loss = (w**3 * x).sum()
        (first,) = tj.autograd.grad(loss, w, create_graph=True)
        first.sum().backward()
        return first

    for k in range(4):
        yield f(vector() + k), w


@case
def gradients_of_several_outputs(compile):
    w, b = leaf(), leaf()

    @compile
    def f(x, unused):
        y = w * x
        z = y if unused else y + b
        return tj.autograd.grad([y.sum(), z.sum()], [w, b], allow_unused=unused)

    for unused in thrice(False, True):
        yield f(vector(), unused)


@case
def backward_with_a_gradient(compile):
    w = tj.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)

    @compile
    def f(x, gradient):
        (w @ x).backward(gradient)
        return w.grad * 1

    for gradient in [*thrice(matrix(), 1.0), None, tj.ones(3)]:
        yield attempt(f, matrix(), gradient), w


@case
def views_of_a_leaf(compile):
    w = leaf()
    part = w[1:]

    @compile
    def f(x):
        (part * x + w[:2]).sum().backward()
        return part * 2

    for _ in range(4):
        yield f(vector()[:2]), w, part
    with tj.no_grad():
        part.mul_(2)
    for _ in range(3):
        yield f(vector()[:2]), w, part


@case
def writes_under_the_tape(compile):
    w = leaf()

    @compile
    def f(x):
        y = w * x
        first = y[:1]
        y[1:] = x[1:] * w[1:] * w[1:]
        y.mul_(2)
        return y.sum() + first.sum()

    for k in range(4):
        loss = f(vector() + k)
        loss.backward()
        yield loss, w
