"""NumPy arrays as arguments, state and results; NumPy's functions inside; its modes and scalars.

Values are small whole numbers, so that NumPy and compiled code must agree to the last bit.
"""

from __future__ import annotations

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector

TABLE = None


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


def array(*more):
    return np.array([1.0, -2.0, 3.0, *more])


@case
def global_np_array_mutated(compile):
    global TABLE
    TABLE = array()

    @compile
    def f(x):
        return x * TABLE

    for _ in range(3):
        yield f(array())
    TABLE[1] = 9
    for _ in range(3):
        yield f(array())
    TABLE = TABLE[::-1]
    for _ in range(3):
        yield f(vector())


@case
def numpy_escape(compile):
    @compile
    def f(x):
        y = x * 2
        a = y.numpy()
        a[0] = 50
        return y, a

    for k in range(4):
        y, a = f(vector() + k)
        a[1] = -1
        yield y, a


@case
def array_written_in_place(compile):
    @compile
    def f(a):
        a += 1
        a[0] = a[1] * 2
        a[1:] *= 2

    a = array()
    for _ in range(4):
        yield f(a), a
    for _ in range(3):
        a = np.arange(12.0).reshape(3, 4)
        yield f(a.T[::2]), a


@case
def array_returned_as_is(compile):
    @compile
    def f(a, b):
        return a, b[1:], a

    a, b = array(), array()
    for _ in range(4):
        out = f(a, b)
        yield out, out[0] is a, out[2] is a
        out[1][0] = 8
        yield b


@case
def strided_and_overlapping_arrays(compile):
    @compile
    def f(a, b):
        a += b
        return b * 2

    for _ in range(3):
        yield f(array(), array())
    for _ in range(3):
        base = np.arange(8.0)
        yield f(base[:5], base[3:]), base
    for _ in range(3):
        base = np.arange(8.0)
        yield f(base[::2], base[1::2]), base
    for _ in range(3):
        base = np.arange(9.0).reshape(3, 3)
        yield f(base, base.T), base
    a = array()
    yield f(a, a), a


@case
def array_dtypes(compile):
    @compile
    def f(a):
        return a * 2, a.sum(), a.dtype, a > 1

    for dtype in thrice("f8", "f4", "i8", "i2", "u1", "?", ">f8", "f2"):
        yield f(np.arange(4).astype(dtype))


@case
def read_only_array(compile):
    @compile
    def f(a):
        b = a * 2
        a[0] = 7
        return b

    a = array()
    for a.flags.writeable in thrice(True, False, True):
        yield attempt(f, a), a


@case
def zero_dimensional_array(compile):
    @compile
    def f(a):
        a += 1
        return a * 2, a, a[()]

    for a in thrice(np.array(2.0), np.array(3)):
        yield f(a), a


@case
def numpy_scalars_as_arguments(compile):
    @compile
    def f(a, k):
        return a * k, k + 1, type(k).__name__

    for k in thrice(np.float32(2), np.float64(2), np.int64(3), np.bool_(True), 2.0):
        yield f(array().astype("f4"), k)


@case
def scalars_as_results(compile):
    @compile
    def f(a):
        total = a.sum()
        return total, a[0], a.max() > 2, a.shape, len(a), a.argmax()

    for k in range(5):
        yield f(array() + k)


@case
def elements_in_python_arithmetic(compile):
    @compile
    def f(a):
        k = a[0] * 2
        n = int(a[2])
        return k, n, [k] * n, f"{a[1]:.1f}", {a[0]: "first"}

    for k in [0, 0, 0, 1, 2]:
        yield f(array() + k)


@case
def arrays_made_inside(compile):
    @compile
    def f(a):
        out = np.zeros(3)
        out[1:] = a[:2]
        out += np.ones_like(a) * 2
        return out, np.arange(3) + a, np.full(2, 7), np.empty((0, 2)).shape

    kept = []
    for k in range(4):
        kept.append(f(array() + k))
        yield kept
        kept[-1][0][:] = -1


@case
def numpy_functions_inside(compile):
    @compile
    def f(a, b):
        return np.where(a > b, a, b), np.dot(a, b), np.maximum(a, 0), np.concatenate([a, b])

    for k in range(4):
        yield f(array() + k, array() * 2)
    yield isinstance(attempt(f, array(), array(4.0)), ValueError)


