"""Exceptions that exported functions raise: the user's classes, and text of numbers, with the state that they leave."""

from __future__ import annotations

import math
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.standalone.files import packed
from tests.standalone.libraries import Failed, exported, needs_compiler
from tests.standalone.test_roundtrip import bits
from tracejit.standalone.container import unpack
from tracejit.standalone.functions import ERRORS
from tracejit.standalone.overview import overview
from tracejit.standalone.raising import _written, class_of
from tracejit.standalone.records import Known, Raise
from tracejit.standalone.texts import text_of
from tracejit.tracing.replay.hooks import text

X = tj.ones(3)


class Diverged(ValueError):
    """The user's own."""


class Mixin:
    pass


class WithBases(Mixin, Diverged, KeyError):
    pass


class Plain(Exception):
    pass


class New(Exception):
    def __new__(cls, *args: Any) -> Any:
        return super().__new__(cls, *args)


class Telling(Exception):
    def __str__(self) -> str:
        return "always this"


def outcome(f: Any, *args: Any) -> Any:
    """What a call gives, or how its exception looks."""
    try:
        found = f(*args)
    except Exception as error:
        kind = type(error)
        bases = {base for base in kind.__mro__ if base.__module__ == "builtins"}
        return kind.__module__, kind.__qualname__, bases, repr(error.args), str(error)
    return bits(found)


def agree(tmp_path: Path, f: Callable[..., Any], calls: list[tuple[Any, ...]], **how: Any) -> None:
    """The artifact raises what Python raises, in each of the ways by which calls go, and so does the compiled function."""
    tj.export(f, how.pop("args", calls[0]), tmp_path / "f.tj", **how)
    compiled = tj.compile(f)
    for native in (True, False):
        loaded = tj.load(tmp_path / "f.tj", native=native)
        for args in (*calls, *calls):
            expected = outcome(f, *args)
            assert outcome(loaded, *args) == expected == outcome(compiled, *args), args


def vectors(*rows: list[float]) -> list[tuple[Any, ...]]:
    return [(tj.tensor(np.array(row, np.float32)),) for row in rows]


ROWS = vectors(
    *([1, 2, 3], [-1, -2, 0], [0.1, 0, 0], [-1e30, 0, 0], [-1e-7, 0, 0]),
    *([math.nan, 1, 1], [-math.inf, 0, 0]),
)


# Classes


def of_all_classes(x):
    if x[0] < 0:
        raise Diverged("negative", 3)
    if x[0] == 0:
        raise WithBases("zero")
    if x[0] > 5:
        raise Plain
    return x * 2


def test_the_users_classes_have_their_names_and_bases(tmp_path: Path) -> None:
    calls = vectors([1, 0, 0], [-1, 0, 0], [0, 0, 0], [6, 0, 0])
    agree(tmp_path, of_all_classes, calls)
    loaded = tj.load(tmp_path / "f.tj")
    with pytest.raises(tj.ArtifactRaised) as raised:
        loaded(*calls[1])
    with pytest.raises(ValueError, match="negative") as again:
        loaded(*calls[1])
    assert type(raised.value) is type(again.value)
    assert not isinstance(raised.value, Diverged)
    assert "raise tests.standalone.test_exceptions.Diverged('negative', 3)" in overview(
        tmp_path / "f.tj"
    )


def test_they_are_pickled(tmp_path: Path) -> None:
    tj.export(of_all_classes, (X,), tmp_path / "f.tj")
    with pytest.raises(ValueError, match="negative") as raised:
        tj.load(tmp_path / "f.tj")(-X)
    found = pickle.loads(pickle.dumps(raised.value))
    assert type(found) is type(raised.value)
    assert found.args == raised.value.args


@pytest.mark.parametrize("error", ERRORS)
def test_every_builtin_exception_has_classes_that_stand_for_those_derived_from_it(
    error: str,
) -> None:
    kind = class_of(Raise((), (error,), "module:Outer.<locals>.Own", ("text",), ""))
    raised = kind("text")
    assert isinstance(raised, ERRORS[error])
    assert isinstance(raised, tj.ArtifactRaised)
    assert (kind.__module__, kind.__name__) == ("module", "Own")
    assert raised.args == ("text",)


