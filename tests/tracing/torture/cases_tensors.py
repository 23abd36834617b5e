"""Tensors: metadata, views, in-place writes, arguments that are, or overlap, each other."""

from __future__ import annotations

import copy
import pickle

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, matrix, thrice, values, vector
from tracejit import nn

WEIGHT = None


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


@case
def alias_fxx(compile):
    @compile
    def f(a, b):
        a.add_(1)
        return a * b, b

    for _ in range(3):
        yield f(vector(), vector())
    for _ in range(3):
        x = vector()
        yield f(x, x), x
    yield f(vector(), vector())


@case
def overlap_views(compile):
    @compile
    def f(a, b):
        a.add_(1)
        return b * 2

    for _ in range(3):
        yield f(vector(), vector())
    for _ in range(3):
        x = tj.arange(6).astype(tj.float32)
        yield f(x[:3], x[2:5]), x
    for _ in range(3):
        x = tj.arange(6).astype(tj.float32)
        yield f(x[::2], x[1::2]), x


@case
def overlap_with_branch(compile):
    @compile
    def f(a, b):
        a.mul_(2)
        if b.sum() > 10:
            a.add_(b)
        return a, b

    for k in [0, 0, 0, 5, 5]:
        yield f(vector() + k, vector() + k)
    for k in [0, 0, 5, 5]:
        x = tj.arange(4).astype(tj.float32) + k
        yield f(x[:3], x[1:]), x


@case
def overlap_of_an_argument_and_state(compile):
    state = Box(w=tj.arange(6).astype(tj.float32))

    @compile
    def f(x):
        state.w.add_(x.sum())
        return x * 2

    for _ in range(3):
        yield f(vector()), state
    for _ in range(3):
        yield f(state.w[1:4]), state
    for _ in range(3):
        yield f(state.w), state


@case
def arg_mutated(compile):
    @compile
    def f(x):
        x.mul_(2)
        x[0] = 7
        return x.sum()

    x = vector()
    for _ in range(4):
        yield f(x), x
    for _ in range(3):
        m = matrix()
        yield f(m.T[0]), m


@case
def mutate_then_branch(compile):
    @compile
    def f(x):
        x.add_(1)
        if x.sum() > 10:
            x.mul_(0)
        return x + 1

    x = vector()
    for _ in range(8):
        yield f(x), x


@case
def view_of_mutated_returned(compile):
    @compile
    def f(x):
        y = x[1:]
        x.add_(1)
        return y, x[:1]

    for _ in range(4):
        x = vector()
        y, first = f(x)
        yield y, first, x
        y.mul_(10)
        yield x


@case
def view_returned(compile):
    @compile
    def f(x):
        return x.T, x[0], x.reshape(-1), x[1:1]

    x = matrix()
    for _ in range(4):
        out = f(x)
        yield out, x
        out[0][0, 1] = 50
        yield out, x


@case
def views_that_are_results_share_memory(compile):
    @compile
    def f(x):
        y = x * 2
        return y, y[1:], y.reshape(3, 1), y.copy()

    for k in range(4):
        out = f(vector() + k)
        yield out
        out[1].add_(100)
        yield out


@case
def identity_returned(compile):
    @compile
    def f(x, y):
        return x, y.astype(tj.float32, copy=False), y.to(tj.float64)

    x, y = vector(), vector()
    for _ in range(4):
        out = f(x, y)
        yield out, out[0] is x, out[1] is y
    y = vector().astype(tj.float64)
    for _ in range(3):
        out = f(x, y)
        yield out, out[1] is y, out[2] is y


@case
def global_tensor_mutated(compile):
    global WEIGHT
    WEIGHT = vector()

    @compile
    def f(x):
        return x * WEIGHT

    for _ in range(3):
        yield f(vector())
    WEIGHT.add_(1)
    for _ in range(3):
        yield f(vector())
    WEIGHT[0] = 100
    for _ in range(3):
        yield f(vector())
    WEIGHT.numpy()[1] = -5
    for _ in range(3):
        yield f(vector())


@case
def shape_changes(compile):
    @compile
    def f(x):
        return x.sum(axis=0) if x.ndim > 1 else x * len(x)

    for shape in thrice((3,), (2, 3), (4,), (0,), (1, 1)) + [()]:
        yield attempt(f, tj.ones(shape))


@case
def dtype_changes(compile):
    @compile
    def f(x):
        return x * 2, x / 2, x.sum(), x.dtype is tj.float32

    for dtype in thrice(tj.float32, tj.float64, tj.int32, tj.uint8, tj.bfloat16, tj.float32):
        yield f(tj.arange(4).astype(dtype))


@case
def noncontiguous(compile):
    @compile
    def f(x):
        return x * 2 + 1, x.is_contiguous, x.strides

    base = tj.arange(24).reshape(4, 6)
    for x in thrice(base, base.T, base[::2, ::3], base[:, ::-1], tj.broadcast_to(base[0], (4, 6))):
        yield f(x)


