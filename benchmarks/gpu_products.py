"""`python -m benchmarks.gpu_products`: matrix products of float32 on a GPU, and what follows them, against cuBLAS by PyTorch.

The products are those of an MLP's training step with batch 4096 and width 2048, of a transformer block's, and some that are
small: as they come, with the right operand transposed (gradients of inputs), and with the left one (gradients of weights).
`finished` ones add a bias and are rectified. Each is enqueued several times and then waited for, and checked against float64
NumPy in some rows. Then the training step itself runs, as in `python -m benchmarks.gpu`. It takes about a minute. `--tiles` times
each product by every tile that there is, for the rates in `codegen/cuda/product_tile.py`.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

import numpy as np

import tracejit as tj
from benchmarks.gpu import COMPILED, HEADING, TORCH, TRACEJIT, compared, lines, systems, timed
from benchmarks.workloads import WORKLOADS
from tracejit.backends import backend_of
from tracejit.codegen.cuda.product_tile import TILES, tile_of
from tracejit.compiler import cuda as compiler
from tracejit.compiler import plan_graph
from tracejit.executable import call_host
from tracejit.ir.aval import aval
from tracejit.ir.graph import Apply, Graph, Input
from tracejit.ops.registry import REGISTRY
from tracejit.runtime.cuda.driver import gpu

ROWS = 3
"""That are checked."""
SMALL = 16
"""By which sizes are divided where it is only to be shown that it runs."""


@dataclass(frozen=True)
class Case:
    """x @ w of m x k and k x n, either operand maybe the transpose of what lies in memory; `finished` by relu(... + bias)."""

    m: int
    k: int
    n: int
    turned: str = ""
    finished: bool = False

    @property
    def name(self) -> str:
        return f"{self.m} x {self.k} x {self.n} {self.turned or '-'}{' +' if self.finished else ''}"


CASES = (
    Case(4096, 784, 2048),
    Case(4096, 784, 2048, finished=True),
    Case(4096, 2048, 2048),
    Case(4096, 2048, 2048, finished=True),
    Case(4096, 2048, 2048, "w"),
    Case(2048, 4096, 2048, "x"),
    Case(784, 4096, 2048, "x"),
    Case(4096, 2048, 10),
    Case(16384, 1024, 4096, finished=True),
    Case(16384, 4096, 1024),
    Case(8192, 8192, 8192),
    Case(1024, 1024, 1024),
    Case(512, 4096, 512, "x"),
    Case(128, 784, 512, finished=True),
)


def operands(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, w and a bias; transposed ones are views of the transpose."""
    rng = np.random.default_rng(0)

    def matrix(rows: int, columns: int, turned: bool) -> np.ndarray:
        shape = (columns, rows) if turned else (rows, columns)
        found = rng.standard_normal(shape, np.float32)
        return found.T if turned else found

    x, w = matrix(case.m, case.k, "x" in case.turned), matrix(case.k, case.n, "w" in case.turned)
    return x, w, rng.standard_normal(case.n, np.float32)


def on_device(array: np.ndarray, put: Callable[[np.ndarray], Any]) -> Any:
    """The array with its strides."""
    return put(array) if array.flags.c_contiguous else put(np.ascontiguousarray(array.T)).T


def tracejit_call(case: Case, arrays: Sequence[np.ndarray]) -> Callable[[], Any]:
    def finished(x: Any, w: Any, bias: Any) -> Any:
        return tj.nn.functional.relu(x @ w + bias)

    def plain(x: Any, w: Any, bias: Any) -> Any:
        return x @ w

    given = [on_device(each, lambda a: tj.tensor(a, device="cuda")) for each in arrays]
    function = tj.compile(finished if case.finished else plain, dynamic=False)
    return lambda: function(*given)


def torch_call(case: Case, arrays: Sequence[np.ndarray]) -> Callable[[], Any]:
    torch = importlib.import_module("torch")
    torch.backends.cuda.matmul.allow_tf32 = False
    given = [on_device(each, lambda a: torch.tensor(a, device="cuda")) for each in arrays]
    x, w, bias = given
    if case.finished:
        return lambda: torch.addmm(bias, x, w).relu_()
    return lambda: x @ w


