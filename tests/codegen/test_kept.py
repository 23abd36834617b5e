"""What of a row a GPU keeps near: read once, in as little room as the loops allow, and not at all where it does not fit."""

from __future__ import annotations

from tests.codegen.cuda.test_graphs import array, softmax
from tests.emulation.plans import plan_of
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.codegen.kernel.grain import WARPS
from tracejit.codegen.kernel.hoist import stored_buffers
from tracejit.codegen.kernel.ir import Kernel
from tracejit.codegen.kernel.kept import near_places, places
from tracejit.compiler import cuda
from tracejit.ir.graph import Graph, Node


def kernel_of(*outputs: Node, x: Node) -> Kernel:
    """The one kernel of a step for a GPU."""
    (source,) = plan_of(Graph((x,), outputs, ())).kernels  # type: ignore[arg-type]
    return cuda._kernels[source.name.split("_")[0]]


def test_what_becomes_of_a_row_takes_its_place() -> None:
    x = array(64, 1000)
    kernel = kernel_of(softmax(x), x=x)
    (place,) = kernel.scratch
    stores = [buffer for loop in kernel.body for buffer in stored_buffers(loop.body)]
    assert stores.count(place) == 2


def test_a_row_of_another_dtype_has_a_place_of_its_own() -> None:
    x = array(64, 1000, dtype=dtypes.float16)
    wide = apply("astype", x, dtype=dtypes.float32)
    kernel = kernel_of(softmax(wide), x=x)
    assert sorted(str(buffer.dtype) for buffer in kernel.scratch) == ["f16", "f32"]


def test_a_row_that_one_loop_reads_is_not_kept() -> None:
    x = array(64, 1000)
    assert not kernel_of(apply("sum", x, axes=(1,)), x=x).scratch


def test_a_row_that_does_not_fit_is_read_again() -> None:
    longest = WARPS.row_bytes // 4
    for extent, count in ((longest, 1), (longest + 1, 0)):
        x = array(3, extent)
        assert len(kernel_of(softmax(x), x=x).scratch) == count


def test_values_share_a_place_only_one_after_another() -> None:
    a, b, c, d = (apply("exp", array(2, 2)) for _ in range(4))
    uses = {a: [0, 1], b: [0, 2], c: [1, 2], d: [2, 3]}
    assert [place.keys for place in places([a, b, c, d], uses)] == [(a, c, d), (b,)]
    assert near_places([a, b], uses, 10, 79) == []
    assert len(near_places([a, b], uses, 10, 80)) == 2
