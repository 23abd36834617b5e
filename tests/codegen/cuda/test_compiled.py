"""A fixed sample of kernels through NVRTC: they compile for sm_80 and sm_90, spill nothing, and keep to their registers."""

from __future__ import annotations

import re

import pytest

from tests.codegen.cuda.test_graphs import layer_norm, softmax
from tests.codegen.test_emit_scalars import one_output_each
from tests.emulation.plans import plan_of
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit._errors import DeviceUnavailable
from tracejit._records import dataclass
from tracejit.codegen.cuda.emit import emit
from tracejit.codegen.cuda.product import product_source
from tracejit.codegen.cuda.product_tile import TILES, Tile
from tracejit.codegen.cuda.vector_product import vector_source
from tracejit.codegen.kernel.fn import COMPARISONS, Fn
from tracejit.codegen.kernel.ir import Kind
from tracejit.codegen.kernel.scalars import takes
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.graph import Effect, Graph, Input, Node
from tracejit.runtime.cuda import nvrtc

ARCHITECTURES = ("sm_80", "sm_90")


@pytest.fixture(autouse=True)
def _has_nvrtc() -> None:
    try:
        nvrtc.library()
    except DeviceUnavailable as error:
        pytest.skip(str(error))


@dataclass(frozen=True, slots=True)
class Cost:
    """What ptxas says of a kernel."""

    registers: int
    spilled: int


def cost(text: str, architecture: str) -> Cost:
    log = nvrtc.compile_text(text, architecture, ("--ptxas-options=-v",)).log
    (entry,) = re.findall(r"Compiling entry function.*?Used (\d+) registers", log, re.DOTALL)
    spilled = sum(map(int, re.findall(r"(\d+) bytes spill (?:stores|loads)", log)))
    return Cost(int(entry), spilled)


def array(*shape: int, dtype: DType = dtypes.float32) -> Input:
    return Input(aval(dtype, shape))


def chain(dtype: DType) -> Graph:
    x, y = array(1000, 999, dtype=dtype), array(1000, 999, dtype=dtype)
    return Graph((x, y), (apply("tanh", apply("add", apply("multiply", x, y), x)),), ())


def rows(make: object, dtype: DType, width: int = 1000) -> Graph:
    x = array(64, width, dtype=dtype)
    return Graph((x,), (make(x),), ())  # type: ignore[operator]


def columns() -> Graph:
    x = array(3000, 1000)
    return Graph((x,), (apply("sum", apply("square", x), axes=(0,)),), ())


def scans(dtype: DType) -> Graph:
    x, y = array(100_000, dtype=dtype), array(500, 900, dtype=dtype)
    running = [apply("cumulative_sum", y, axis=axis) for axis in (0, 1)]
    products = [apply("cumulative_prod", y, axis=axis) for axis in (0, 1)]
    return Graph((x, y), (apply("cumulative_sum", x, axis=0), *running, *products), ())


def adam() -> Graph:
    p, g, m, v = (array(1000, 999) for _ in range(4))

    def mix(a: Node, b: Node) -> Node:
        return apply("add", apply("multiply", a, a), apply("multiply", b, b))

    new_m, new_v = mix(m, g), mix(v, apply("square", g))
    step = apply("divide", new_m, apply("sqrt", new_v))
    effects = (Effect(m, new_m), Effect(v, new_v), Effect(p, apply("subtract", p, step)))
    return Graph((p, g, m, v), (), effects)


GRAPHS = {
    "chain": (chain(dtypes.float32), 64),
    "chain of bfloat16": (chain(dtypes.bfloat16), 80),
    "softmax": (rows(softmax, dtypes.float32), 80),
    "softmax of float16": (rows(softmax, dtypes.float16), 80),
    "softmax of long rows": (rows(softmax, dtypes.float32, 9000), 80),
    "layer norm": (rows(layer_norm, dtypes.float32), 64),
    "columns": (columns(), 64),
    "adam": (adam(), 64),
    "scans": (scans(dtypes.float32), 80),
    "scans of float64": (scans(dtypes.float64), 96),
}
"""Each with the most registers that its kernels may take."""


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", GRAPHS)
def test_main_kernels_spill_nothing(name: str, architecture: str) -> None:
    graph, most = GRAPHS[name]
    for source in plan_of(graph).kernels:
        found = cost(source.text, architecture)
        assert found.spilled == 0
        assert found.registers <= most


@pytest.mark.parametrize("name", ["chain", "chain of bfloat16", "softmax of long rows", "adam"])
def test_aligned_runs_are_read_and_written_sixteen_bytes_at_a_time(name: str) -> None:
    """By the accesses of the text in PTX, which ptxas does not take apart."""
    for source in plan_of(GRAPHS[name][0]).kernels:
        ptx = nvrtc.compile_text(source.text, "compute_90").image.decode()
        assert re.search(r"ld\.(\w+\.)?v4\.", ptx)
        assert "st.global.v4.b32" in ptx


tiles = pytest.mark.parametrize(
    ("dtype", "tile"),
    [
        pytest.param(dtype, tile, id=f"{dtype}-{tile.name}")
        for dtype in TILES
        for tile in TILES[dtype]
    ],
)


@tiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_products_spill_nothing_and_leave_room_for_blocks(
    dtype: str, tile: Tile, architecture: str
) -> None:
    found = cost(product_source(dtype, tile).text, architecture)
    assert found.spilled == 0
    assert found.registers * tile.threads * tile.blocks <= 1 << 16


@tiles
def test_a_step_of_a_product_is_multiply_adds_and_wide_reads(dtype: str, tile: Tile) -> None:
    """The loop over K has them once each, with no branch between them."""
    ptx = nvrtc.compile_text(product_source(dtype, tile).text, "compute_90").image.decode()
    bits = {"float32": 32, "float64": 64}[dtype]
    multiply = f"fma.rn.f{bits}"
    block = max(ptx.split("bar.sync"), key=lambda part: part.count(multiply))
    inner = block[block.index(multiply) : block.rindex(multiply) + len(multiply)]
    # The last step is multiplied after the threads have met.
    steps, run = tile.step - 1, min(tile.down, tile.across, 128 // bits)
    assert inner.count(multiply) == steps * tile.down * tile.across
    assert len(re.findall(r"ld\.shared\.v[24]", inner)) <= steps * (tile.down + tile.across) // run
    assert not re.search(r"\bbra\b", inner)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", TILES)
def test_products_of_vectors_spill_nothing(dtype: str, architecture: str) -> None:
    found = cost(vector_source(dtype).text, architecture)
    assert found.spilled == 0
    assert found.registers <= 64


@pytest.mark.parametrize("source", dtypes.ALL, ids=str)
def test_every_function_and_cast_compiles(source: DType) -> None:
    outputs = [(Fn.CAST, to) for to in dtypes.ALL]
    outputs += [
        (fn, dtypes.bool_ if fn in COMPARISONS else source)
        for fn in Fn
        if takes(fn, source) and fn is not Fn.CAST
    ]
    kernel = one_output_each(source, outputs, Kind.SERIAL)
    assert nvrtc.compile_text(emit(kernel, "kernel"), "sm_90").image
