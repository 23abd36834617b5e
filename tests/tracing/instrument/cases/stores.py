"""Attributes, items, and whatever a target may be."""

import functools
from collections import namedtuple

from tests.tracing.instrument.cases.noisy import case, noisy, note

Point = namedtuple("Point", "x y")


@case
def attribute_and_item_chain():
    a = noisy("a")
    return a.b.c[note(1)].d[1:2, :: note(3), ...], a[:], a[1:], a[None:None:None]


@case
def missing_attribute():
    a = noisy("a")
    return (
        a.b
        .missing.c
    )  # fmt: skip


@case
def value_is_evaluated_before_the_target():
    noisy("a").x = note("value")
    noisy("b")[noisy("k")] = note("value")


@case
def many_targets_from_left_to_right():
    a = b = noisy("a").x = noisy("b")[noisy("k")] = c = noisy("value")
    return a, b, c


@case
def swaps_attributes():
    a = Point(1, 2)
    box = functools.partial(note)
    box.p, box.q = a.x, a.y
    box.p, box.q = box.q, box.p
    return box.p, box.q


@case
def index_that_is_assigned_in_the_same_statement():
    items, i = [0, 0, 0], 0
    i, items[i] = 2, "x"
    items[i], i = "y", 0
    [items[i], *rest] = "z", i
    return items, i, rest


@case
def targets_of_unpacking():
    a = noisy("a")
    a.x, (a[noisy("k")], *a.rest), [y, z] = noisy("v", items=(1, (2, 3, 4), "yz"))
    return y, z


@case
def star_targets():
    first, *middle, last = noisy("v", items=range(5))
    *start, _ = "ab"
    return first, middle, last, start


@case
def nested_unpacking():
    (a, (b, [c, *d])), e = (1, (2, (3, 4, 5))), 6
    return a, b, c, d, e


@case
def too_few_to_unpack():
    a, b = (
        note([1])
    )  # fmt: skip
    return a, b


@case
def too_many_to_unpack_into_attributes():
    a = noisy("a")
    a.x, a.y = 1, 2
    a.x, a.y = note((1, 2, 3))


@case
def display_of_other_length():
    a, *b = 1, 2, 3
    c, d = *b, 4
    return a, b, c, d


@case
def augmented_targets():
    a, b = noisy("a"), noisy("b")
    a.x += note(1)
    a[note("k")] += note(2)
    noisy("c").y.z += note(3)
    noisy("d")[noisy("e")][1:2] += note(4)
    b += note(5)
    return b


@case
def augmented_operators():
    x = 7
    x += 3
    x -= 1
    x *= 5
    x //= 2
    x **= 2
    x %= 100
    x <<= 3
    x >>= 1
    x |= 3
    x &= 250
    x ^= 9
    y = x
    y /= 4
    return x, y


@case
def augmented_list_keeps_its_identity():
    a = b = [1]
    a += [2]
    a *= 2
    return b


@case
def augmented_item_of_a_tuple_raises_after_it_has_appended():
    items = ([],)
    try:
        items[0] += [1]
    except TypeError as error:
        return items, str(error)
