"""Matrix products agree with NumPy's, and depend on nothing but the values."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracejit._config import config
from tracejit.artifact import Argument, BufferSpec, LaunchSpec, Place, Plan, Segment
from tracejit.runtime.cpu.gemm import gemm_source
from tracejit.runtime.cpu.target import LEVELS, target_level
from tracejit.runtime.gemm import (
    DEPTH,
    DIMS,
    KERNELS,
    MOST_ROWS,
    SCRATCH_BYTES,
    TURNED_ROWS,
    gemm_segment,
)
from tracejit.runtime.program import Program


def product(
    a: np.ndarray, b: np.ndarray, blocks: tuple[int, int] | None = None, depth: int = DEPTH
) -> np.ndarray:
    """a @ b for arrays of 3 dimensions, with the batch of one broadcast, by the kernel of their dtype."""
    batch = max(len(a), len(b))
    (m, k), n = a.shape[1:], b.shape[2]
    level = target_level(config.target or None).name
    dims, tasks, grain = gemm_segment(
        batch, m, n, k, a=strides(a), b=strides(b), depth=depth, level=level
    )
    if blocks:
        dims = (*dims[:4], *blocks, *dims[6:])
        m, n = dims[:2]
        tasks = batch * -(-m // blocks[0]) * -(-n // blocks[1])
    arguments = (Argument(Place.INPUT, 0), Argument(Place.INPUT, 1), Argument(Place.OUTPUT, 0))
    launch = LaunchSpec(
        KERNELS[a.dtype.name], (Segment(arguments, dims, tasks),), grain, SCRATCH_BYTES
    )
    name = a.dtype.name
    specs = [BufferSpec(name, array.shape) for array in (a, b)]
    plan = Plan((), (launch,), tuple(specs), (BufferSpec(name, (batch, m, n)),), ())
    addresses = [int(array.__array_interface__["data"][0]) for array in (a, b)]
    (buffer,) = Program(plan, lambda *_: None).run(addresses)
    return buffer.array(a.dtype, (batch, m, n))


def strides(array: np.ndarray) -> tuple[int, int, int]:
    batch, row, column = (stride // array.itemsize for stride in array.strides)
    return (batch if len(array) > 1 else 0), row, column


def layouts(array: np.ndarray) -> list[np.ndarray]:
    """The same values row-major, column-major, spread out, and read backwards."""
    spread = np.repeat(array, 2, axis=2)[:, :, ::2]
    backwards = array[:, ::-1].copy()[:, ::-1]
    return [array, array.swapaxes(1, 2).copy().swapaxes(1, 2), spread, backwards]


def matrices(dtype: str, *shapes: tuple[int, int, int]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape).astype(dtype) for shape in shapes]


def assert_is_product(result: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    exact = a.astype(np.float64) @ b.astype(np.float64)
    bound = (
        8 * np.finfo(a.dtype).eps * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64))
    )
    assert (np.abs(result - exact) <= bound).all()


@pytest.mark.parametrize("dtype", sorted(KERNELS))
@pytest.mark.parametrize("shape", [(7, 70, 600), (30, 3, 512), (13, 130, 777), (1, 1, 300)])
def test_a_product_goes_on_where_another_has_ended(dtype: str, shape: tuple[int, ...]) -> None:
    m, n, k = shape
    a, b = matrices(dtype, (2, m, k), (2, k, n))
    whole = product(a, b)
    arguments = tuple(Argument(Place.INPUT, place) for place in range(3))
    launches = []
    for start in range(0, k, DEPTH):
        dims, tasks, grain = gemm_segment(
            2, m, n, min(DEPTH, k - start), a=strides(a), b=strides(b), adds=start > 0
        )
        offsets = start * a.itemsize, start * n * a.itemsize, 0
        at = tuple(replace(each, offset=by) for each, by in zip(arguments, offsets, strict=True))
        launches.append(
            LaunchSpec(KERNELS[dtype], (Segment(at, dims, tasks),), grain, SCRATCH_BYTES)
        )
    parts = np.full_like(whole, np.nan)
    specs = tuple(BufferSpec(dtype, array.shape) for array in (a, b, parts))
    plan = Plan((), tuple(launches), specs, (), (), written=(2,))
    Program(plan, lambda *_: None).run([array.ctypes.data for array in (a, b, parts)])
    assert parts.tobytes() == whole.tobytes()


@pytest.mark.parametrize("dtype", sorted(KERNELS))
@pytest.mark.parametrize("level", sorted(LEVELS))
def test_products_agree_with_numpy_on_every_level(dtype: str, level: str) -> None:
    try:
        target_level(level)
    except ValueError as error:
        pytest.skip(str(error))
    with config.scope(target=level):
        for m, n, k in [
            (1, 1, 1),
            (5, 7, 3),
            (13, 70, 300),
            (40, 64, 16),
            (6, 130, 600),
            (300, 9, 17),
            (150, 1, 301),
            (1, 150, 301),
        ]:
            a, b = matrices(dtype, (2, m, k), (2, k, n))
            assert_is_product(product(a, b), a, b)


@settings(max_examples=40)
@given(st.sampled_from(sorted(KERNELS)), *[st.just(1) | st.integers(1, 80)] * 3)
def test_strides_do_not_change_the_bits(dtype: str, m: int, n: int, k: int) -> None:
    a, b = matrices(dtype, (1, m, k), (1, k, n))
    expected = product(a, b)
    for x, y in itertools.product(layouts(a), layouts(b)):
        assert np.array_equal(product(x, y), expected)


@pytest.mark.parametrize("dtype", sorted(KERNELS))
@pytest.mark.parametrize("level", ["avx2", "sse"])
@pytest.mark.parametrize("k", [1, 3, 8, 9, 256, 258, 300])
def test_a_transposed_operand_that_is_turned_gives_the_same_bits(
    dtype: str, level: str, k: int
) -> None:
    try:
        target_level(level)
    except ValueError as error:
        pytest.skip(str(error))
    with config.scope(target=level):
        for m, n in [(1, 64), (7, 200), (8, 64), (77, 65), (132, 130), (141, 64), (300, 63)]:
            a, b = matrices(dtype, (2, m, k), (2, k, n))
            transposed = a.swapaxes(1, 2).copy().swapaxes(1, 2)
            assert np.array_equal(product(transposed, b), product(a, b))


def test_what_is_turned_is_cut_by_rows() -> None:
    """Each block of columns would turn its rows anew."""
    strides = {"a": (0, 1, 1024), "b": (0, 256, 1)}
    dims, tasks, _ = gemm_segment(1, 1024, 256, 1024, level="avx2", **strides)
    named = dict(zip(DIMS, dims))
    assert (named["block_m"], named["block_n"], tasks) == (TURNED_ROWS, 256, 8)
    assert gemm_segment(1, 1024, 256, 1024, level="avx512", **strides)[0] != dims


@pytest.mark.parametrize("dtype", sorted(KERNELS))
def test_threads_and_blocks_do_not_change_the_bits(dtype: str) -> None:
    a, b = matrices(dtype, (1, 130, 600), (1, 600, 200))
    with config.scope(num_threads=1):
        alone = product(a, b)
    with config.scope(num_threads=2):
        together = product(a, b)
        others = [product(a, b, blocks) for blocks in [(12, 64), (130, 64), (24, 200), (7, 5)]]
    assert_is_product(alone, a, b)
    for result in (together, *others):
        assert np.array_equal(result, alone)


def test_an_element_does_not_depend_on_the_rest_of_the_matrix() -> None:
    a, b = matrices("float32", (3, 50, 300), (3, 300, 90))
    whole = product(a, b)
    assert np.array_equal(product(a[1:2, 7:8], b[1:2]), whole[1:2, 7:8])
    assert np.array_equal(product(a[1:2], b[1:2, :, 11:13]), whole[1:2, :, 11:13])


def test_a_batch_of_one_is_broadcast() -> None:
    a, b = matrices("float32", (4, 5, 6), (1, 6, 7))
    assert np.array_equal(product(a, b), product(a, np.repeat(b, 4, axis=0)))


def test_a_column_is_the_column_of_a_wider_product() -> None:
    a, b = matrices("float32", (2, 90, 300), (2, 300, 5))
    assert np.array_equal(product(a, b[:, :, 2:3]), product(a, b)[:, :, 2:3])


def test_a_sum_of_nothing_is_zero() -> None:
    result = product(np.empty((2, 3, 0), np.float32), np.empty((2, 0, 4), np.float32))
    assert result.shape == (2, 3, 4)
    assert (result == 0).all()


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_an_empty_product_has_no_tasks(shape: tuple[int, int, int]) -> None:
    batch, m, n = shape
    assert gemm_segment(batch, m, n, 5, a=(0, 5, 1), b=(0, n, 1))[1] == 0
    assert product(*matrices("float32", (batch, m, 5), (batch, 5, n))).shape == shape


def test_what_is_not_finite_spreads_as_in_numpy() -> None:
    a, b = matrices("float32", (1, 4, 20), (1, 20, 30))
    a[0, 1, 3], b[0, 5, 7] = np.inf, np.nan
    with np.errstate(invalid="ignore"):
        expected = a @ b
    assert np.array_equal(np.isnan(product(a, b)), np.isnan(expected))


@given(*[st.integers(1, 3000)] * 3)
def test_blocks_cover_the_product_and_suit_the_tiles(m: int, n: int, k: int) -> None:
    dims, tasks, grain = gemm_segment(1, m, n, k, a=(0, k, 1), b=(0, n, 1))
    named = dict(zip(DIMS, dims))
    assert named["block_m"] % 12 == 0
    assert named["block_n"] % 64 == 0
    assert tasks == -(-named["M"] // named["block_m"]) * -(-named["N"] // named["block_n"])
    assert named["block_m"] <= MOST_ROWS
    assert grain >= 1


def test_a_large_product_has_work_for_many_threads_and_a_small_one_for_one() -> None:
    assert gemm_segment(1, 1024, 1024, 1024, a=(0, 1024, 1), b=(0, 1024, 1))[1:] >= (16, 1)
    _, tasks, grain = gemm_segment(1, 32, 32, 32, a=(0, 32, 1), b=(0, 32, 1))
    assert tasks <= grain


@pytest.mark.parametrize("dtype", sorted(KERNELS))
@pytest.mark.parametrize(
    ("level", "triple", "cpu"),
    [
        ("sse", "x86_64-unknown-linux-gnu", "x86-64"),
        ("avx2", "x86_64-unknown-linux-gnu", "haswell"),
        ("avx512", "x86_64-unknown-linux-gnu", "skylake-avx512"),
        ("neon", "aarch64-unknown-linux-gnu", "neoverse-n1"),
    ],
)
def test_kernels_compile_for_the_least_processor_of_a_level(
    dtype: str, level: str, triple: str, cpu: str
) -> None:
    text = assembly(dtype, level, triple, cpu)
    called = set(re.findall(r"^\s+(?:callq?|bl)\s+([\w.]+)", text, re.M))
    defined = set(re.findall(r"^(\w+):", text, re.M))
    assert called <= defined | {"memset"}


def assembly(dtype: str, level: str, triple: str, cpu: str, opt: int = 2) -> str:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, opt=opt, reloc="pic", codemodel="small"
    )
    module = llvm.parse_assembly(gemm_source(dtype, LEVELS[level]).text, llvm.create_context())
    return machine.emit_assembly(module)


@pytest.mark.parametrize("dtype", sorted(KERNELS))
@pytest.mark.parametrize(
    ("level", "cpu", "vectors"), [("avx2", "znver3", 2), ("avx512", "znver4", 4)]
)
def test_a_step_of_the_widest_tile_is_arithmetic_loads_and_two_moves(
    dtype: str, level: str, cpu: str, vectors: int
) -> None:
    text = assembly(dtype, level, "x86_64-unknown-linux-gnu", cpu, opt=1)
    tile = text[text.index(f"\ntile_{vectors}_6:") :]
    step = re.search(r"\.p2align.*\n\.LBB\w+:\n((?:\t.*\n)*?\tj\w+)", tile)[1]
    count = Counter(re.sub("[ps][sd]$", "", line.split()[0]) for line in step.splitlines())
    arithmetic = {"vfmadd231": 6 * vectors, "vbroadcast": 6, "vmovu": vectors}
    assert count == arithmetic | {"addq": 2, "incq": 1, "cmpq": 1, "jl": 1}
    assert "%rsp" not in step


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("depth", [1, 3, 16, 100])
def test_parts_of_another_depth_are_products_that_are_added(depth: int, dtype: str):
    for m, n, k in ((5, 7, 3), (40, 130, 64), (1, 65, 50), (33, 1, 200), (14, 66, 257)):
        a, b = matrices(dtype, (2, m, k), (2, k, n))
        parts = [
            product(a[:, :, start : start + depth], b[:, start : start + depth])
            for start in range(0, k, depth)
        ]
        expected = parts[0].copy()
        for part in parts[1:]:
            expected += part
        for left, right in zip(layouts(a), layouts(b)):
            assert product(left, right, depth=depth).tobytes() == expected.tobytes()
