"""Emitted folds against the interpreter, and against array operations, bit for bit."""

from __future__ import annotations

import re

import llvmlite.binding as llvm
import numpy as np
import pytest

from tests.codegen.harness import MACHINES, WIDEST, Machine
from tests.codegen.kernels import EMITTED, assert_emitted_as_interpreted, at, run, samples
from tracejit.codegen.kernel.builder import ScalarBuilder, constant
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.interpret import interpret
from tracejit.codegen.kernel.ir import Address, Buffer, Combine, Kernel, Kind, Size, Tree
from tracejit.codegen.llvm.emit import emit
from tracejit.dtypes import DType, bool_, float32, float64, int8, int32, int64, uint64

NUMBERS = (Combine.SUM, Combine.PROD, Combine.MAX, Combine.MIN, Combine.ARGMAX, Combine.ARGMIN)
TRUTHS = (Combine.ANY, Combine.ALL, Combine.MAX, Combine.ARGMIN)

WIDTHS = {"avx2": 8, "avx512": 4}
"""Vectors of 64 columns of float32."""

machines = pytest.mark.parametrize("machine", EMITTED, ids=lambda machine: machine.target.name)


def result_dtype(combine: Combine, dtype: DType) -> DType:
    return int64 if combine in (Combine.ARGMAX, Combine.ARGMIN) else dtype


def combines(dtype: DType) -> tuple[Combine, ...]:
    return TRUTHS if dtype is bool_ else NUMBERS


def row_folds(dtype: DType, tree: Tree, every: tuple[Combine, ...] = ()) -> Kernel:
    """Each task folds one row of x[tasks, n] by every combine."""
    every = every or combines(dtype)
    s, size = ScalarBuilder(), Size("n")
    x = Buffer(dtype, "x")
    outs = [Buffer(result_dtype(combine, dtype), "out", written=True) for combine in every]
    with s.block() as body, s.loop(2, Kind.PARALLEL) as row:
        with s.fold(0, size, tree) as fold:
            value = s.load(x, Address(((row, size), (fold.index, 1))))
            results = [fold.join(combine, value) for combine in every]
        for out, result in zip(outs, results, strict=True):
            s.store(out, at(row), result)
    return Kernel((x, *outs), (size,), (), tuple(body))


def each_machine(*dtypes: DType) -> pytest.MarkDecorator:
    """The widest vectors with every dtype, and the others with the first and the last."""
    cases = [
        pytest.param(machine, dtype, id=f"{dtype}-{machine.target.name}")
        for machine in EMITTED
        for dtype in dtypes
        if machine is WIDEST or dtype in (dtypes[0], dtypes[-1])
    ]
    return pytest.mark.parametrize(("machine", "dtype"), cases)


@pytest.mark.parametrize("tree", Tree, ids=lambda tree: tree.value)
@each_machine(float64, float32, int32, uint64, bool_)
def test_folds_along_rows_follow_their_tree(machine: Machine, dtype: DType, tree: Tree) -> None:
    kernel = row_folds(dtype, tree)
    for count in (0, 1, 17, 63, 64, 65, 150):
        outs = [np.zeros(2, result_dtype(combine, dtype).numpy) for combine in combines(dtype)]
        arrays = [samples(dtype, 2 * count, count), *outs]
        assert_emitted_as_interpreted(kernel, machine, arrays, [count], tasks=2)


@each_machine(float64, float32, int32, uint64, bool_)
def test_searches_alone_need_no_indices_in_short_rows(machine: Machine, dtype: DType) -> None:
    kernel = row_folds(dtype, Tree.LANES, (Combine.ARGMAX, Combine.ARGMIN))
    for count in (0, 1, 17, 63, 64, 65, 150):
        for seed in range(4):
            arrays = [samples(dtype, 2 * count, seed), *np.zeros((2, 2), np.int64)]
            assert_emitted_as_interpreted(kernel, machine, arrays, [count], tasks=2)


@pytest.mark.parametrize("tree", [Tree.LANES, Tree.ROWS], ids=lambda tree: tree.value)
@pytest.mark.parametrize("count", [4096, 4161])
def test_blocks_are_joined_in_order(count: int, tree: Tree) -> None:
    outs = [np.zeros(2, result_dtype(combine, float32).numpy) for combine in NUMBERS]
    arrays = [samples(float32, 2 * count, count), *outs]
    assert_emitted_as_interpreted(row_folds(float32, tree), WIDEST, arrays, [count], tasks=2)


@pytest.mark.parametrize("tree", [Tree.LANES, Tree.ROWS], ids=lambda tree: tree.value)
def test_a_long_fold_joins_superblocks_in_order(tree: Tree) -> None:
    s, size = ScalarBuilder(), Size("n")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(1, Kind.PARALLEL):
        with s.fold(0, size, tree) as fold:
            total = fold.join(Combine.SUM, s.load(x, at(fold.index)))
        s.store(out, Address(), total)
    kernel = Kernel((x, out), (size,), (), tuple(body))
    count = 262_144 + 5
    values = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    got = np.zeros(1, np.float32)
    run(kernel, WIDEST, [values, got], [count], tasks=1)
    assert got[0] == sum_by_tree(values, tree)


