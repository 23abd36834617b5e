"""Variables, local and global, and what stores in them."""

# ruff: noqa: B032, F821, F842  # what is wrong here is meant to be

# what is wrong or unused here is meant to be
import math

from tests.tracing.instrument.cases.noisy import case, noisy, note

counter = 0
table = {"a": 1}


@case
def reads_globals_and_builtins():
    return counter, len(table), math.pi, __name__


@case
def global_is_missing():
    return nowhere


@case
def local_is_unbound():
    if counter > 10**9:
        x = 1
    return x


@case
def stores_a_global():
    global counter
    counter = 3
    counter += 4
    result = counter
    counter = 0
    return result


@case
def stores_globals_in_many_ways():
    global one, two, three, four, five, six, seven
    one = two = note(1)
    three, (four, *five) = note((3, (4, 5, 6)))
    for six in note([5, 6]):
        note(six)
    with noisy("c") as seven:
        pass
    return one, two, three, four, five, six, seven


@case
def defines_and_imports_a_global():
    global made, json_module

    def made():
        return 1

    import json as json_module

    return made(), made.__qualname__, json_module.__name__


@case
def writes_nonlocals():
    count = 0

    def step():
        nonlocal count
        count += 1
        return count

    return step(), step(), count


@case
def deletes_a_local():
    x = 1
    del x
    return x


@case
def deletes_many():
    a, b, c = noisy("a"), noisy("b"), 1
    del a.x, a[b], (b.y, c), a.m.n[1:2]
    return c


@case
def walrus_here_and_there():
    if (n := note(3)) > 2 and (m := n + 1):
        return n, m, [y for x in range(3) if (y := x * n)], y
    return None


@case
def debug_is_a_constant():
    return 1 if __debug__ else 2


@case
def annotations_are_not_evaluated():
    x: nowhere
    y: nowhere = 1
    box = noisy("box")
    box.z: nowhere = note(2)
    box[note(1)]: nowhere
    box.w: nowhere
    return y


@case
def annotation_makes_a_local():
    counter: int
    return counter
