"""Products finished by their kernels, under the emulation: the CPU program's bits, in fewer launches."""

from __future__ import annotations

from random import Random

import pytest

from tests.codegen.cuda.test_compiled import ARCHITECTURES, cost
from tests.codegen.cuda.test_graphs import array, assert_same_as_cpu
from tests.compiler.programs import product_graph
from tests.emulation.plans import plan_of
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit._errors import DeviceUnavailable
from tracejit.artifact import LaunchSpec
from tracejit.codegen.cuda.product_tile import tile_of
from tracejit.compiler.cuda import Cuda
from tracejit.dtypes import DType
from tracejit.ir.graph import Effect, Graph, Input, Node
from tracejit.runtime.cuda import nvrtc

SIZES = ((33, 20, 70), (130, 5, 66), (64, 0, 40), (40, 600, 136), (2, 3, 2))
"""m, k, n: none a multiple of a tile, one of no sums, one of several parts."""


def launches(graph: Graph) -> list[LaunchSpec]:
    return [step for step in plan_of(graph).steps if isinstance(step, LaunchSpec)]


def assert_is_one_launch(graph: Graph, count: int = 1) -> None:
    assert len(launches(graph)) == count
    assert_same_as_cpu(graph)


def product(m: int, k: int, n: int, dtype: DType = dtypes.float32) -> tuple[Input, Input, Node]:
    x, w = array(m, k, dtype=dtype), array(k, n, dtype=dtype)
    return x, w, apply("matmul", x, w)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64], ids=str)
def test_bias_activation_and_residual(size: tuple[int, int, int], dtype: DType) -> None:
    x, w, y = product(*size, dtype)
    bias, residual = array(size[2], dtype=dtype), array(size[0], size[2], dtype=dtype)
    out = apply("add", apply("tanh", apply("add", y, bias)), residual)
    assert_is_one_launch(Graph((x, w, bias, residual), (out,), ()))


def test_masks_scales_and_other_dtypes() -> None:
    x, w, y = product(70, 40, 33)
    mask, scale = array(70, 33, dtype=dtypes.bool_), array(70, 1)
    scaled = apply("multiply", y, scale)
    chosen = apply("where", mask, scaled, apply("negative", scaled))
    casts = [apply("astype", chosen, dtype=dtype) for dtype in (dtypes.float16, dtypes.int64)]
    outputs = (chosen, apply("less", chosen, scale), *casts)
    assert_is_one_launch(Graph((x, w, mask, scale), outputs, ()))


def test_what_others_read_is_stored_as_well() -> None:
    x, w, y = product(40, 30, 50)
    graph = Graph((x, w), (y, apply("exp", y)), ())
    assert_is_one_launch(graph)
    totals = apply("sum", y, axes=(0,))
    assert_is_one_launch(Graph((x, w), (apply("tanh", y), totals), ()), count=2)


def test_transposed_operands() -> None:
    x, w = array(50, 40), array(60, 50)
    y = apply("matmul", apply("permute", x, axes=(1, 0)), apply("permute", w, axes=(1, 0)))
    assert_is_one_launch(Graph((x, w), (apply("tanh", y),), ()))


def test_a_reader_of_other_elements_runs_by_itself() -> None:
    x, w, y = product(40, 30, 40)
    turned = apply("permute", y, axes=(1, 0))
    assert_is_one_launch(Graph((x, w), (apply("add", y, turned),), ()), count=2)
    flat = apply("reshape", y, shape=(1600,))
    assert_is_one_launch(Graph((x, w), (apply("tanh", flat),), ()), count=2)
    one = apply("slice", y, start=(3, 4), stop=(4, 5), step=(1, 1))
    scalar = apply("exp", apply("reshape", one, shape=()))
    assert_is_one_launch(Graph((x, w), (scalar,), ()), count=2)


@pytest.mark.parametrize("shared", [False, True])
def test_batches(shared: bool) -> None:
    x, w = array(3, 2, 20, 30), array(*(() if shared else (3, 2)), 30, 17)
    y = apply("matmul", x, w)
    bias, other = array(17), array(2, 1, 1)
    graph = Graph((x, w, bias, other), (apply("add", apply("multiply", y, other), bias),), ())
    assert_is_one_launch(graph)