def test_a_process_without_the_class_shows_its_name(tmp_path: Path) -> None:
    tj.export(of_all_classes, (X,), tmp_path / "f.tj")
    script = (
        "import sys, numpy as np, tracejit as tj; tj.load(sys.argv[1])(np.full(3, -1, np.float32))"
    )
    command = [sys.executable, "-c", script.replace("np.full", "tj.asarray(np.full") + ")"]
    done = subprocess.run(
        [*command, str(tmp_path / "f.tj")], capture_output=True, text=True, cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert last == "tests.standalone.test_exceptions.Diverged: ('negative', 3)"


class Detailed(Diverged):
    """With an `__init__` of its own, as many have."""

    def __init__(self, step: int, loss: float, *, unit: str = "nats") -> None:
        super().__init__(f"step {step}: the loss is {loss:.4f} {unit}")
        self.step = step
        self.loss = loss


class MoreDetailed(Detailed):
    def __init__(self, loss: float) -> None:
        self.doubled = loss * 2
        super().__init__(7, self.doubled, unit="bits")


class Untold(Exception):
    def __init__(self, loss: float) -> None:
        self.loss = loss


class Missing(OSError):
    def __init__(self, number: int, why: str) -> None:
        super().__init__(number, f"missing: {why}")


def of_classes_with_code(x, n):
    total = x.sum().item()
    if total < -1e20:
        raise MoreDetailed(total)
    if total < 0:
        raise Detailed(n, total)
    if not math.isfinite(total):
        raise Untold(total)
    if n > 100:
        raise Missing(2, "it")
    try:
        if n > 10:
            raise Detailed(n, 0.5)
    except Detailed:
        return x * 3
    return x * 2


def test_classes_with_code_of_their_own(tmp_path: Path) -> None:
    calls = [(*row, n) for row in ROWS for n in (3, 50, 1000)]
    agree(tmp_path, of_classes_with_code, calls)


# Text


def told(x, n, rate):
    total = x.sum().item()
    if total < 0:
        raise Diverged(f"the sum is {total}, not {n} or more; {rate:.3f} {total!r:>12} {n:5d}|{n}")
    if not math.isfinite(total):
        raise ValueError("not finite", total, n)
    if rate > 1:
        raise ArithmeticError("%d of %s: %.2e %-8.1f|%%" % (n, rate, total, rate))  # noqa: UP031  # users do
    if rate < 0:
        raise LookupError("{:g} and {!s} and {more:06.2f}".format(rate, n, more=total))  # noqa: UP032
    if n > 100:
        raise OverflowError(n)
    if n == 7:
        raise NameError("{1} {0} {1}".format(n, rate))  # noqa: UP032
    if n < 0:
        raise KeyError("a " + str(n) + repr(rate) + format(n, "+d") + " ".join(["b", f"{n}", "c"]))
    return x * rate


NUMBERS = [
    (*row, n, rate)
    for row in ROWS
    for n, rate in ((3, 0.5), (10**9, 1e22), (-4, 0.25), (7, -1e-9), (101, 1.0), (5, math.nan))
]


def test_text_of_numbers_is_that_of_the_call(tmp_path: Path) -> None:
    agree(tmp_path, told, NUMBERS)


ASSERTED = """
def asserted(x, n):
    total = x.sum().item()
    assert total >= 0, f"{total} is less than 0"
    assert n > 0, n
    assert n < 10
    try:
        assert n != 5, f"{n} is 5"
    except AssertionError as error:
        return x, len(error.args)
    return x * 2
"""


def test_assertions_tell_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "with_assertions.py").write_text(ASSERTED)  # which pytest does not rewrite
    monkeypatch.syspath_prepend(str(tmp_path))
    from with_assertions import asserted  # type: ignore[import-not-found]

    calls = [(*row, n) for row in ROWS for n in (3, 5, -1, 0, 12)]
    agree(tmp_path, asserted, calls)


def caught(x):
    total = x.sum().item()
    try:
        if total < 0:
            raise Diverged(f"it is {total}")
        return x * 2
    except ValueError as error:
        raise KeyError(f"again {total}", total) from error


def test_one_that_is_caught_leads_to_another(tmp_path: Path) -> None:
    agree(tmp_path, caught, ROWS)


class Account:
    def __init__(self) -> None:
        self.total = tj.zeros(3)
        self.calls = 0

    def pay(self, x):
        self.calls += 1
        self.total.add_(x)
        left = self.total.min().item()
        if left < 0:
            raise Diverged(f"overdrawn by {-left:.2f} in call {self.calls}")
        self.calls += 1
        return self.total * 1, self.calls


