"""What programs ask of arrays beyond arithmetic: what they may be set to, kept as and made like, replayed and left to Python."""

from __future__ import annotations

import copy
import pickle
import time

import numpy as np

from tests.tracing.torture.harness import attempt, case, thrice


def table() -> np.ndarray:
    return np.arange(6.0).reshape(2, 3)


@case
def elements_set_to_text_and_to_none(compile):
    @compile
    def f(a):
        a[0] = "3"
        a[1, 1:] = None
        return a.sum(axis=0)

    for kind in thrice("f8", "f4"):
        a = table().astype(kind)
        yield attempt(f, a), a


@case
def matrix_multiplied_in_place(compile):
    @compile
    def f(a, b):
        before, part = a, a[:, :2]
        a @= b
        part @= b[:2, :2]
        return before is a, a, part

    for kind in thrice("f8", "f4", "i8"):
        a = table().astype(kind)
        yield attempt(f, a, np.diag([1.0, 2.0, 3.0])), a


@case
def arrays_copied_and_pickled(compile):
    @compile
    def f(a):
        both = pickle.loads(pickle.dumps((a, a.T, a.sum())))
        return both, copy.copy(a), copy.deepcopy({"a": a, "again": [a, a.max()]})

    @compile
    def copies(a):
        return copy.copy(a), copy.deepcopy([a, a.sum()])

    @compile
    def by_python(a):
        time.time()
        return copy.copy(a), copy.deepcopy([a, a.sum()]), pickle.loads(pickle.dumps(a + 1))

    for _ in range(4):
        yield f(table()), copies(table()), by_python(table())


@case
def elements_set_by_attributes(compile):
    @compile
    def f(a):
        a.flat = [5, 6]
        a.real[0] = 2
        a.real += 1
        a.flat[-1] = 9
        return list(a.flat)

    @compile
    def real(a):
        a.real = a[::-1] * 2
        return a.sum()

    for _ in range(4):
        a, b = table(), table()
        yield f(a), a, real(b), b


@case
def arrays_of_another_byte_order(compile):
    @compile
    def f(a):
        made = np.zeros(2, ">f8"), np.array([1, 2], dtype=">i4"), np.ones_like(a, dtype=">f4")
        return a.astype(">f8"), made, a + 1

    for _ in range(4):
        yield f(table())


@case
def arrays_made_of_sizes_that_change(compile):
    @compile
    def f(a):
        n, m = a.shape
        made = (
            np.zeros(a.shape, a.dtype),
            np.ones((n, 2), dtype=int),
            np.full(n, 3),
            np.eye(n, m, 1),
        )
        more = np.full((n, m), 2.5, np.float32), np.identity(n, int), np.empty(n, dtype=bool).shape
        return made, more, np.arange(1, n), np.arange(n, dtype=float), np.arange(0, n, 2, np.int32)

    @compile
    def points(a):
        return np.arange(0, len(a), 0.5), np.arange(0.0, len(a)), np.zeros(len(a), ">f8")

    for n in (2, 2, 3, 4, 5, 3, 6):
        yield f(np.ones((n, n + 1), "f4")), points(np.ones(n))


@case
def sizes_kept_in_their_order(compile):
    @compile
    def f(a):
        return np.zeros((2, 3), order="F"), a + np.ones((2, 3), order="F")

    for _ in range(3):
        yield f(table())