def checked(case: Case, arrays: Sequence[np.ndarray], call: Callable[[], Any]) -> Callable[[], Any]:
    """The call, if its result is right in some rows: else AssertionError."""
    x, w, bias = (each.astype(np.float64) for each in arrays)
    expected = x[:ROWS] @ w
    if case.finished:
        expected = np.maximum(expected + bias, 0)
    found = np.asarray(call()[:ROWS].cpu())
    error = float(np.abs(found - expected).max()) / case.k**0.5
    assert error < 1e-5, f"{case.name} is off by {error:.1e}"
    return call


def measured(case: Case, has_torch: bool) -> str:
    """A line of the table: the tile, and each system's milliseconds and rate."""
    arrays = operands(case)
    calls = {"tracejit": (tracejit_call, tj.cuda.synchronize)}
    if has_torch:
        calls["torch"] = (torch_call, TORCH.synchronize)
    milliseconds = []
    for make, synchronize in calls.values():
        call = checked(case, arrays, make(case, arrays))
        for _ in range(3):
            call()
        milliseconds.append(timed(call, synchronize) * 1e3)
    rates = [2e-9 * case.m * case.k * case.n / each for each in milliseconds]
    pairs = zip(milliseconds, rates, strict=True)
    numbers = "".join(f"{each:11.4f}{rate:9.2f}" for each, rate in pairs)
    ratio = f"{rates[0] / rates[1]:8.2f}" if has_torch else ""
    return f"{case.name:<28}{tile_of('float32', 1, case.m, case.n).name:>9}{numbers}{ratio}"


def by_tiles(case: Case) -> str:
    """A line of the other table: TFLOP/s of the product alone by each tile; the one that is chosen is marked."""
    arrays = operands(case)[:2]
    placed = [on_device(each, lambda a: tj.tensor(a, device="cuda")) for each in arrays]
    inputs = tuple(
        Input(aval(tj.float32, each.shape), tuple(n // each.itemsize for n in each.strides))
        for each in arrays
    )
    matmul = REGISTRY["matmul"]
    product = Apply(matmul, inputs, (), matmul.infer(*(each.aval for each in inputs)))
    addresses = [each.__cuda_array_interface__["data"][0] for each in placed]
    chosen, found = tile_of("float32", 1, case.m, case.n), []
    for tile in TILES["float32"]:
        with patch.object(compiler, "_tile", lambda *sizes, tile=tile: tile):
            plan = plan_graph(Graph(inputs, (product,), ()), device="cuda:0")[2]
        program = backend_of("cuda:0").program(plan, call_host)
        seconds = timed(partial(program.run, addresses), tj.cuda.synchronize)
        rate = 2e-12 * case.m * case.k * case.n / seconds
        found.append(f"{tile.name:>9}{rate:8.2f}{'*' if tile is chosen else ' '}")
    return f"{case.name:<28}{''.join(found)}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="products on a GPU, against cuBLAS")
    parser.add_argument("--small", action="store_true", help="sizes that only show that it runs")
    parser.add_argument("--tiles", action="store_true", help="each product by every tile")
    arguments = parser.parse_args(argv)
    if (why := tj.cuda.why_not()) is not None:
        print(why)
        return 2
    has_torch = bool(find_spec("torch")) and importlib.import_module("torch").cuda.is_available()
    print(
        f"{gpu().name}; milliseconds and TFLOP/s of tracejit{', of torch, their ratio' if has_torch else ''}"
    )
    for case in CASES:
        if arguments.small:
            sizes = (max(each // SMALL // SMALL, 2) for each in (case.m, case.k, case.n))
            case = Case(*sizes, case.turned, case.finished)
        print(by_tiles(case) if arguments.tiles else measured(case, has_torch), flush=True)
        tj.cuda.empty_cache()
    if arguments.tiles:
        return 0
    step = WORKLOADS["mlp_128"]
    step = replace(step, full={"batch": 4096, "pixels": 784, "hidden": 2048})
    everyone = [each for each in systems() if each in (TRACEJIT, TORCH, COMPILED)]
    inputs = step.inputs(small=arguments.small)
    entries = compared(step, everyone, inputs, time.perf_counter())
    print(HEADING, *lines("mlp_4096", entries, 0.0), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
