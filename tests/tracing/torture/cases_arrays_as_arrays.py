"""What a NumPy array is inside a compiled function: to its own methods, to NumPy and to the library."""

from __future__ import annotations

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice
from tracejit import nn
from tracejit.nn import functional as F


def matrix():
    return np.arange(9, dtype=np.float32).reshape(3, 3).copy()


@case
def array_asked_for_what_tensors_have(compile):
    @compile
    def f(x):
        y = x + 1.0 if hasattr(x, "detach") else x * 2
        return y, getattr(x, "numpy", 1.0) == 1.0, hasattr(x, "requires_grad"), hasattr(x[0], "exp")

    for x in [*thrice(np.arange(3.0), tj.ones((3,))), np.arange(2.0)]:
        yield attempt(f, x)


@case
def tensor_methods_called_on_an_array(compile):
    @compile
    def f(x):
        x.mul_(2)
        return x

    @compile
    def g(x):
        return x.detach()

    @compile
    def h(x):
        x.more = 1
        return x

    for x in thrice(matrix(), tj.ones((3,))):
        yield attempt(f, x), attempt(g, x), attempt(h, x), x


@case
def functions_of_the_library_copy_arrays(compile):
    @compile
    def f(x):
        kept = (
            tj.asarray(x), tj.diagonal(x), tj.reshape(x, (3, 3)), tj.flip(x, ()), tj.permute_dims(x, (0, 1)),
            tj.broadcast_to(x, (3, 3)), tj.split(x, 1)[0], tj.unstack(x)[0], tj.expand_dims(x, 0), tj.matrix_transpose(x),
            tj.swapaxes(x, 0, 0), tj.squeeze(x, ()), tj.stop_gradient(x), F.dropout(x, 0.0), F.dropout(x, 1.0),
        )  # fmt: skip
        x[0] = 7
        kept[2][1] = 5.0
        return [(part, type(part) is tj.Tensor) for part in kept], x

    for x in thrice(matrix(), matrix()):
        yield f(x), x


@case
def operations_of_arrays_give_views(compile):
    views = (
        lambda x: x.ravel(), lambda x: np.ravel(x), lambda x: x.reshape(x.shape), lambda x: np.reshape(x, x.shape),
        lambda x: x.T, lambda x: np.transpose(x), lambda x: x[:], lambda x: x[...], lambda x: np.flip(x, ()),
        lambda x: np.swapaxes(x, 0, 0), lambda x: np.moveaxis(x, 0, 0), lambda x: np.expand_dims(x, ()),
        lambda x: np.split(x, 1)[0], lambda x: x.squeeze(), lambda x: np.squeeze(x), lambda x: np.broadcast_arrays(x)[0],
        lambda x: np.atleast_1d(x), lambda x: x.real, lambda x: x.view(), lambda x: +x, lambda x: np.clip(x, None, None),
        lambda x: np.array(x), lambda x: x.astype(np.float32), lambda x: np.roll(x, 0), lambda x: x.flatten(),
    )  # fmt: skip

    for view in views:

        @compile
        def f(x, view=view):
            y = view(x)
            y[0] = 9
            return y is x, y, x

        for x in thrice(matrix(), np.arange(3.0)):
            yield attempt(f, x), x


@case
def owner_of_the_memory_of_a_view(compile):
    @compile
    def f(x):
        part = x.T[1:]
        return x.base is None, part.base is x, part[0].base is x.base, x.copy().base, x * 2

    for x in thrice(matrix(), matrix()[1:]):
        yield attempt(f, x)


@case
def array_read_again_as_an_array(compile):
    @compile
    def f(x):
        y = np.asarray(x)
        z = np.asanyarray(x, dtype=x.dtype)
        y[0] = 5
        return y * 2, z * 1, np.asarray(x, dtype=np.float64) * 2, y.sum()

    @compile
    def g(x):
        y = np.asarray(x, order="C")
        z = np.ascontiguousarray(x)
        y[0] = 5
        z[1] = 6
        return y * 2, z * 1, np.array(x)

    for x in thrice(matrix(), np.arange(3.0)):
        yield f(x), x, g(x.copy())


@case
def array_saved_for_a_gradient_and_written(compile):
    @compile
    def f(x, w):
        loss = (tj.where(x > 0, w, -w) * x + tj.matmul(x, w)).sum()
        x[0] = -1
        loss.backward()
        gradient, w.grad = w.grad, None
        return loss, gradient

    w = nn.Parameter(tj.tensor([[1.0, -2.0, 0.5]] * 3))
    for x in thrice(matrix(), matrix() + 1):
        yield f(x, w), x


@case
def tensor_with_a_gradient_written_to_an_array(compile):
    w = nn.Parameter(tj.tensor([1.0, -2.0, 0.5]))

    @compile
    def f(x):
        x[0] = w * 2
        return x

    @compile
    def g(x):
        x += w
        return x

    for x in thrice(matrix(), matrix()):
        yield attempt(f, x), attempt(g, x), x


@case
def sequences_too_deep_for_their_place(compile):
    for place, value in (
        (1, [[1, 2, 3]]), (1, [1, 2, 3]), ((1, None), [[[9, 9, 9]]]), ((0, 0), [1]), ((0, 0), np.ones(1)), ((0, 0), 4),
        (([0, 2],), [[[1, 1, 1]]]), (1, np.ones((1, 1, 3))), ((0, ...), [1, 2, 3]),
    ):  # fmt: skip

        @compile
        def f(x, place=place, value=value):
            x[place] = value
            return x

        for x in thrice(matrix(), matrix()):
            yield attempt(f, x), x


@case
def layers_given_arrays(compile):
    norm = nn.BatchNorm1d(3)
    model = nn.Sequential(nn.Linear(3, 3), norm, nn.ReLU(), nn.Dropout(0.0), nn.Linear(3, 2))

    @compile
    def f(x, labels):
        return F.cross_entropy(model(x), labels), attempt(norm, x)

    for x in thrice(matrix(), matrix() * 2):
        yield f(x, np.array([0, 1, 1])), norm.running_mean


@case
def errors_asked_for_in_place(compile):
    @compile
    def f(x, y):
        x /= y
        return np.sqrt(x)

    for mode in thrice("ignore", "raise", "warn"):
        x = matrix()
        with np.errstate(all=mode):
            yield attempt(f, x, matrix() - 1), x
