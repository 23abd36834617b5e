"""With hooks that do what Python does, instrumented functions are what they were."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from types import CellType, FunctionType
from typing import Any

import pytest

from tests.tracing.instrument.cases import (  # noqa: F401  each enters its functions as cases
    calls,
    control,
    displays,
    functions,
    matching,
    names,
    operators,
    stores,
)
from tests.tracing.instrument.cases.noisy import CASES, NOTES
from tests.tracing.instrument.plain import PLAIN, outcome
from tracejit.tracing.instrument import instrumented


def parts(case: Callable[..., Any]) -> tuple[FunctionType, tuple[Any, ...]]:
    return (case.func, case.args) if isinstance(case, functools.partial) else (case, ())


def name_of(case: Callable[..., Any]) -> str:
    function, arguments = parts(case)
    line = function.__code__.co_firstlineno
    return without_addresses(f"{function.__qualname__}:{line} {arguments or ''}")


def without_addresses(text: str) -> str:
    return re.sub(r" at 0x\w+", "", text)


def run(function: FunctionType, arguments: tuple[Any, ...]) -> str:
    NOTES.clear()
    result = outcome(function, *arguments)
    return without_addresses(repr((result, NOTES)))


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_result_notes_and_lines_are_the_same(case: Callable[..., Any]) -> None:
    function, arguments = parts(case)
    with state_restored(function):
        expected = run(function, arguments)
    assert run(instrumented(function, PLAIN), arguments) == expected


@contextlib.contextmanager
def state_restored(function: FunctionType) -> Iterator[None]:
    """Afterwards the variables of the functions around have their old values."""
    cells = [cell for cell in function.__closure__ or () if is_filled(cell)]
    contents = [cell.cell_contents for cell in cells]
    yield
    for cell, content in zip(cells, contents):
        cell.cell_contents = content


def is_filled(cell: CellType) -> bool:
    return cell != CellType()
