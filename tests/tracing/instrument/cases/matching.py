"""`match`, without classes in its patterns."""

import functools
import math

from tests.tracing.instrument.cases.noisy import CASES, noisy, note


class Color:
    RED = 1
    GREEN = 2


def matches(subject):
    match note(subject):
        case 0 | -1 | 2.5:
            return "number"
        case "a" | None | True:
            return "constant"
        case []:
            return "empty"
        case [x]:
            return x
        case [1, (2 | 3) as second, *rest] if note(rest):
            return second, rest
        case {"k": [a, _], "m": 1, **others}:
            return a, others
        case Color.GREEN:
            return "green"
        case Color.RED | math.pi if note("guard"):
            return "red"
        case [_, _] as pair:
            return pair
    return "other"


SUBJECTS = (
    0, -1, 2.5, "a", None, True, [], ["x"], [1, 2, 3, 4], [1, 3], {"k": [5, 6], "m": 1, "z": 2}, {"k": 1}, 1, 2,
    math.pi, (8, 9), "zz", noisy("subject"),
)  # fmt: skip
CASES += [functools.partial(matches, subject) for subject in SUBJECTS]