def sum_by_tree(values: np.ndarray, tree: Tree) -> np.float32:
    """The tree of a sum written with array operations."""
    lanes = 64 if tree is Tree.LANES else 1
    nothing = np.float32(-0.0)
    total = nothing
    for first in range(0, values.size, tree.superblock):
        superblock = nothing
        for start in range(first, min(first + tree.superblock, values.size), tree.block):
            block = values[start : min(start + tree.block, values.size)]
            padded = np.full(-(-block.size // lanes) * lanes, nothing)
            padded[: block.size] = block
            accumulators = np.full(lanes, nothing)
            for row in padded.reshape(-1, lanes):
                accumulators = accumulators + row
            while accumulators.size > 1:
                half = accumulators.size // 2
                accumulators = accumulators[:half] + accumulators[half:]
            superblock = superblock + accumulators[0]
        total = total + superblock
    return total


@machines
def test_part_of_a_fold_starts_at_a_superblock(machine: Machine) -> None:
    s = ScalarBuilder()
    start, stop = Size("start"), Size("stop")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(1, Kind.PARALLEL):
        with s.fold(start, stop, Tree.ROWS) as fold:
            total = fold.join(Combine.SUM, s.load(x, at(fold.index)))
        s.store(out, Address(), total)
    kernel = Kernel((x, out), (start, stop), (), tuple(body))
    arrays = [samples(float32, 5000), np.zeros(1, np.float32)]
    assert_emitted_as_interpreted(kernel, machine, arrays, [4096, 4999])


def column_folds(dtype: DType, tree: Tree) -> Kernel:
    """x[rows, n] folded down its columns by every combine, columns in vectors; and a result that all columns share."""
    s, rows, size = ScalarBuilder(), Size("rows"), Size("n")
    x = Buffer(dtype, "x")
    outs = [
        Buffer(result_dtype(combine, dtype), "out", written=True) for combine in combines(dtype)
    ]
    shared = Buffer(int64, "shared", written=True)
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.loop(size, Kind.VECTOR) as column:
        with s.fold(0, rows, tree) as fold:
            value = s.load(x, Address(((fold.index, size), (column, 1))))
            results = [fold.join(combine, value) for combine in combines(dtype)]
            last = fold.join(Combine.MAX, s.element(fold.index))
        for out, result in zip(outs, results, strict=True):
            s.store(out, at(column), result)
        s.store(shared, at(column), last + 1)
    return Kernel((x, *outs, shared), (rows, size), (), tuple(body))


@pytest.mark.parametrize("tree", [Tree.ROWS, Tree.SERIAL], ids=lambda tree: tree.value)
@each_machine(float32, float64, int8, bool_)
def test_folds_down_columns_keep_lanes_apart(machine: Machine, dtype: DType, tree: Tree) -> None:
    kernel = column_folds(dtype, tree)
    for rows, count in ((0, 5), (1, 64), (3, 83), (65, 17)):
        outs = [np.zeros(count, result_dtype(combine, dtype).numpy) for combine in combines(dtype)]
        arrays = [samples(dtype, rows * count, count), *outs, np.zeros(count, np.int64)]
        assert_emitted_as_interpreted(kernel, machine, arrays, [rows, count])


@machines
def test_a_fold_of_no_results_is_a_loop_of_stores(machine: Machine) -> None:
    s, rows, size = ScalarBuilder(), Size("rows"), Size("n")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with (
        s.block() as body,
        s.loop(1, Kind.PARALLEL),
        s.loop(size, Kind.VECTOR) as column,
        s.fold(0, rows, Tree.SERIAL) as fold,
    ):
        here = Address(((fold.index, size), (column, 1)))
        s.store(out, here, s.load(x, here) * s.cast(s.element(fold.index), float32))
    kernel = Kernel((x, out), (rows, size), (), tuple(body))
    arrays = [samples(float32, 700), np.zeros(700, np.float32)]
    assert_emitted_as_interpreted(kernel, machine, arrays, [10, 70])


def sequences(dtype: DType) -> Kernel:
    """Down each column a, b = b, a + b from (x, 1) on, and c, which all columns share; what they are, and what is left."""
    s, rows, size = ScalarBuilder(), Size("rows"), Size("n")
    x = Buffer(dtype, "x")
    out, last = Buffer(dtype, "out", written=True), Buffer(dtype, "last", written=True)
    with s.block() as body, s.loop(2, Kind.PARALLEL) as task, s.loop(size, Kind.VECTOR) as column:
        first = s.load(x, Address(((task, size), (column, 1))))
        with s.fold(0, rows, Tree.SERIAL) as fold:
            a, b = fold.carry(first.operand), fold.carry(constant(1, dtype))
            c = fold.carry(constant(3, dtype))
            row = s.let(Fn.ADD, int64, s.let(Fn.MUL, int64, task, rows).operand, fold.index)
            place = Address(((row.operand, size), (column, 1)))  # type: ignore[arg-type]
            s.store(out, place, a + c)
            left = [fold.hand_on(a, b), fold.hand_on(b, a + b), fold.hand_on(c, c + c)]
        total = s.add(s.add(left[0], left[1]), left[2])
        s.store(last, Address(((task, size), (column, 1))), total)
    return Kernel((x, out, last), (rows, size), (), tuple(body))


@each_machine(float32, float64, int8, int64)
def test_columns_hand_on_scalars(machine: Machine, dtype: DType) -> None:
    for rows, count in ((0, 5), (1, 64), (9, 83)):
        outs = [np.zeros(2 * n, dtype.numpy) for n in (rows * count, count)]
        arrays = [samples(dtype, 2 * count, count), *outs]
        assert_emitted_as_interpreted(sequences(dtype), machine, arrays, [rows, count], tasks=2)


@machines
def test_a_fold_hands_on_what_vectors_in_it_use(machine: Machine) -> None:
    s, rows, size = ScalarBuilder(), Size("rows"), Size("n")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.fold(0, rows, Tree.SERIAL) as fold:
        before = fold.carry(constant(2, float32))
        with s.loop(size, Kind.VECTOR) as column:
            here = Address(((fold.index, size), (column, 1)))
            s.store(out, here, s.load(x, here) * before)
        fold.hand_on(before, before + s.load(x, at(fold.index, size)))
    kernel = Kernel((x, out), (rows, size), (), tuple(body))
    for count in (1, 70):
        arrays = [samples(float32, 10 * count), np.zeros(10 * count, np.float32)]
        assert_emitted_as_interpreted(kernel, machine, arrays, [10, count])


def long_column_folds() -> Kernel:
    """(x * scale[row] - y) * x + y ..., stored, and its sum and greatest value down each column, 64 columns a task."""
    s, rows, size = ScalarBuilder(), Size("rows"), Size("n")
    x, y, scale = (Buffer(float32, name) for name in ("x", "y", "scale"))
    out, total, most = (Buffer(float32, name, written=True) for name in ("out", "total", "most"))
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.loop(size, Kind.VECTOR) as column:
        with s.fold(0, rows, Tree.ROWS) as fold:
            here = Address(((fold.index, size), (column, 1)))
            a, b, factor = s.load(x, here), s.load(y, here), s.load(scale, at(fold.index))
            value = a * factor - b
            for _ in range(8):
                value = value * a + b
            s.store(out, here, value)
            results = [fold.join(combine, value) for combine in (Combine.SUM, Combine.MAX)]
        for target, result in zip((total, most), results, strict=True):
            s.store(target, at(column), result)
    return Kernel((x, y, scale, out, total, most), (rows, size), (), tuple(body))


@machines
def test_long_bodies_go_down_columns_vector_by_vector(machine: Machine) -> None:
    for rows, count in ((0, 64), (1, 5), (67, 64), (130, 195)):
        arrays = [samples(float32, rows * count, seed) for seed in (1, 2)]
        arrays += [samples(float32, rows), np.zeros(rows * count, np.float32)]
        arrays += [np.zeros(count, np.float32) for _ in range(2)]
        assert_emitted_as_interpreted(long_column_folds(), machine, arrays, [rows, count])


@pytest.mark.parametrize(("name", "registers"), [("avx2", 16), ("avx512", 32)])
def test_what_goes_down_columns_stays_in_registers(name: str, registers: int) -> None:
    """Per row each vector's two accumulators may be kept in memory, but what is computed on the way may not."""
    machine = MACHINES[name]
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    processor = llvm.Target.from_triple("x86_64-unknown-linux-gnu").create_target_machine(
        cpu=machine.cpu, opt=2
    )
    text = emit(long_column_folds(), "kernel", machine.target)
    assembly = processor.emit_assembly(llvm.parse_assembly(text, llvm.create_context()))
    (loop,) = [
        block for block in assembly.split("\n.LBB") if block.count("prefetcht0") == 2 * WIDTHS[name]
    ]
    spilled = re.findall(r"vmov\w+\s+%[xyz]mm\d+, -?\d*\(%rsp\)", loop)
    accumulators = 2 * WIDTHS[name]
    assert len(spilled) <= (accumulators if accumulators > registers // 2 else 0)


def test_the_interpreter_hands_on_all_scalars_at_once() -> None:
    out, last = np.zeros(2 * 6, np.int64), np.zeros(2, np.int64)
    interpret(sequences(int64), [np.zeros(2, np.int64), out, last], [6, 1])
    assert out.tolist() == [3, 7, 13, 26, 51, 101] * 2
    assert last.tolist() == [8 + 13 + 192] * 2