@case
def parts_added_where_indices_repeat(compile):
    @compile
    def f(a, at, part):
        np.add.at(a, at, part)
        np.subtract.at(a, (slice(None, 2), 0), 1)
        counts = np.zeros(4, dtype=int)
        np.add.at(counts, [0, 2, 2, -1], 1)
        return counts

    for kind in thrice("f8", "f4", "i8", "u1"):
        for at, part in (
            (np.array([0, 1, 1, -1]), 2),
            ((np.array([0, 1, 1]), [2, 2, -3]), [1, 2, 3]),
        ):
            a = np.arange(12).reshape(4, 3).astype(kind)
            yield attempt(f, a, at, part), a
    for at, part in thrice((np.array([0, 9]), 2), (0, 1.5), (slice(0), 2.5)):
        a = np.arange(12).reshape(4, 3)
        yield isinstance(attempt(f, a, at, part), IndexError | TypeError), a
    for kind in thrice("f8", "i8", "?"):
        a, b = np.arange(12.0).reshape(4, 3), np.ones((4, 3), kind)
        yield attempt(f, a, a[:, 0].astype(int) // 4, b), attempt(f, b, [0], a[0]), a, b


@case
def parts_combined_where_indices_repeat(compile):
    @compile
    def f(a, at):
        np.multiply.at(a, at, 2)
        np.maximum.at(a, [0, 0], [[5], [7]])
        np.negative.at(a, [0, 0])
        np.logical_or.at(a > 0, at, True)
        return a.sum()

    for _ in range(3):
        a = np.arange(12.0).reshape(4, 3)
        yield f(a, np.array([0, 1, 1])), a


@case
def bools_to_a_power(compile):
    @compile
    def f(a):
        return (a > 1) ** 2, (a > 1) ** 3, (a > 1) ** np.int64(2), (a > 1).sum() ** 2

    for _ in range(3):
        yield f(table())


@case
def numbers_looked_at_as_bits(compile):
    @compile
    def f(a):
        total = a.sum()
        return total.view(np.uint64), total.view(), total.astype(">f8"), total.copy("C")

    for _ in range(3):
        yield f(table())


@case
def part_behind_a_mask_changed_in_place(compile):
    @compile
    def f(a, b, limit):
        a[a > limit] *= 2
        b[a[:, 0] > 3] += a[0]
        a[a < 0] -= a.min()
        b[b > 90] //= a.sum()
        flags = a > 5
        flags[flags] ^= a[0, 0] > 0
        return flags, a.sum()

    for kind, limit in zip(thrice("f8", "f4", "f8"), (1, 1, 2, 2, 3.5, 1, 2, 2, 2)):
        a = (np.arange(12) - 4.0).reshape(4, 3).astype(kind)
        b = np.arange(12.0).reshape(4, 3) * 10
        yield attempt(f, a, b, limit), a, b
    for n in (2, 3, 4, 5, 6, 7):
        a, b = np.arange(3.0 * n).reshape(n, 3) - 2, np.ones((n, 3))
        yield f(a, b, 1), a, b


@case
def part_behind_a_mask_combined_with_as_many(compile):
    @compile
    def f(a, mask, values):
        a[mask] += values
        a[mask] -= a[mask] * 2
        return a

    for mask in thrice([True, False, True], [False] * 3, [True] * 3):
        a, mask = np.arange(3.0), np.array(mask)
        yield attempt(f, a, mask, np.arange(float(mask.sum()))), a
        yield attempt(f, a, mask, [5.0]), a


@case
def part_behind_a_mask_that_changes_meanwhile(compile):
    def also(a, mask):
        a += 100
        mask[:] = ~mask
        return 2.0

    @compile
    def f(a, mask):
        a[mask] += also(a, mask)
        mask[mask] ^= True
        return a

    for _ in range(4):
        a, mask = np.arange(4.0), np.array([True, True, False, False])
        yield f(a, mask), a, mask


@case
def part_behind_a_mask_refused(compile):
    @compile
    def f(a, mask, value):
        a[mask] /= value
        return a

    for a, mask in thrice((np.arange(3), [True, False, True]), (np.arange(3.0), [True, False])):
        yield isinstance(attempt(f, a, np.array(mask), 2.0), TypeError | IndexError), a
    with np.errstate(all="raise"):
        for _ in range(3):
            a = np.arange(3.0)
            yield attempt(f, a, np.array([False, True, False]), np.arange(3.0)[0] + 2), a
            yield isinstance(attempt(f, a, a > 0, np.float64(0.0)), FloatingPointError), a
    for _ in range(3):
        a = np.arange(3.0)
        yield attempt(f, a, a > 0, np.float64(0.0)), a


@case
def indices_computed_one_by_one(compile):
    @compile
    def rows(a):
        k, m = 0, np.argmax(a[:, 0])
        a[[k, m]] = a[[m, k]]
        a[[m, -1], [k, 1]] += 5
        return a[[np.int64(1), m, 2]], m

    @compile
    def others(a):
        first = a[0]
        return (
            first[[x > 1 for x in first]],
            first[[first.argmax(), True]],
            a[[[0, m] for m in (1, 2)]],
        )

    for shift in (0, 1, 2, 0, 1, 2):
        a = np.roll(np.arange(9.0).reshape(3, 3), shift, axis=0)
        yield rows(a), a, others(a), isinstance(attempt(rows, a[:2]), IndexError)