@case
def out_arguments(compile):
    target = np.zeros(3)

    @compile
    def f(a):
        np.add(a, 1, out=target)
        np.multiply(a, 2, out=a)
        return target

    for k in range(4):
        a = array() + k
        yield f(a), a, target
    target = np.zeros(3, "f4")
    yield attempt(f, array()), target
    target = array()[::-1]
    for _ in range(3):
        yield f(target), target


@case
def arrays_in_containers_of_arguments(compile):
    @compile
    def f(parts, table):
        table["sum"] = parts[0] + parts[1]
        table["first"] = parts[0]
        parts.append(parts[1] * 2)
        parts[1] += 1
        return parts, (table, parts[0])

    for k in range(4):
        first = array() + k
        parts, table = [first, array()], {"sum": None}
        out = f(parts, table)
        yield out, parts, table, out[0] is parts, out[1][0] is table, table["first"] is first


@case
def one_array_in_two_places(compile):
    @compile
    def f(a, parts):
        b = a * 2
        parts.append(b)
        return b, [b], {"b": b}

    for k in range(4):
        parts = []
        one, (other,), _ = f(array() + k, parts)
        yield one, other, parts, one is other, one is parts[0]


@case
def array_in_state_written(compile):
    state = {"w": array(), "parts": [array()]}

    @compile
    def f(a):
        state["w"] += a
        state["parts"][0][1:] = a[:2]
        return state["w"] * 2, state["parts"][0]

    for k in range(4):
        yield f(array() + k), state
    state["w"] = state["parts"][0]
    for k in range(3):
        yield f(array() + k), state


@case
def array_stored_in_state(compile):
    state = Box(last=None)

    @compile
    def f(a):
        state.last = a
        state.view = a[1:]
        state.double = a * 2
        return state.double

    for k in range(4):
        a = array() + k
        double = f(a)
        a[1] = 77
        yield double, state, state.last is a, state.double is double


@case
def array_under_a_tensor(compile):
    a = array()
    t = tj.from_numpy(a)

    @compile
    def f(x):
        t.add_(1)
        return a * x, t * 2

    for k in range(4):
        a[0] = k
        yield f(2.0), a, t
    t = tj.tensor(a)
    for _ in range(3):
        yield f(3.0), a, t


@case
def argument_over_the_memory_of_state(compile):
    base = np.arange(6.0)
    state = Box(t=tj.from_numpy(base))

    @compile
    def f(a):
        state.t.mul_(2)
        return a + 1

    for _ in range(3):
        yield f(array()), base
    for _ in range(3):
        yield f(base[1:4]), base


@case
def assignment_by_masks_and_indices(compile):
    @compile
    def f(a, at):
        a[a < 0] = 0
        a[at] += 10
        return a[at], a[a > 5]

    for at in thrice([0, 2], [0, 0], [1]):
        a = array()
        yield f(a, np.array(at)), a
    yield isinstance(attempt(f, array(), np.array([5])), IndexError)


@case
def tensors_and_arrays_together(compile):
    @compile
    def f(t, a):
        return t * a, np.add(t, a), a - t, np.asarray(t) + a

    for k in range(4):
        yield f(tj.tensor(array() + k), array())


@case
def array_of_objects_or_text(compile):
    @compile
    def f(a):
        return a[0], a.dtype.kind, len(a)

    for a in thrice(np.array([1, None]), np.array(["u", "v"]), np.array([1j, 2]), array()):
        yield f(a)


@case
def array_subclass(compile):
    class Named(np.ndarray):
        def __mul__(self, other):
            return "named"

    @compile
    def f(a):
        return a * 2

    for a in [array(), array(), array(), array().view(Named), array().view(Named), array()]:
        yield f(a)


@case
def in_place_on_a_temporary_and_on_an_argument(compile):
    @compile
    def f(a):
        b = a
        c = a.copy()
        b += 1
        c += 10
        a = a * 2
        a += 100
        return a, b, c

    for k in range(4):
        a = array() + k
        out = f(a)
        yield out, a, out[1] is a


@case
def reshape_and_transpose_are_views(compile):
    @compile
    def f(a):
        b = a.reshape(2, 3)
        b.T[0] = 5
        a.ravel()[-1] = 6
        return b, b.T, a.flatten()

    for k in range(4):
        a = np.arange(6.0) + k
        out = f(a)
        a[2] = 99
        yield out, a
