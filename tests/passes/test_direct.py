"""Values that replace a part of something, written there at once: how many steps and how much memory, and the bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.compiler.programs import run as run_graph
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.ir.aval import aval
from tracejit.ir.graph import Graph, Input


def launches(f: Callable[..., Any]) -> list[str]:
    return [use.computes.partition("  ")[0] for use in tj.explain(f).kernels]


def memory(f: Callable[..., Any]) -> int:
    return tj.explain(f).memory.arena_bytes


def agree(function: Callable[..., Any], *arrays: np.ndarray) -> Callable[..., Any]:
    """The function compiled, after calls that left what plain ones leave."""
    compiled = tj.compile(function)
    ours, theirs = [a.copy() for a in arrays], [a.copy() for a in arrays]
    for _ in range(3):
        found, expected = compiled(*ours), function(*theirs)
        for x, y in zip([found, *ours], [expected, *theirs]):
            assert np.array_equal(x, y, equal_nan=True) if y is not None else x is None
    return compiled


def numbers(*shape: int) -> np.ndarray:
    """Whole numbers: their sums do not depend on the order."""
    return np.random.default_rng(len(shape)).integers(-9, 10, shape).astype(float)


def test_sweeps_of_a_stencil_need_no_memory() -> None:
    def sweep(a: Any, b: Any) -> None:
        b[1:-1, 1:-1] = 0.2 * (
            a[1:-1, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1]
        )

    def sweeps(a: Any, b: Any) -> None:
        sweep(a, b)
        sweep(b, a)
        sweep(a, b)

    f = agree(sweeps, numbers(9, 12), numbers(9, 12))
    assert launches(f) == ["add, multiply"] * 3
    assert memory(f) == 0


def test_what_reads_the_places_that_it_writes_is_written_in_place() -> None:
    def f(a: Any) -> Any:
        b = np.maximum(a, 0)
        b[1:] = b[1:] * 2 + 1
        return b

    compiled = agree(f, numbers(40))
    assert launches(compiled) == ["maximum", "multiply, add"]
    assert memory(compiled) == 0


def test_what_reads_other_places_is_kept_until_all_are_read() -> None:
    def f(a: Any) -> None:
        a[1:] = a[:-1] * 2 + a[1:]

    compiled = agree(f, numbers(40))
    assert launches(compiled) == ["multiply, add", "update"]


def test_a_value_that_others_read_is_read_where_it_was_written() -> None:
    def f(a: Any, b: Any) -> Any:
        y = a[1:] * 2
        b[1:] = y
        return (y[None, :] - y[:, None]).max(axis=0)

    agree(f, numbers(40), numbers(40))


def test_a_result_has_memory_of_its_own() -> None:
    def f(a: Any, b: Any) -> Any:
        y = a[1:] * 2
        b[1:] = y
        return y

    agree(f, numbers(40), numbers(40))


def test_what_was_there_before_may_be_read_afterwards() -> None:
    def f(a: Any, b: Any) -> Any:
        old = b[2:5]
        total = b.sum()
        b[1:] = a[1:] * total
        c = b[::2] * 1
        b[3:] = c[:1] + a[3:]
        return old.sum() + c.sum()

    agree(f, numbers(40), numbers(40))


def test_parts_of_a_concatenation_are_written_side_by_side() -> None:
    def f(a: Any, b: Any) -> Any:
        return np.concatenate([a * 2, b + 1, a * b], axis=1)

    compiled = agree(f, numbers(3, 4), numbers(3, 4))
    assert launches(compiled) == ["multiply", "add", "multiply"]
    assert memory(compiled) == 0


def test_what_is_stacked_is_written_in_its_place() -> None:
    def f(a: Any, b: Any) -> Any:
        return np.stack([a * 2, b + 1], axis=1), np.stack([a - b, a * 0.5])

    compiled = tj.compile(f)
    a, b = numbers(3, 4), numbers(3, 4)
    for found, expected in zip(compiled(a, b), f(a, b)):
        assert np.array_equal(found, expected)
    assert not any("concat" in name for name in launches(compiled))
    assert memory(compiled) == 0


def test_what_is_stacked_twice_or_read_besides() -> None:
    def f(a: Any, b: Any) -> Any:
        y = a * 2
        return np.stack([y, b, y]) + y.max() + np.stack([b - 1, y, b])[::-1]

    agree(f, numbers(8), numbers(8))


def test_a_value_that_is_written_may_be_made_of_another_that_is() -> None:
    def f(a: Any, b: Any, c: Any) -> Any:
        y = a[:4] - b[:4]
        z = y * 2
        d = np.maximum(b, 1)
        d[:4] = z
        seen = d[1:5] * z
        c[:4] = y
        return seen

    agree(f, numbers(8), numbers(8), numbers(8))


def test_a_part_that_comes_twice_or_is_read_besides() -> None:
    def f(a: Any, b: Any) -> Any:
        y = a * 2
        z = np.concatenate([y, b, y])
        return z[::2] + z[1::2] + (y[None, :] * y[:, None]).max() + b.max()

    agree(f, numbers(8), numbers(8))


def test_what_is_padded_is_written_into_the_middle() -> None:
    def f(x: tj.Tensor) -> tj.Tensor:
        return tj.pad(x * 2 + 1, ((1, 2), (0, 3)))

    compiled = tj.compile(f)
    x = tj.arange(6.0).reshape((2, 3))
    assert compiled(x).tolist() == f(x).tolist()
    assert launches(compiled) == ["pad", "multiply, add"]
    assert memory(compiled) == 0


def test_a_filling_that_depends_on_what_is_padded_comes_first() -> None:
    def f(x: tj.Tensor) -> tj.Tensor:
        y = x * 2
        return tj.pad(y, ((1, 2),), y.max()) + tj.pad(y - 1, ((1, 2),), y[3])

    x = tj.arange(6.0)
    assert tj.compile(f)(x).tolist() == f(x).tolist()


def test_a_number_that_fills_a_part_is_no_element_of_it() -> None:
    y, x = Input(aval(dtypes.float32, (3,))), Input(aval(dtypes.float32, (4,)))
    top = apply("tanh", apply("max", y, axes=(0,)))
    filled = apply("update", x, top, start=(0,), stop=(2,), step=(1,))
    arrays = [np.array([0.5, 2, 1], "f4"), np.array([5, 6, 7, 8], "f4")]
    (found,) = run_graph(Graph((y, x), (filled,)), arrays)[:1]
    assert found.tolist() == [found[0], found[0], 7, 8]
    assert 0.9 < found[0] < 1


SIZE = 7
Statement = tuple[int, int, int, int, int, int, int]


def run(program: list[Statement], arrays: list[Any]) -> Any:
    """Parts of arrays replaced by what is computed from other parts, which may overlap; some are looked at afterwards."""
    kept: list[Any] = []
    for kind, to, one, other, first, second, third in program:
        x, y = arrays[one][first : first + 4], arrays[other][second : second + 4]
        value = (x + y, x * y - 1, x * 2, x - y * y)[kind % 4]
        arrays[to][third : third + 4] = value
        if kind >= 4:
            kept.append(value if kind >= 6 else arrays[other][1:5] * 3)
    return sum(kept) if kept else None


PLACE, ARRAY = st.integers(0, SIZE - 4), st.integers(0, 2)
STATEMENT = st.tuples(st.integers(0, 7), ARRAY, ARRAY, ARRAY, PLACE, PLACE, PLACE)


@settings(max_examples=60)
@given(st.lists(STATEMENT, min_size=1, max_size=7), st.booleans())
def test_random_writes_leave_what_they_leave_in_numpy(program: list[Statement], wide: bool) -> None:
    shape = (SIZE, 5) if wide else (SIZE,)
    arrays = [np.random.default_rng(n).integers(-3, 4, shape).astype(float) for n in range(3)]
    agree(lambda *arrays: run(program, list(arrays)), *arrays)