@pytest.mark.parametrize("native", [True, False])
def test_it_leaves_the_state_as_python_does(tmp_path: Path, native: bool) -> None:
    account, twin = Account(), Account()
    tj.export(account.pay, (X,), tmp_path / "f.tj")
    loaded = tj.load(tmp_path / "f.tj", native=native)
    for row in ([1, 2, 3], [-2, 0, 0], [0, 1, 0], [9, 9, 9], [-9, -9, -99], [math.nan, 1, 1]):
        x = tj.tensor(np.array(row, np.float32))
        assert outcome(loaded, x) == outcome(twin.pay, x)
        state = loaded.state_dict()
        assert state["calls"] == twin.calls
        assert bits(state["total"]) == bits(twin.total)


def in_rounds(x, limit):
    rounds = 0
    while x.max() > 1:
        x, rounds = x / 2, rounds + 1
        if rounds > limit:
            raise Diverged(f"{rounds} rounds, {x.max().item()} is left, of {limit}")
    return x, rounds


def test_text_of_numbers_that_go_round_a_loop(tmp_path: Path) -> None:
    calls = [(tj.tensor([float(n), 1.0]), limit) for n in (8, 1000, 3) for limit in (2, 5, 50)]
    agree(tmp_path, in_rounds, calls)


def sized(x):
    if x.sum() < 0:
        raise Diverged(f"{x.shape[0]} rows, {x.shape[0] * 2} in all, {x.sum().item()}")
    return x * 2


def test_open_sizes_are_told(tmp_path: Path) -> None:
    calls = [(sign * tj.ones((n, 2)),) for n in (1, 4, 7) for sign in (1, -1)]
    with pytest.warns(RuntimeWarning, match="no native code for n=7"):
        agree(tmp_path, sized, calls, args=("float32[n, 2]",), sizes={"n": (1, 4)})


VALUES = [0, -7, 12345, 2**60, True, 0.0, -0.0, 2.5, -1e300, 1e-7, math.inf, math.nan, "text"]
BY_PERCENT = "%s %r %d %5d %-5d| %+d|% d %f %.0f %10.3f %-10.2e| %+g %G %E %8s| %-8s| %05d %i %c %x %.2s %#o".split()
BY_FORMAT = "{} {0} {:d} {:5} {:<6} {:>8.3f} {:+} {: } {:08.2f} {:,} {!r} {!s:>9} {0!a} {:%} {{}} {:e}".split()


def written(function: Any, operands: tuple[Any, ...]) -> str | None:
    """What the function gives by the parts that its text is found to have; None where it is none of these."""
    found = text_of(function, operands, Known)
    return None if found is None else "".join(_written(part, ()) for part in found.parts)


@pytest.mark.parametrize("value", VALUES)
def test_text_has_the_parts_that_python_gives_it(value: Any) -> None:
    ways = [
        *((text.percent, f"a {form} b", text.percent) for form in (*BY_PERCENT, "%%")),
        *((text.call, f"a {form} b", lambda form, value: form.format(value)) for form in BY_FORMAT),
    ]
    counted = 0
    for function, form, python in ways:
        try:
            expected = python(form, value)
        except (TypeError, ValueError, OverflowError):  # a recorded call raises it
            continue
        found = written(function, (form, *(("format", ()) if function is text.call else ()), value))
        assert found in (None, expected), form
        counted += found is not None
    assert counted >= 5


# C


@needs_compiler
def test_libraries_for_c_tell_the_same(tmp_path: Path) -> None:
    def spoken(x, n, rate):
        total = x.sum().item()
        if total < 0:
            raise Diverged(
                f"{total}, {n}, {rate:.3f} {total:12} {n:5d}|{n:<6}|{total:.3e}|{rate:+g}"
            )
        if n > 100:
            raise Plain("not finite", total, n, x.min().item() > 0)
        if n < 0:
            raise OverflowError(total)
        if rate < 0:
            raise Plain
        return x * rate

    def wanted(*args: Any) -> str:
        try:
            spoken(*args)
        except Exception as error:
            kind = type(error)
            name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
            return f"{name}: {error}" if str(error) else name
        return ""

    instance = exported(tmp_path, spoken, *NUMBERS[0]).create()
    seen = set()
    for x, n, rate in NUMBERS:
        expected = wanted(x, n, rate)
        if not expected:
            instance(np.asarray(x), n, rate)
            continue
        with pytest.raises(Failed) as failed:
            instance(np.asarray(x), n, rate)
        assert failed.value.code == "raised"
        where, _, message = failed.value.message.partition(": ")
        assert re.fullmatch(r"test_exceptions.py:\d+", where)
        assert message == expected
        seen.add(where)
    assert len(seen) == 4


