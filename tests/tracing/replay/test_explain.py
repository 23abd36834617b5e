"""`tj.explain` says what is replayed, what is guarded, what differed, at which of the user's lines, and what mends it."""

from __future__ import annotations

import contextlib
import functools
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tracejit as tj

FILE = "test_explain.py"


def line(f: Any, more: int) -> str:
    """The line of a function so many after that of its `def` or first decorator."""
    return f"{FILE}:{f.function.__code__.co_firstlineno + more}"


def vector(*values: float) -> tj.Tensor:
    return tj.tensor(values or (1.0, -2.0, 3.0))


def missed(f: Any) -> str:
    """The one entry of the log."""
    (text,) = tj.explain(f).misses
    return text


# Tiers, counts and guards


def test_the_tier_is_2_once_a_call_is_recorded():
    @tj.compile
    def f(x):
        return x * 2

    assert tj.explain(f).tier == 0
    f(vector())
    found = tj.explain(f)
    assert (found.tier, found.calls) == (2, {"replay": 0, "record": 1, "eager": 0})
    assert found.reasons == (f"{line(f, 0)}: one call has been recorded, and none replayed yet",)
    f(vector())
    found = tj.explain(f)
    assert (found.calls["replay"], found.reasons, found.misses) == (1, (), ())


def test_guards_have_the_line_that_depends_on_them():
    state = SimpleNamespace(rate=0.5)

    @tj.compile
    def f(x):
        y = x * 2
        return y * state.rate

    f(vector())
    guards = tj.explain(f).guards
    assert f"{line(f, 0)}: argument x is f32[3]" in guards
    assert f"{line(f, 3)}: closure variable state.rate is 0.5" in guards


def test_each_recording_tells_how_often_it_has_served():
    @tj.compile
    def f(x, twice=False):
        return x * 2 if twice else x

    for twice in [False, False, False, True, True]:
        f(vector(), twice)
    new, old = tj.explain(f).variants
    assert (new.hits, old.hits) == (1, 2)
    assert any("argument twice is True" in guard for guard in new.guards)


def test_ways_through_data_are_of_one_recording():
    @tj.compile
    def f(x):
        return x + 1 if x.sum() > 0 else x - 1

    for sign in [1, 1, -1, -1, 1]:
        f(vector() * sign)
    (variant,) = tj.explain(f).variants
    assert (variant.ways, variant.hits) == (2, 3)
    assert missed(f).startswith(f"{line(f, 2)}: a decision that depends on data")
    assert "tj.where" in missed(f)


def test_an_array_that_is_written_before_a_decision_is_named_as_the_reason():
    @tj.compile
    def f(x):
        while x.max() > 1:
            x *= 0.5
        return x

    for _ in range(3):
        assert f(np.arange(8.0)[::2]).max() <= 1
    assert f.calls["replay"] == 0
    assert "is written before the last decision" in missed(f)
    assert "work on a copy" in missed(f)


def test_the_text_for_people_groups_guards_and_is_short():
    parts = [vector() for _ in range(100)]
    numbers = {f"n{place}": place for place in range(100)}

    @tj.compile
    def f(x):
        for part in parts:
            x = x + part
        total = 0
        for name in numbers:
            total += numbers[name]
        return x * total

    f(vector())
    f(vector())
    found = tj.explain(f)
    text = str(found).split("programs:")[0]
    assert len(found.guards) > 200
    assert len(text.splitlines()) < 60
    assert "1 replays" in text
    assert max(map(len, text.splitlines())) < 200


# Misses


def case_size(f):
    f(tj.ones(32))
    f(tj.ones(48))


def case_dtype(f):
    f(tj.ones(3))
    f(tj.ones(3, dtype=tj.float64))


def case_layout(f):
    f(tj.ones((2, 3)))
    f(tj.ones((3, 2)).T)


def case_array(f):
    f(np.ones(3))
    f(np.ones(4))


def case_type(f):
    f(tj.ones(3))
    f(2)


def case_gradient(f):
    f(tj.ones(3))
    f(tj.ones(3).requires_grad_())


