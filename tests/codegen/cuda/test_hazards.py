"""Where the threads of a team meet: at each place where they must, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.kernels import (
    EMULATED,
    ORDERS,
    assert_emitted_as_interpreted,
    at,
    samples,
    skip_unless_emulated,
)
from tests.emulation import launch as launching
from tests.emulation.launch import launch, text_of
from tracejit.artifact import LaunchShape
from tracejit.codegen.cuda.hazards import meetings
from tracejit.codegen.cuda.schedule import shape_of
from tracejit.codegen.kernel.builder import ScalarBuilder
from tracejit.codegen.kernel.interpret import interpret
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Combine,
    For,
    Kernel,
    Kind,
    Load,
    Size,
    Store,
    Tree,
)
from tracejit.dtypes import float32, int64

TEAMS = (LaunchShape(32, 2, 1024), LaunchShape(64, 1, 512))


def reversed_rows() -> Kernel:
    """Each row is kept in scratch by one loop and read backwards by another."""
    s, size = ScalarBuilder(), Size("n")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    kept = Buffer(float32, "kept", scratch=size)
    with s.block() as body, s.loop(4, Kind.PARALLEL) as row:
        with s.loop(size, Kind.VECTOR) as i:
            s.store(kept, at(i), s.load(x, Address(((row, size), (i, 1)))))
        with s.loop(size, Kind.VECTOR) as i:
            backwards = s.load(kept, Address(((i, -1),), offset=69))
            s.store(out, Address(((row, size), (i, 1))), backwards)
    return Kernel((x, out), (size,), (kept,), tuple(body))


def bumped_rows() -> Kernel:
    """Each of three passes adds an element's neighbour, which another thread may have added to in the pass before."""
    s, size = ScalarBuilder(), Size("n")
    out = Buffer(float32, "out", written=True)
    kept = Buffer(float32, "kept", scratch=71)
    with s.block() as body, s.loop(4, Kind.PARALLEL) as row:
        with s.loop(71, Kind.VECTOR) as i:
            s.store(kept, at(i), s.cast(s.element(i), float32))
        with s.loop(3, Kind.SERIAL) as k:
            first = s.load(kept, at(k))
            s.store(kept, at(k), first + 1.0)
            with s.loop(70, Kind.VECTOR) as i:
                s.store(out, Address(((row, 70), (i, 1))), s.load(kept, at(i, 1, 1)))
            with s.loop(70, Kind.VECTOR) as i:
                s.store(kept, at(i), s.load(out, Address(((row, 70), (i, 1)))) + first)
    return Kernel((out,), (size,), (kept,), tuple(body))


