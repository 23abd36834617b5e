"""How tasks are shared out: no shape of a launch changes a bit, and segments are one loop of tasks."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.codegen.kernels import (
    EMULATED,
    assert_emitted_as_interpreted,
    same_bits,
    samples,
    skip_unless_emulated,
)
from tests.emulation.emulate import EmulationError, guarded, load
from tests.emulation.launch import launch
from tests.emulation.plans import plan_of
from tests.ir.graphs import apply
from tracejit.artifact import LaunchShape
from tracejit.codegen.cuda.schedule import MOST_SHARED, bounds_of, shape_of
from tracejit.codegen.kernel.builder import ScalarBuilder
from tracejit.codegen.kernel.interpret import interpret
from tracejit.codegen.kernel.ir import Address, Buffer, Combine, Kernel, Kind, Size, Tree
from tracejit.dtypes import float32
from tracejit.ir.aval import aval
from tracejit.ir.graph import Graph, Input


def doubled() -> Kernel:
    s, size, tasks = ScalarBuilder(), Size("n"), Size("tasks")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(tasks, Kind.PARALLEL) as row, s.loop(size, Kind.VECTOR) as i:
        here = Address(((row, size), (i, 1)))
        s.store(out, here, s.load(x, here) * 2.0)
    return Kernel((x, out), (size, tasks), (), tuple(body))


def centred(spill: bool = True) -> Kernel:
    """Rows less their sums, kept in scratch between the stages."""
    s, size, tasks = ScalarBuilder(), Size("n"), Size("tasks")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    kept = Buffer(float32, "kept", scratch=size)
    with s.block() as body, s.loop(tasks, Kind.PARALLEL) as row:
        with s.fold(0, size, Tree.LANES) as fold:
            value = s.load(x, Address(((row, size), (fold.index, 1)))) * 0.5
            s.store(kept, Address(((fold.index, 1),)), value)
            total = fold.join(Combine.SUM, value)
        with s.loop(size, Kind.VECTOR) as i:
            here = Address(((row, size), (i, 1)))
            s.store(out, here, s.load(kept, Address(((i, 1),))) - total)
    return Kernel((x, out), (size, tasks), (kept,), tuple(body))


def columns() -> Kernel:
    s, rows, size = ScalarBuilder(), Size("rows"), Size("n")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.loop(size, Kind.VECTOR) as column:
        with s.fold(0, rows, Tree.ROWS) as fold:
            here = Address(((fold.index, size), (column, 1)))
            total = fold.join(Combine.SUM, s.load(x, here))
        s.store(out, Address(((column, 1),)), total)
    return Kernel((x, out), (rows, size), (), tuple(body))


@pytest.mark.parametrize("grid", [1, 2, 5])
def test_segments_are_one_loop_of_tasks(grid: int) -> None:
    skip_unless_emulated()
    kernel, segments = doubled(), []
    for rows, count in ((3, 9), (0, 5), (1, 100), (7, 4)):
        x = guarded(samples(float32, rows * count, count))
        segments.append(([x, guarded(np.zeros_like(x))], [count, rows], rows))
    launch(kernel, segments, grid=grid)
    for (x, out), _, _ in segments:
        with np.errstate(over="ignore"):
            assert same_bits(out, x * np.float32(2)).all()


@pytest.mark.parametrize("grid", [1, 3])
@pytest.mark.parametrize(
    "shape",
    [
        LaunchShape(32, 3, 3 * 20_480),
        LaunchShape(64, 1, 20_480),
        LaunchShape(256, 1, 20_480),
        LaunchShape(32, 2, scratch_bytes=20_480),
        LaunchShape(64, 1, scratch_bytes=20_480),
    ],
    ids=str,
)
def test_scratch_is_shared_or_global(shape: LaunchShape, grid: int) -> None:
    skip_unless_emulated()
    rows, count = 4, 5111
    x = np.random.default_rng(0).standard_normal(rows * count).astype(np.float32)
    ends = [[x.copy(), np.zeros_like(x)] for _ in range(2)]
    expected = rows_of_sums(x.reshape(rows, count) * np.float32(0.5))
    launch(centred(), [(ends[0], [count, rows], rows)], shape=shape, grid=grid, order=7)
    halves = x.reshape(rows, count) * np.float32(0.5)
    assert same_bits(ends[0][1], (halves - expected[:, None]).ravel()).all()


def rows_of_sums(rows: np.ndarray) -> np.ndarray:
    """By the interpreter, whose tree it is."""
    s, size = ScalarBuilder(), Size("n")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(rows.shape[0], Kind.PARALLEL) as row:
        with s.fold(0, size, Tree.LANES) as fold:
            total = fold.join(Combine.SUM, s.load(x, Address(((row, size), (fold.index, 1)))))
        s.store(out, Address(((row, 1),)), total)
    sums = np.zeros(rows.shape[0], np.float32)
    kernel = Kernel((x, out), (size,), (), tuple(body))
    interpret(kernel, [rows.ravel(), sums], [rows.shape[1]])
    return sums


@pytest.mark.parametrize("team", [32, 64, 256, 512])
def test_rows_of_threads_share_the_rows_of_a_column(team: int) -> None:
    skip_unless_emulated()
    rows, count = 700, 37
    x = np.random.default_rng(0).standard_normal(rows * count).astype(np.float32)
    expected, got = ([x.copy(), np.zeros(count, np.float32)] for _ in range(2))
    interpret(columns(), expected, [rows, count])
    launch(columns(), [(got, [rows, count], 1)], shape=LaunchShape(team, 1), order=7)
    assert same_bits(expected[1], got[1]).all()


def test_short_rows_share_a_block_and_long_ones_a_team_of_warps() -> None:
    kernel = centred()
    short = shape_of(kernel, [([100, 9000], 9000)], 448)
    long = shape_of(kernel, [([20_000, 9], 9)], 80_000)
    kept = shape_of(kernel, [([8000, 9000], 9000)], 32_000)
    assert (short.team, short.teams, short.shared_bytes) == (32, 8, 0)
    assert (kept.team, kept.teams, kept.shared_bytes) == (256, 1, 0)
    assert (long.team, long.teams, long.shared_bytes) == (256, 1, 80_000)
    assert long.threads <= bounds_of(kernel)[0]


def test_scratch_that_no_block_has_room_for_is_global() -> None:
    shape = shape_of(centred(), [([50_000, 9], 9)], 200_000)
    assert shape.scratch_bytes == 200_000 > MOST_SHARED
    assert shape.shared_bytes == 0


def test_long_rows_have_a_text_of_their_own_that_waits_for_more_at_a_time() -> None:
    texts = []
    for count in (1000, 4000):
        x = Input(aval(float32, (9, count)))
        (source,) = plan_of(Graph((x,), (apply("sum", x, axes=(1,)),), ())).kernels
        texts.append(source.text)
    assert [re.findall(r"int u = 0; u < (\d+)", text)[0] for text in texts] == ["8", "16"]


def test_few_columns_are_shared_among_warps_and_many_are_not() -> None:
    kernel = columns()
    assert shape_of(kernel, [([5000, 64], 1)]).team == 512
    assert shape_of(kernel, [([5000, 1 << 20], 1 << 14)]).team == 32
    assert shape_of(kernel, [([60, 64], 1)]).team == 32


def test_a_map_of_short_runs_has_small_teams() -> None:
    kernel = doubled()
    assert shape_of(kernel, [([16, 1 << 14], 1 << 14)]) == LaunchShape(4, 64)
    assert shape_of(kernel, [([100_000, 100], 100)]).team == 256


def test_a_task_with_nothing_to_share_is_a_thread() -> None:
    s, count, tasks = ScalarBuilder(), Size("count"), Size("tasks")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(tasks, Kind.PARALLEL) as task:
        with s.fold(0, count, Tree.SERIAL) as fold:
            total = fold.join(Combine.SUM, s.load(x, Address(((fold.index, tasks), (task, 1)))))
        s.store(out, Address(((task, 1),)), total)
    kernel = Kernel((x, out), (count, tasks), (), tuple(body))
    assert shape_of(kernel, [([64, 1 << 16], 1 << 16)]) == LaunchShape(1, 256)
    assert_emitted_as_interpreted(
        kernel, EMULATED, [samples(float32, 70), np.zeros(10, np.float32)], [7, 10], tasks=10
    )


def test_few_tasks_are_spread_over_the_processors() -> None:
    rows, maps = centred(), doubled()
    assert shape_of(rows, [([100, 200], 200)], 448) == LaunchShape(32, 1)
    assert shape_of(maps, [([16, 200], 200)]) == LaunchShape(4, 8)


def test_tasks_that_read_across_memory_are_neighbours_in_a_block() -> None:
    """A transpose: what eight tasks read side by side is one sector of memory."""
    s, size, tasks = ScalarBuilder(), Size("n"), Size("tasks")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(tasks, Kind.PARALLEL) as row, s.loop(size, Kind.VECTOR) as i:
        value = s.load(x, Address(((i, tasks), (row, 1))))
        s.store(out, Address(((row, size), (i, 1))), value)
    kernel = Kernel((x, out), (size, tasks), (), tuple(body))
    many, few = (shape_of(kernel, [([4096, count], count)]) for count in (4096, 100))
    assert (many.team, many.teams) == (32, 8)
    assert few.team == 256


# what the emulation finds


def test_an_address_past_an_array_is_found_with_its_thread() -> None:
    skip_unless_emulated()
    kernel = doubled()
    arrays = [guarded(np.ones(40, np.float32)), guarded(np.ones(39, np.float32), aligned=False)]
    with pytest.raises(
        EmulationError, match=r"invalid address .*: block 1, thread \(0, 9\)|invalid address"
    ):
        launch(kernel, [(arrays, [40, 1], 1)])


HEAD = "struct Segments { long long unused; };\n"


def test_a_barrier_that_some_threads_miss_is_found() -> None:
    skip_unless_emulated()
    text = HEAD + (
        'extern "C" __global__ void stuck(const __grid_constant__ Segments s) '
        "{ if (threadIdx.x < 16) __syncwarp(); __syncthreads(); }"
    )
    with pytest.raises(EmulationError, match="deadlock: block 0: 16 of 32 living threads"):
        load(text, "stuck")(1, (32, 1), 0, bytes(8))


def test_shared_memory_written_past_its_end_is_found() -> None:
    skip_unless_emulated()
    text = HEAD + (
        'extern "C" __global__ void over(const __grid_constant__ Segments s) '
        "{ extern __shared__ __align__(16) char shared[]; shared[threadIdx.x] = 1; __syncthreads(); }"
    )
    run = load(text, "over")
    run(1, (64, 1), 64, bytes(8))
    with pytest.raises(EmulationError, match="wrote past its 32 bytes"):
        run(1, (64, 1), 32, bytes(8))
