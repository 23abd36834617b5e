"""Operators, comparisons, and questions of truth."""

# ruff: noqa: C400, RET503, SIM223  # what is rewritten matters, not what it says

from tests.tracing.instrument.cases.noisy import case, false, noisy, note


@case
def all_binary_operators():
    a = noisy("a")
    return [
        a + 1, 1 + a, a - 1, a * 2, a @ a, a / 2, a // 2, a % 3, a**2, a << 1, a >> 1, a & 1, a | 1, a ^ 1,
        -a, +a, ~a, not a,
    ]  # fmt: skip


@case
def all_comparisons():
    a = noisy("a")
    return [
        a < 1, a <= 1, a > 1, a >= 1, a == 1, a != 1, a is a, a is not a, 1 in a, 1 not in a,
    ]  # fmt: skip


@case
def operands_in_order():
    return noisy("a") + noisy("b") * noisy("c") - noisy("d")


@case
def operator_fails():
    return (
        note(1)
        + note("a")
    )  # fmt: skip


@case
def constants_stay():
    return -1, +2.5, 2**10, -(3 + 4j), not 1, "ab", (1, (2, 3)), 1 << 70, ~5


@case
def chains():
    return noisy("a") < noisy("b") <= noisy("c"), false("d") < noisy("e") < noisy("f")


@case
def chain_as_a_test():
    if noisy("a") < noisy("b") < noisy("c") < noisy("d"):
        note("yes")
    if false("a") < noisy("b") < noisy("c"):
        note("no")
    return 1 < note(2) < 3 == note(3) is not None


@case
def chains_in_comprehensions():
    return (
        [x for x in range(9) if 2 < note(x) < 6],
        [1 < x < y for x in range(3) for y in range(3)],
        {x: (0 <= x < 3 or None) for x in range(5)},
        list((0 < note(x) < 2) and note("and") for x in range(3)),
        [x for x in (note([1]) or note([2])) if not (0 < x < 5)],
    )


@case
def and_or_values():
    return (
        noisy("a") and noisy("b") and noisy("c"),
        false("a") and noisy("b"),
        noisy("a") or noisy("b"),
        false("a") or false("b") or false("c"),
        (false("a") or noisy("b")) and not noisy("c"),
        [] or {} or 0,
        1 and [] and 2,
    )


@case
def and_or_tests():
    if noisy("a") and not (false("b") or noisy("c")):
        return 1
    elif (noisy("d") if false("e") else false("f")) or 0:
        return 2
    return 3 if noisy("g") and noisy("h") else 4


@case
def test_raises():
    class_of_nothing = None
    if (
        note(1)
        and class_of_nothing.x
    ):  # fmt: skip
        return 1