def test_heads_that_lie_side_by_side() -> None:
    q, k = array(3, 20, 2, 9), array(3, 20, 2, 9)
    left, right = apply("permute", q, axes=(0, 2, 1, 3)), apply("permute", k, axes=(0, 2, 3, 1))
    mask = array(3, 1, 1, 20, dtype=dtypes.bool_)
    scores = apply("matmul", left, right)
    masked = apply("where", mask, scores, apply("negative", scores))
    assert_is_one_launch(Graph((q, k, mask), (masked,), ()))


def test_two_products_of_one_sum() -> None:
    x, w, y = product(40, 30, 50)
    h, u, z = product(40, 20, 50)
    graph = Graph((x, w, h, u), (apply("tanh", apply("add", y, z)),), ())
    assert_is_one_launch(graph, count=2)


def test_an_update_in_place_of_another_array() -> None:
    x, w, y = product(40, 30, 50)
    total = array(40, 50)
    assert_is_one_launch(Graph((x, w, total), (), (Effect(total, apply("add", total, y)),)))


def test_an_update_of_an_operand_waits_for_the_product() -> None:
    x, w, y = product(40, 40, 40)
    new = apply("tanh", y)
    assert_is_one_launch(Graph((x, w), (new,), (Effect(x, apply("add", x, new)),)), count=2)
    assert_same_as_cpu(Graph((x, w), (), (Effect(w, apply("add", x, y)),)))


def test_indices_and_coordinates() -> None:
    x, w, y = product(40, 30, 50)
    table, indices = array(9), array(50, dtype=dtypes.int64)
    rows = apply("take", table, indices, axis=0)
    assert_same_as_cpu(Graph((x, w, table, indices), (apply("add", y, rows),), ()))


def test_alike_products_are_one_launch() -> None:
    """Of other sizes, too."""
    inputs: list[Input] = []
    outputs: list[Node] = []
    for m, k, n in ((40, 30, 50), (20, 33, 31), (5, 9, 2)):
        x, w, y = product(m, k, n)
        bias = array(n)
        inputs += [x, w, bias]
        outputs.append(apply("tanh", apply("add", y, bias)))
    assert_is_one_launch(Graph(tuple(inputs), tuple(outputs), ()))


def test_the_product_is_not_in_memory() -> None:
    x, w, y = product(300, 20, 300)
    bias = array(300)
    (launch,) = launches(Graph((x, w, bias), (apply("add", y, bias),), ()))
    assert launch.nbytes == 4 * (300 * 20 + 20 * 300 + 300 + 300 * 300)
    assert plan_of(Graph((x, w, bias), (apply("add", y, bias),), ())).arena_bytes == 0


@pytest.mark.parametrize("seed", range(10))
def test_random_graphs_of_products(seed: int) -> None:
    rnd = Random(seed)
    assert_same_as_cpu(product_graph(rnd, rnd.choice((dtypes.float32, dtypes.float64))), seed)


def finished(name: str, m: int, n: int) -> Graph:
    """A product and what its kernel does besides."""
    x, w, y = product(m, 300, n)
    if name == "update":
        state = [array(m, n) for _ in range(3)]
        kept, scale, moment = (apply("add", each, apply("multiply", y, y)) for each in state)
        new = apply("divide", kept, apply("add", apply("sqrt", scale), moment))
        effects = (Effect(state[0], new), Effect(state[1], scale), Effect(state[2], moment))
        return Graph((x, w, *state), (), effects)
    bias = array(n)
    z = apply("add", y, bias)
    out = z if name == "bias" else apply("multiply", z, apply("erf", z))
    return Graph((x, w, bias), (out,), ())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("name", "m", "n"),
    [
        ("bias", 4096, 2048),
        ("bias", 1024, 1024),
        ("bias", 512, 512),
        ("bias", 128, 512),
        ("gelu", 4096, 2048),
        ("update", 2048, 2048),
    ],
)
def test_they_spill_nothing(name: str, m: int, n: int, architecture: str) -> None:
    try:
        nvrtc.library()
    except DeviceUnavailable as error:
        pytest.skip(str(error))
    graph = finished(name, m, n)
    ((launch,), (source,)) = launches(graph), plan_of(graph).kernels
    found = cost(source.text, architecture)
    assert launch.shape is not None
    assert launch.shape.team == tile_of("float32", 1, m, n).threads
    assert found.spilled == 0
    assert found.registers <= 128


def test_without_fusion_a_product_is_a_launch_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cuda, "finish", None)
    x, w, y = product(40, 30, 50)
    assert_is_one_launch(Graph((x, w), (apply("tanh", y),), ()), count=2)
