"""The benchmarks of GPUs run, and their results are right."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import gpu, gpu_products
from benchmarks.program import Inputs, Program
from benchmarks.systems import tracejit_suite
from tracejit.codegen.cuda.product_tile import TILES

SOME = ["chain_1e3", "softmax_fb", "lngelu_f", "adam", "mlp_8", "cg", "attention_f", "attention_fb"]


@pytest.fixture(autouse=True)
def _device_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracejit_suite, "device", tracejit_suite.device)
    monkeypatch.setattr(gpu, "ROUNDS", 2)
    monkeypatch.setattr(gpu, "ROUND_SECONDS", 0.001)


def test_workloads_are_timed(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--small", *SOME]) == 0
    table = capsys.readouterr().out.rpartition("\n\n")[2].splitlines()
    assert table[1] == gpu.HEADING
    ours = [line.split() for line in table[2:] if " tracejit " in line]
    assert [line[0] for line in ours] == SOME
    for _, _, milliseconds, _, host, kernels, *_, error in ours:
        assert min(float(milliseconds), float(host), int(kernels)) > 0
        assert float(error) == 0


def test_products_are_timed(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_products.main(["--small"]) == 0
    _, *table = capsys.readouterr().out.splitlines()
    assert len(table) >= len(gpu_products.CASES) + 2
    assert table[len(gpu_products.CASES)] == gpu.HEADING


def test_products_are_timed_by_every_tile(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_products.main(["--small", "--tiles"]) == 0
    _, *table = capsys.readouterr().out.splitlines()
    assert len(table) == len(gpu_products.CASES)
    assert all(line.count("*") == 1 for line in table)
    assert all(tile.name in line for line in table for tile in TILES["float32"])


@pytest.mark.cuda
def test_every_workload_is_timed(real: str) -> None:
    assert gpu.main(["--small"]) == 0


def test_sizes_are_those_of_workloads() -> None:
    assert SOME == [name for name in gpu.EVERY if name in SOME]
    assert {*gpu.SIZES, *gpu.FEWEST_BYTES} <= gpu.EVERY.keys()
    for name, sizes in gpu.SIZES.items():
        assert sizes.keys() == gpu.EVERY[name].full.keys()


def test_a_wrong_result_ends_it(emulated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(d: Inputs, jit: Any) -> Program:
        return tracejit_suite.function_of(lambda x: x + 1, jit, d.x)

    monkeypatch.setitem(tracejit_suite.suite.implementations, "chain_1e3", wrong)
    with pytest.raises(AssertionError, match="chain_1e3 is off by"):
        gpu.main(["--small", "chain_1e3"])