@needs_compiler
def test_libraries_write_floats_as_python_does(tmp_path: Path) -> None:
    def f(x, value):
        if x.sum() < 0:
            raise ValueError(f"{value}")
        return x

    instance = exported(tmp_path, f, X, 1.5).create()
    generator = np.random.default_rng(0)
    values = [0.0, -0.0, 1e16, 1e15, 1e-5, 1e-4, 5e-324, 1.7976931348623157e308, 9007199254740993.0]
    values += [2.0**k for k in range(-1074, 1024, 7)]
    values += generator.integers(0, 2**64, 500, np.uint64).view(np.float64).tolist()
    values += np.round(generator.standard_normal(200) * 1e5, 3).tolist()
    for value in values:
        with pytest.raises(Failed) as failed:
            instance(-np.ones(3, np.float32), value)
        assert failed.value.message.endswith(f": ValueError: {value!r}")


# What is refused


class Odd(float):
    pass


def of_a_tensor(x):
    if x.sum() < 0:
        raise Diverged("it is", x * 2)
    return x


def tells_by_itself(x):
    if x.sum() < 0:
        raise Telling("other")
    return x


def of_a_class_with_new(x):
    if x.sum() < 0:
        raise New("text")
    return x


def ends_it(x):
    if x.sum() < 0:
        raise StopIteration(3)
    return x


def of_the_library(x):
    if x.sum() < 0:
        raise tj.ShapeError("mine")
    return x


def returns_text(x):
    return x, f"{x.sum().item()}"


def carries_text(x):
    told = ""
    while x.max() > 1:
        x = x / 2
        told = f"{x.max().item()}"
    if x.min() < 0:
        raise Diverged(told)
    return x


def long_text(x):
    if x.sum() < 0:
        raise Diverged(f"{x.sum().item():100000}")
    return x


REFUSED = [
    (of_a_tensor, "the call raises Diverged, which holds a Tensor: make it of numbers and text"),
    (tells_by_itself, "the call raises Telling, whose text is made by Python code of its own"),
    (of_a_class_with_new, "exception class New has a __new__ of its own"),
    (ends_it, "the call raises StopIteration, whose class is not part of an artifact"),
    (of_the_library, "the call raises ShapeError, whose class is not part of an artifact"),
    (returns_text, "text of numbers that change is made for something else than an exception"),
    (carries_text, ""),
    (long_text, "written of numbers that change is not among what an artifact computes"),
]


@pytest.mark.parametrize(
    ("function", "why"), REFUSED, ids=lambda each: getattr(each, "__name__", "")
)
def test_what_cannot_be_raised_is_refused(tmp_path: Path, function: Any, why: str) -> None:
    with pytest.raises(tj.ExportError, match=rf"test_exceptions.py:\d+: export: .*{why}"):
        tj.export(function, (X,), tmp_path / "f.tj")


@needs_compiler
def test_text_that_c_does_not_make_is_refused_with_the_line(tmp_path: Path) -> None:
    def padded(x):
        if x.sum() < 0:
            raise ValueError(f"{x.sum().item():012.3f}")
        return x

    def keyed(x):
        if x.sum() < 0:
            raise KeyError(f"{x.sum().item()}")
        return x

    for f, why in (
        (padded, "a float becomes text by ':012.3f'"),
        (keyed, "the text of a KeyError"),
    ):
        tj.export(f, (X,), tmp_path / "f.tj")
        with pytest.raises(tj.ExportError, match=rf"test_exceptions.py:\d+: export: for C: {why}"):
            tj.export(f, (X,), c=tmp_path, name="f")


def test_files_that_say_otherwise_are_refused(tmp_path: Path) -> None:
    tj.export(told, NUMBERS[0], tmp_path / "f.tj")
    parts = {name: bytes(data) for name, data in unpack((tmp_path / "f.tj").read_bytes()).items()}
    manifest = parts["manifest.json"].decode()
    name = "tests.standalone.test_exceptions:Diverged"
    for old, new, why in (
        (name, "tests standalone:Diverged", "is no class"),
        (name, "Diverged", "is no class"),
        ('"conversion": "r"', '"conversion": "x"', "a number is not written as"),
        ('"spec": ".3f"', '"spec": "500000d"', "a number is not written as '500000d'"),
        ('"ArithmeticError"', '"SystemExit"', "no exception of Python's"),
        ('"ValueError"', '"NameError",\n"OSError"', "there is no class"),
    ):
        assert old in manifest
        changed = manifest.replace(old, new).encode()
        (tmp_path / "g.tj").write_bytes(packed({**parts, "manifest.json": changed}))
        with pytest.raises(tj.ArtifactError, match=why):
            tj.load(tmp_path / "g.tj")
