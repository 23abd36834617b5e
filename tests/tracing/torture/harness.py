"""Runs a case once plainly and once compiled, each in a world of its own, and compares all that can be observed.

A case is a generator function. It gets `compile`, which compiles or does nothing, makes functions and state, calls, changes the
world between calls, and yields after each call what it gave and the state that it may have touched:

    @case
    def closure_changed(compile):
        scale = 2.0

        @compile
        def f(x):
            return x * scale

        for scale in [2.0, 2.0, 2.0, 3.0, 3.0]:
            yield f(vector())

The source must be in a file, and the state inside the case; what a case does to the globals of its module is undone.
"""

from __future__ import annotations

import contextlib
import functools
import io
import random
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import tracejit as tj
from tests.tracing.torture.observer import Observer, bits
from tracejit.storage import as_array

Compile = Callable[[Any], Any]
Build = Callable[[Compile], Iterator[Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """A program, and, where tier 1 is known to get it wrong, how."""

    name: str
    build: Build
    known: str


CASES: dict[str, Case] = {}


def case(build: Build | None = None, *, known: str = "") -> Any:
    """Registers a case: `@case`, or `@case(known="what tier 1 gets wrong")`."""
    if build is None:
        return functools.partial(case, known=known)
    name = build.__name__
    before = CASES.get(name)
    if before is not None and before.build.__code__ != build.__code__:
        raise ValueError(f"there are two cases named {name}")
    CASES[name] = Case(name, build, known)
    return build


def load() -> dict[str, Case]:
    """All cases, those of the files in order."""
    for path in sorted(Path(__file__).parent.glob("cases_*.py")):
        import_module(f"tests.tracing.torture.{path.stem}")
    return CASES


# What cases are written with


def vector() -> tj.Tensor:
    return tj.tensor([1.0, -2.0, 3.0])


def matrix() -> tj.Tensor:
    return tj.tensor([[1.0, 2.0], [3.0, -4.0]])


def thrice(*states: Any) -> list[Any]:
    """Each state three times: recorded, perhaps recorded again, replayed."""
    return [state for state in states for _ in range(3)]


def attempt(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a call gives, or the exception that it raises."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return error


def values(*parts: Any) -> Any:
    """What is seen of values now; unlike the values themselves it keeps no memory alive."""
    return Observer().look(parts)


# Running


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: the first difference, "" if there is none, and what the compiled functions say."""

    difference: str
    replayed: int
    calls: int
    reasons: tuple[str, ...]
    explained: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why calls were not replayed, in one line."""
        return "; ".join(dict.fromkeys(self.reasons))


@functools.cache
def outcome(name: str) -> Outcome:
    """Runs a case both ways, once per process."""
    return compare(load()[name], tj.compile)


def compare(case: Case, compile: Compile) -> Outcome:
    """What `compile` makes of a case."""
    expected = observe(case, lambda f: f)
    compiled: list[Any] = []

    def collecting(f: Any) -> Any:
        compiled.append(compile(f))
        return compiled[-1]

    try:
        difference = first_difference(expected, observe(case, collecting))
    except Exception:
        difference = "plain Python raises nothing; compiled:\n" + traceback.format_exc()
    explained = [tj.explain(f) for f in compiled if _is_compiled(f)]
    return Outcome(
        difference,
        replayed=sum(e.calls["replay"] for e in explained),
        calls=sum(sum(e.calls.values()) for e in explained),
        reasons=tuple(reason for e in explained for reason in e.reasons),
        explained=tuple(map(str, explained)),
    )


def _is_compiled(f: Any) -> bool:
    try:
        tj.explain(f)
    except TypeError:
        return False
    return True


def observe(case: Case, compile: Compile) -> list[Any]:
    """What is seen after each call, and at the end of all that was seen before."""
    observer = Observer()
    seen = []
    with _world(case) as (printed, warned):
        for state in case.build(compile):
            seen.append(
                {
                    "seen": observer.look(state),
                    "printed": _taken(printed),
                    "warned": list(_shown(warned)),
                    **_surroundings(),
                }
            )
            warned.clear()
        seen.append(observer.look_again())
    return seen


@contextlib.contextmanager
def _world(case: Case) -> Iterator[tuple[io.StringIO, list[Any]]]:
    """A world that nothing was done to: modes, random streams, and the globals of the case's module."""
    scope = vars(sys.modules[case.build.__module__])
    before = dict(scope)
    printed = io.StringIO()
    tj.random.seed(0)
    np.random.seed(0)
    random.seed(0)
    try:
        with (
            tj.config.scope(default_dtype=tj.float32),
            tj.enable_grad(),
            np.errstate(all="ignore"),
            contextlib.redirect_stdout(printed),
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("always")
            yield printed, warned
    finally:
        for name in scope.keys() - before.keys():
            del scope[name]
        scope.update(before)


def _taken(printed: io.StringIO) -> str:
    text = printed.getvalue()
    printed.seek(0)
    printed.truncate()
    return text


def _shown(warned: list[Any]) -> Iterator[tuple[str, str]]:
    """What was warned of. NumPy's warnings are not compared: compiled code gives none."""
    for warning in warned:
        if not issubclass(warning.category, RuntimeWarning):
            yield warning.category.__name__, str(warning.message)


def _surroundings() -> dict[str, Any]:
    """State that any call could change."""
    return {
        "grad mode": tj.is_grad_enabled(),
        "default dtype": tj.config.default_dtype.name,
        "np.geterr()": list(np.geterr().items()),
        "tj.random": bits(as_array(tj.random.default_generator.state)),
        "np.random": np.random.get_state()[1:],
        "random": random.getstate(),
    }


# Comparing


def first_difference(expected: Any, found: Any, path: str = "") -> str:
    """Where two observations differ first; "" where they do not."""
    if isinstance(expected, dict) and isinstance(found, dict) and [*expected] == [*found]:
        parts = [(f"{path}.{key}", expected[key], found[key]) for key in expected]
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        parts = [(f"{path}[{at}]", x, y) for at, (x, y) in enumerate(zip(expected, found))]
        if len(expected) != len(found):
            parts.append((f"len({path})", len(expected), len(found)))
    elif isinstance(expected, np.ndarray) and isinstance(found, np.ndarray):
        return "" if np.array_equal(expected, found) else f"{path}: the arrays differ"
    else:
        return "" if expected == found else f"{path}:\n  plain    {expected}\n  compiled {found}"
    return next(filter(None, (first_difference(x, y, name) for name, x, y in parts)), "")