@case
def zero_dimensional_and_empty(compile):
    @compile
    def f(x):
        y = x + 1
        return y, y.sum(), y.reshape(-1)

    for x in thrice(tj.tensor(1.0), tj.zeros((0,)), tj.zeros((0, 3)), tj.ones((1,))):
        yield f(x)


@case
def writes_through_views_of_views(compile):
    @compile
    def f(x):
        part = x[1:]
        row = part.reshape(3, 1).T
        row[0, 1:] = -1
        part.mul_(2)
        x[0] = part.sum()
        return row

    for k in range(4):
        x = tj.arange(4).astype(tj.float32) + k
        yield f(x), x


@case
def same_tensor_through_two_paths(compile):
    w = vector()
    one, other = Box(w=w), {"w": vector()}

    @compile
    def f(x):
        y = one.w * 2
        other["w"].add_(x)
        return y, one.w + 1

    for _ in range(3):
        yield f(vector()), w
    other["w"] = w
    for _ in range(3):
        yield f(vector()), w
    other["w"] = w[::-1]
    for _ in range(3):
        yield f(vector()), w


@case
def write_to_a_constant_view_of_state(compile):
    table = tj.zeros((4, 3))

    @compile
    def f(row, x):
        table[row] = x
        return table.sum(axis=0)

    for row in [0, 0, 0, 1, 2, 3, 0, -1, 4]:
        yield attempt(f, row, vector() + row), table


@case
def index_by_tensors_and_masks(compile):
    @compile
    def f(x, at, mask):
        y = x.copy()
        y[at] = 0
        return x[at], x[mask], tj.where(mask, x, y)

    masks = [[True, False, True], [False, False, False], [True, True, True]]
    for k, mask in enumerate(thrice(*masks)):
        yield f(vector() + k, tj.tensor([k % 3, 0]), tj.tensor(mask))
    yield attempt(f, vector(), tj.tensor([3, 0]), tj.tensor(masks[0]))


@case
def setting_an_item_grows_nothing(compile):
    @compile
    def f(x, value):
        x[0] = value
        return x

    for value in [1.5, 2.5, 3, True, tj.tensor(9.0), tj.tensor([1.0, 2.0]), None]:
        yield attempt(f, vector(), value)
    for value in [1.5, 2.5, float("nan"), 2**40]:
        yield attempt(f, tj.tensor([1, 2], dtype=tj.int8), value)


@case
def text_of_tensors(compile):
    @compile
    def f(x):
        return str(x), f"{x.sum():.1f}", repr(x.astype(tj.int32)), x.tolist()

    for k in range(4):
        yield f(vector() + k)


@case
def copies_and_pickles(compile):
    @compile
    def f(x):
        y = copy.deepcopy(x)
        x.add_(1)
        return y, copy.copy([x])[0] is x, pickle.loads(pickle.dumps(x))

    for k in range(4):
        yield f(vector() + k)


@case
def membership_and_equality_of_tensors(compile):
    @compile
    def f(x, y):
        return x == y, 3.0 in x, x in [y, x], [x] == [x]

    x = vector()
    for y in thrice(vector(), vector() + 1):
        yield attempt(f, x, y), attempt(f, x, x)


@case
def results_are_not_written_by_later_calls(compile):
    @compile
    def f(x):
        return x * 2, (x + 1).sum()

    kept = []
    for k in range(8):
        kept.append(f(vector() + k))
        yield kept


@case
def memory_of_dropped_results_is_not_seen(compile):
    @compile
    def f(x):
        y = x * 2
        return y[1:], y.T

    x = vector()
    for k in range(8):
        part, _ = f(x)
        seen = values(part)
        view = part.numpy()
        del part
        x = f(x)[1] - k
        yield seen, np.array(view)


@case
def class_of_tensors_is_changed(compile):
    parameter = nn.Parameter(vector())

    @compile
    def f(x):
        return x + 1, x.exp(), -parameter

    for _ in range(3):
        yield f(vector())
    tj.Tensor.__add__ = lambda self, other: self * other
    tj.Tensor.exp = lambda self: self
    nn.Parameter.__neg__ = lambda self: 7
    for _ in range(2):
        yield f(vector())
    del tj.Tensor.__add__, tj.Tensor.exp, nn.Parameter.__neg__
    for _ in range(3):
        yield f(vector())


@case
def tensors_made_of_numbers_by_asarray(compile):
    state = Box(scale=2.0)

    @compile
    def f(x):
        made = tj.asarray(state.scale)
        made += 1
        return x * made, tj.asarray([1.0, state.scale]), made

    for state.scale in [2.0, 2.0, 3.0, 3.0, 4.0, 4.0]:
        yield f(vector())