@pytest.mark.parametrize(
    ("make", "count"), [(reversed_rows, 280), (bumped_rows, 280)], ids=["reversed", "bumped"]
)
def test_a_missing_meeting_shows(make: object, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text as it is gives the interpreter's bits in every order; with no meeting it gives others in some."""
    skip_unless_emulated()
    kernel: Kernel = make()  # type: ignore[operator]
    arrays = [samples(float32, count, 1), np.zeros(count, np.float32)][-len(kernel.buffers) :]
    if len(kernel.buffers) == 2:
        arrays[0] = np.arange(count, dtype=np.float32)
    expected = [array.copy() for array in arrays]
    interpret(kernel, expected, [70])

    def outcomes() -> list[bool]:
        found = []
        for shape in TEAMS:
            for order in ORDERS:
                got = [array.copy() for array in arrays]
                launch(kernel, [(got, [70], 4)], order=order, shape=shape)
                found.append(np.array_equal(got[-1], expected[-1]))
        return found

    assert all(outcomes())
    # One that is only said to be there: the kernel is still run by fibers.
    silent = text_of(kernel).replace("meet();", "if (blockDim.x == 0) meet();")
    monkeypatch.setattr(launching, "text_of", lambda *_: silent)
    assert not all(outcomes())


def of_kind(kernel: Kernel, kind: type) -> list[object]:
    return [stmt for stmt in kernel.body[0].body if isinstance(stmt, kind)]


def test_a_loop_waits_for_what_another_has_written() -> None:
    kernel = reversed_rows()
    first, second = of_kind(kernel, For)
    assert meetings(kernel) == {second}
    assert first not in meetings(kernel)


def test_loads_of_the_team_wait_for_the_last_iteration() -> None:
    kernel = bumped_rows()
    _, serial = of_kind(kernel, For)
    assert isinstance(serial, For)
    (load,) = (stmt for stmt in serial.body if isinstance(stmt, Load))
    assert load in meetings(kernel)


def test_a_map_never_meets() -> None:
    s, size = ScalarBuilder(), Size("n")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(9, Kind.PARALLEL) as row, s.loop(size, Kind.VECTOR) as i:
        here = Address(((row, size), (i, 1)))
        s.store(out, here, s.load(x, here) + s.load(out, here))
    kernel = Kernel((x, out), (size,), (), tuple(body))
    assert not meetings(kernel)
    assert "__sync" not in text_of(kernel)


def test_small_teams_with_a_scalar_operand_never_meet() -> None:
    """The scalar is read outside of the loop, and teams of one warp have different numbers of tasks."""
    skip_unless_emulated()
    s, size = ScalarBuilder(), Size("n")
    x, scale = Buffer(float32, "x"), Buffer(float32, "scale")
    out = Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(5, Kind.PARALLEL) as row, s.loop(size, Kind.VECTOR) as i:
        here = Address(((row, size), (i, 1)))
        s.store(out, here, s.load(x, here) * s.load(scale, Address()))
    kernel = Kernel((x, scale, out), (size,), (), tuple(body))
    assert "meet" not in text_of(kernel)
    assert shape_of(kernel, [([16], 5)]).team == 4
    for count in (16, 200):
        arrays = [samples(float32, n, n) for n in (5 * count, 1, 5 * count)]
        assert_emitted_as_interpreted(kernel, EMULATED, arrays, [count], tasks=5)


def test_a_kernel_whose_teams_meet_has_teams_of_whole_warps_alone_in_their_blocks() -> None:
    for make in (reversed_rows, bumped_rows):
        for count in (1, 70, 5000):
            shape = shape_of(make(), [([count], 4)], 4 * count)
            assert shape.team % 32 == 0
            assert shape.team == 32 or shape.teams == 1


def test_what_is_read_along_a_row_may_be_written_in_place() -> None:
    """Another argument may be the same memory: the store waits until all threads have read it."""
    s, size = ScalarBuilder(), Size("n")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(9, Kind.PARALLEL) as row:
        with s.fold(0, size, Tree.LANES) as fold:
            total = fold.join(Combine.SUM, s.load(x, Address(((row, size), (fold.index, 1)))))
        s.store(out, at(row), total)
    kernel = Kernel((x, out), (size,), (), tuple(body))
    (store,) = of_kind(kernel, Store)
    assert store in meetings(kernel)


def test_a_warp_searches_a_loop_that_mostly_does_nothing() -> None:
    """Each iteration adds to one of four rows, and a task to its own row alone, in ascending order."""
    skip_unless_emulated()
    s, count = ScalarBuilder(), Size("count")
    places, x = Buffer(int64, "places"), Buffer(float32, "x")
    out = Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(4, Kind.PARALLEL) as row, s.loop(count, Kind.SERIAL) as k:
        place = s.load(places, at(k))
        is_own = s.cast(place == s.element(row), int64).operand
        with s.loop(is_own, Kind.SERIAL), s.loop(70, Kind.VECTOR) as i:
            here = Address(((row, 70), (i, 1)))
            total = s.load(out, here) * 0.5 + s.load(x, Address(((k, 70), (i, 1))))
            s.store(out, here, total)
    kernel = Kernel((places, x, out), (count,), (), tuple(body))
    assert "__ballot_sync" in text_of(kernel)
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 5, 90), rng.standard_normal(90 * 70), np.zeros(280)]
    arrays = [arrays[0], *(array.astype(np.float32) for array in arrays[1:])]
    assert_emitted_as_interpreted(kernel, EMULATED, arrays, [90], tasks=4)
