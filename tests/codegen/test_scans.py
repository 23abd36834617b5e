"""Kernels of scans: every back end against the interpreter, and their order of additions against array operations."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from tests.codegen.harness import Machine
from tests.codegen.kernels import EMITTED, EMULATED, assert_emitted_as_interpreted, samples
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.codegen.kernel.grain import CORES, WARPS, Grain
from tracejit.codegen.kernel.interpret import interpret
from tracejit.codegen.kernel.nest import Lowered
from tracejit.codegen.kernel.scan import lower_scan
from tracejit.codegen.kernel.verify import verify
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.cluster import Owner, Temporary
from tracejit.ir.graph import Apply, Input, Node
from tracejit.ops.op import Layout
from tracejit.ops.scan import linear_scan
from tracejit.passes.layouts import row_major

SHAPES = {
    "one element": ((1,), 0),
    "a block": ((32,), 0),
    "blocks and a rest": ((203,), 0),
    "two superblocks": ((1100,), 0),
    "rows": ((9, 7), 1),
    "rows of blocks": ((3, 70), 1),
    "columns": ((5, 70), 0),
    "columns of blocks": ((75, 9), 0),
    "columns of superblocks": ((1030, 9), 0),
    "in the middle": ((2, 40, 3), 1),
    "two on each side": ((2, 3, 5, 2, 4), 2),
}
OPS = ("cumulative_sum", "cumulative_prod", "linear_scan")


def scan(op: str, shape: tuple[int, ...], axis: int, dtype: DType) -> Apply:
    arguments = [Input(aval(dtype, shape)) for _ in range(2 if op == linear_scan.name else 1)]
    return apply(op, *arguments, axis=axis)


def turned(shape: tuple[int, ...]) -> Layout:
    """Every other element of an array of reversed dimensions, the first one backwards."""
    first, *others = (2 * prod(shape[:axis]) for axis in range(len(shape)))
    return Layout(shape, (-first, *others), first * (shape[0] - 1))


class Run:
    """The launches of a scan, each checked by itself on the memory that those before it left."""

    def __init__(self, node: Apply, *, is_turned: bool, grain: Grain) -> None:
        self.layouts: dict[Node, Layout] = {
            source: (turned if is_turned else row_major)(source.aval.sizes)
            for source in node.inputs
        }
        self.layouts[node] = row_major(node.aval.sizes)
        self.node = node
        self.launches = lower_scan(node, lambda value: (value, self.layouts[value]), grain)
        self.memory: dict[Owner, np.ndarray] = {
            source: samples(source.aval.dtype, 2 * source.aval.size, seed)
            for seed, source in enumerate(node.inputs)
        }

    def arrays(self, launch: Lowered) -> tuple[list[np.ndarray], list[int]]:
        for owner, _ in launch.arguments:
            if owner not in self.memory:
                elements = owner.elements if isinstance(owner, Temporary) else owner.aval.size
                dtype = owner.dtype if isinstance(owner, Temporary) else owner.aval.dtype
                self.memory[owner] = np.full(elements, 0x55, dtype.numpy)
        owners, origins = zip(*launch.arguments, strict=True)
        return [self.memory[owner] for owner in owners], list(origins)

    def interpreted(self) -> np.ndarray:
        for launch in self.launches:
            arrays, origins = self.arrays(launch)
            with np.errstate(all="ignore"):
                interpret(verify(launch.kernel), arrays, launch.dims, origins)
        return self.memory[self.node]

    def emitted(self, machine: Machine) -> np.ndarray:
        for launch in self.launches:
            arrays, origins = self.arrays(launch)
            with np.errstate(all="ignore"):
                after = assert_emitted_as_interpreted(
                    launch.kernel,
                    machine,
                    arrays,
                    launch.dims,
                    tasks=launch.tasks,
                    origins=origins,
                )
            self.memory |= {
                owner: array for (owner, _), array in zip(launch.arguments, after, strict=True)
            }
        return self.memory[self.node]


@pytest.mark.parametrize("is_turned", [False, True], ids=["in order", "turned"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("machine", EMITTED, ids=lambda machine: machine.target.name)
def test_kernels_give_the_interpreters_bits(
    machine: Machine, op: str, shape: str, is_turned: bool
) -> None:
    node = scan(op, *SHAPES[shape], dtypes.float32)
    Run(node, is_turned=is_turned, grain=WARPS if machine is EMULATED else CORES).emitted(machine)


@pytest.mark.parametrize(
    "dtype", [d for d in dtypes.NUMERIC if d is not dtypes.float32], ids=lambda dtype: dtype.name
)
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("machine", [EMITTED[0], EMULATED], ids=lambda m: m.target.name)
def test_kernels_take_every_dtype(machine: Machine, op: str, dtype: DType) -> None:
    grain = WARPS if machine is EMULATED else CORES
    for shape in ("blocks and a rest", "two superblocks", "columns"):
        Run(scan(op, *SHAPES[shape], dtype), is_turned=False, grain=grain).emitted(machine)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("op", OPS)
def test_how_work_is_cut_changes_no_bit(op: str, shape: str) -> None:
    node = scan(op, *SHAPES[shape], dtypes.float32)
    cores, warps, turned = (
        Run(node, is_turned=is_turned, grain=grain)
        for grain, is_turned in ((CORES, False), (WARPS, False), (CORES, True))
    )
    for source in node.inputs:  # the same elements, elsewhere
        layout = turned.layouts[source]
        seen = np.lib.stride_tricks.as_strided(
            turned.memory[source][layout.offset :],
            layout.shape,
            [4 * stride for stride in layout.strides],
        )
        seen[...] = cores.memory[source][: source.aval.size].reshape(layout.shape)
    expected = cores.interpreted()
    for other in (warps, turned):
        np.testing.assert_array_equal(expected, other.interpreted())


@pytest.mark.parametrize("count", [1, 31, 33, 1024, 2500])
def test_running_sums_are_added_up_in_blocks(count: int) -> None:
    run = Run(scan("cumulative_sum", (count,), 0, dtypes.float32), is_turned=False, grain=CORES)
    (source,) = run.node.inputs
    values = np.random.default_rng(count).standard_normal(2 * count).astype(np.float32)
    run.memory[source] = values
    np.testing.assert_array_equal(run.interpreted(), by_blocks(values[:count]))


def by_blocks(values: np.ndarray) -> np.ndarray:
    """Blocks of 32 and superblocks of 1024, by array operations."""
    sums = np.concatenate([superblock(values[n : n + 1024]) for n in range(0, values.size, 1024)])
    totals = sums[1023:-1:1024]
    for number, before in enumerate(by_blocks(totals) if totals.size else ()):
        sums[1024 * (number + 1) : 1024 * (number + 2)] += before
    return sums


def superblock(values: np.ndarray) -> np.ndarray:
    sums, before = [], np.float32(-0.0)
    for first in range(0, values.size, 32):
        block = np.add.accumulate(values[first : first + 32])
        sums.append(before + block)
        before = before + block[-1]
    return np.concatenate(sums)


def launch_count(shape: tuple[int, ...], axis: int, op: str) -> int:
    node = scan(op, shape, axis, dtypes.float64)
    return len(lower_scan(node, lambda value: (value, row_major(value.aval.sizes))))


def test_only_long_sums_take_several_launches() -> None:
    assert launch_count((1024,), 0, "cumulative_sum") == 1
    assert launch_count((1025, 5), 0, "cumulative_sum") == 3
    assert launch_count((3, 1024 * 1024 + 1024), 1, "cumulative_sum") == 3
    assert launch_count((3, 1024 * 1024 + 1025), 1, "cumulative_sum") == 5
    assert launch_count((10**6,), 0, "cumulative_prod") == 1
    assert launch_count((3, 0, 2), 1, "cumulative_sum") == 0