@pytest.mark.parametrize(
    ("case", "was", "now", "mend"),
    [
        (case_size, "argument x is f32[32]", "f32[48]", "left open from the second one on"),
        (case_dtype, "argument x is f32[3]", "f64[3]", ".to(...)"),
        (case_layout, "argument x is f32[2,3]", "strides (1, 2)", ".copy()"),
        (
            case_array,
            "argument x is an array of float64[3]",
            "float64[4]",
            "left open from the second one on",
        ),
        (case_type, "argument x is f32[3]", "2", "types that change"),
        (case_gradient, "argument x is f32[3]", "with a gradient", ".detach()"),
    ],
)
def test_an_argument_that_differs(case: Any, was: str, now: str, mend: str):
    f = tj.compile(lambda x: x + 1)
    case(f)
    text = missed(f)
    first, _, rest = text.partition("; now ")
    assert first == f"{line(f, 0)}: {was}"
    assert rest.startswith(now) or now in rest
    assert mend in rest


def test_a_number_that_says_which_part_is_taken_has_a_mend_that_works():
    data = tj.arange(12.0).reshape(6, 2)

    @tj.compile
    def f(i):
        return data[2 * i : 2 * i + 2].sum()

    for i in range(3):
        f(i)
    text = str(tj.explain(f).misses[-1])
    assert "a number that says which part of a tensor is taken is 2: each needs a recording" in text
    assert "give the part as an argument, which may begin anywhere, or index with an array" in text
    by_part, by_array = tj.compile(lambda part: part.sum()), tj.compile(lambda i: data[i].sum())
    for i in range(3):
        expected = f.function(i).item()
        assert by_part(data[2 * i : 2 * i + 2]).item() == expected
        assert by_array(np.arange(2 * i, 2 * i + 2)).item() == expected
    assert by_part.calls["replay"] == by_array.calls["replay"] == 2


def test_a_number_that_changes_becomes_an_input():
    step = 0

    @tj.compile
    def f(x):
        return x * step

    for step in range(5):  # noqa: B007  # read by the closure
        f(vector())
    assert missed(f) == (
        f"{line(f, 2)}: closure variable step is 0; now 1: an int that changes is an input from the second change on"
    )
    assert tj.explain(f).calls == {"replay": 3, "record": 2, "eager": 0}


def test_a_list_that_grows_wants_to_be_a_counter():
    seen: list[Any] = []

    @tj.compile
    def f(x):
        seen.append(x)
        return x * len(seen)

    for _ in range(3):
        f(vector())
    text = missed(f)
    assert text.startswith(f"{line(f, 3)}: len of closure variable seen is 1; now 2")
    assert "keep a counter" in text
    assert text.endswith("(2 times)")


def test_a_function_made_anew_wants_to_be_made_once():
    @tj.compile
    def f(x, g):
        return g(x)

    for _ in range(4):
        f(vector(), lambda x: x * 2)
    assert "argument g is the same function; now another one" in missed(f)
    assert "define it once" in missed(f)
    assert missed(f).endswith("(3 times)")


def test_flags_keys_and_attributes():
    flags = {"a": True}
    box = SimpleNamespace()

    @tj.compile
    def f(x):
        y = x * 2 if "b" in flags else x
        return y + getattr(box, "shift", 0.0)

    f(vector())
    flags["b"] = True
    f(vector())
    box.shift = 1.0
    f(vector())
    first, second = tj.explain(f).misses
    assert first.startswith(f"{line(f, 2)}: ")
    assert second.startswith(f"{line(f, 3)}: ")
    assert "make" in first
    assert "make" in second


def test_equal_entries_are_one_and_the_log_is_bounded():
    @tj.compile
    def f(x):
        return [part + 1 for part in x]

    for size in range(1, 200):
        f(tj.ones(size))
    misses = tj.explain(f).misses
    assert len(misses) == 3
    assert "pad or bucket" in misses[2]
    assert "times)" in misses[2]


# Reasons


def test_a_reason_has_the_users_line_and_the_mend():
    @tj.compile
    def f(x):
        y = x + 1
        return y * time.time()

    for _ in range(3):
        f(vector())
    (reason,) = tj.explain(f).reasons
    assert reason.startswith(f"{line(f, 3)}: call of time.time, which is not known to be pure")
    assert "pass the time as an argument" in reason
    assert tj.explain(f).tier == 1


