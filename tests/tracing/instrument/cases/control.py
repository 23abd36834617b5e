"""Loops, `with`, exceptions, imports."""

# ruff: noqa: B012, F841, PT017, PT018, PTH119  # what is wrong here is meant to be

import contextlib

from tests.tracing.instrument.cases.noisy import case, false, noisy, note

table = {"a": 1}


@case
def loops():
    seen = []
    for i in range(10):
        if i % 2:
            continue
        for j in noisy("n", items=(1, 2, 3)):
            if j == i:
                break
            seen.append((i, j))
        else:
            seen.append("else")
        if i > 5:
            break
    else:
        seen.append("not here")
    return seen, i, j


@case
def for_targets():
    a = noisy("a")
    seen = []
    for a.x in [1, 2]:
        pass
    for a[note(0)], (y, *z) in noisy("s", items=[(1, (2, 3)), (4, (5, 6, 7))]):
        seen.append((y, z))
    for k, v in table.items():
        seen.append((k, v))
    else:
        seen.append("else")
    for [(p, q), r] in [[(1, 2), 3]]:
        seen.append((p, q, r))
    return seen


@case
def while_loops():
    n, seen = 0, []
    while n < 20:
        n += 1
        if n % 3 == 0:
            continue
        while (m := n) and n < 15:
            n += 5
            try:
                if n > 12:
                    break
            finally:
                seen.append((n, m))
        seen.append(n)
    while n:
        n -= 7
        if n < 0:
            break
    else:
        seen.append("no")
    while n < 0:
        n += 1
    else:
        seen.append("else")
    return seen, n


@case
def endless_loop():
    i = 0
    while True:
        i += 1
        if i > 5:
            return i


@case
def while_with_unbound_names():
    x = y = 1
    del x
    n = 0
    while n < 3:
        n += 1
        if n == 2:
            del y
            x = 5
        z = n
    try:
        raise ValueError
    except ValueError as error:
        e = str(error)
    while n < 5:
        n += 1
    return x, z, e


@case
def while_test_fails():
    n = 2
    while (
        1 // n
        or 2 / n
    ):  # fmt: skip
        n -= 1


@case
def with_statements():
    with noisy("a") as x, noisy("b"), noisy("c", items=(1, 2)) as (y, z):
        note((x, y, z))
    box = noisy("box")
    with noisy("d") as box.attribute, noisy("e") as box[note(1)]:
        note("body")
    with contextlib.suppress(KeyError), noisy("swallow"):
        raise IndexError("swallowed")
    with (
        noisy("f"),
        noisy("g") as g,
    ):
        return g


@case
def with_passes_an_exception_on():
    with noisy("a"), noisy("b"):
        raise ValueError(
            note("v")
        )  # fmt: skip


@case
def with_cannot_unpack():
    with noisy("a"), noisy("b", items=(1, 2, 3)) as (x, y):
        return x, y


@case
def exceptions():
    seen = []
    for error in (KeyError("k"), IndexError("i"), ValueError("v"), OSError):
        try:
            try:
                raise error
            except (KeyError, IndexError) as caught:
                seen.append(repr(caught))
            except ValueError:
                seen.append("value")
                raise
            else:
                seen.append("else")
            finally:
                seen.append("finally")
        except Exception as other:
            seen.append(repr(other))
            assert other.__context__ is None
        else:
            seen.append("fine")
    return seen


@case
def no_exception():
    try:
        x = note(1)
    except ValueError:
        x = 2
    else:
        x += 10
    finally:
        x += 100
    return x


@case
def finally_overrides():
    for i in range(3):
        try:
            return note(i)
        finally:
            if i < 1:
                continue
            break
    return "after"


@case
def caught_name_goes_away():
    error = 1
    try:
        raise ValueError
    except ValueError as error:
        pass
    return error


@case
def raises_from():
    try:
        note(1) / 0
    except ZeroDivisionError as error:
        raise KeyError("k") from error


@case
def raises_a_class_from_none():
    try:
        raise KeyError
    except KeyError:
        raise ValueError from None


@case
def except_matches_no_class():
    try:
        raise KeyError("k")
    except note(3):
        pass


@case
def raise_without_exception():
    raise


@case
def assertions():
    assert noisy("a"), note("not evaluated")
    assert 1 < note(2) < 3
    assert false("b") and noisy("c"), (
        note("message")
    )  # fmt: skip


@case
def conditional_definition():
    if note(0):
        x = 1
    elif note(()):
        x = 2
    else:
        x = 3
    pass
    return x if x > 2 else -x


@case
def imports():
    import os.path
    import xml.dom as dom
    from collections import OrderedDict as Ordered
    from math import pi, tau

    return os.path.basename("a/b"), dom.__name__, Ordered(a=1), pi, tau


@case
def import_fails():
    from math import (
        nothing,
    )

    return nothing