def test_what_library_code_does_stands_at_the_users_line():
    @tj.compile
    def f(x):
        y = x + 1
        with contextlib.redirect_stdout(None):
            return y * 2

    f(vector())
    (reason,) = tj.explain(f).reasons
    assert reason.startswith(f"{line(f, 3)}: ")


def test_what_is_returned_stands_where_the_function_does():
    @tj.compile
    def f(x):
        return (part for part in [x])

    f(vector())
    (reason,) = tj.explain(f).reasons
    assert reason.startswith(f"{line(f, 0)}: the call returns or stores a generator")


def test_a_call_that_raises_stands_where_it_raised():
    def inner(x):
        return x @ tj.ones((2, 2))

    @tj.compile
    def f(x):
        return inner(x)

    with pytest.raises(tj.ShapeError):
        f(vector())
    (reason,) = tj.explain(f).reasons
    assert reason.startswith(
        f"{FILE}:{inner.__code__.co_firstlineno + 1}: the call raised ShapeError"
    )


def test_a_partial_stands_where_its_function_does():
    def scaled(a, x):
        return x * a

    f = tj.compile(functools.partial(scaled, 2.0))
    f(vector())
    assert tj.explain(f).reasons[0].startswith(f"{FILE}:{scaled.__code__.co_firstlineno}: ")


def test_a_library_object_stands_where_it_was_compiled():
    model = tj.nn.Sequential(tj.nn.Linear(3, 2))
    f = tj.compile(model)
    f(tj.ones((1, 3)))
    where = tj.explain(f).reasons[0].split(": ")[0]
    assert where.startswith(FILE)


def test_calls_that_all_differ_say_so():
    @tj.compile
    def f(x, name):
        return x + len(name)

    for k in range(9):
        f(vector(), f"name {'x' * k}")
    found = tj.explain(f)
    assert "every call needs a recording of its own" in found.reasons[-1]
    assert "argument name is 'name" in found.reasons[-1]


# on_miss


def test_a_miss_is_an_error_from_the_first_replay_on():
    @tj.compile(on_miss="error")
    def f(x, n):
        return x * n

    f(vector(), 1)
    f(vector(), 2)  # learns that n changes
    f(vector(), 3)
    assert tj.explain(f).calls == {"replay": 1, "record": 2, "eager": 0}
    with pytest.raises(tj.RecompileError) as caught:
        f(tj.ones(4), 3)
    text = str(caught.value)
    assert text.startswith(f"{line(f, 0)}: ")
    assert "f fits no recording: argument x is f32[3]; now f32[4]" in text
    assert "left open from the second one on" in text
    assert tj.explain(f).calls == {"replay": 1, "record": 2, "eager": 0}
    assert f(vector(), 4).tolist() == (vector() * 4).tolist()


def test_the_call_that_raises_has_changed_nothing():
    state = SimpleNamespace(total=tj.zeros(3), count=0)
    log: list[int] = []

    @tj.compile(on_miss="error")
    def f(x):
        state.total.add_(x)
        state.count += 1
        log.append(1)
        return x + 1 if state.total.sum() > 0 else x - 1

    for _ in range(4):
        f(tj.ones(3))
    assert tj.explain(f).calls["replay"]
    before = state.total.tolist(), state.count, len(log)
    with pytest.raises(tj.RecompileError, match=r"test_explain\.py:\d+: .* a decision"):
        f(tj.full(3, -100.0))
    assert (state.total.tolist(), state.count, len(log)) == before
    f(tj.ones(3))
    assert state.count == before[1] + 1


def test_what_is_never_recorded_stays_in_python():
    @tj.compile(on_miss="error")
    def f(x):
        return x * time.time()

    for _ in range(5):
        f(vector())
    assert tj.explain(f).calls == {"replay": 0, "record": 5, "eager": 0}


def test_on_miss_is_one_of_two():
    with pytest.raises(ValueError, match="on_miss is 'record' or 'error'"):
        tj.compile(lambda x: x, on_miss="ignore")
