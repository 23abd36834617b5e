"""The workloads of the benchmarks at their smallest size: what they compute, not how fast."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import launches, libraries, loading
from benchmarks.measure import Measurement, error_between, reference_results
from benchmarks.report import table
from benchmarks.summary import markdown
from benchmarks.systems import SYSTEMS
from benchmarks.workloads import ON_GPUS, WORKLOADS
from tests.standalone.libraries import needs_compiler

PEER = "a peer that is timed where it is installed"


EVERY = WORKLOADS | ON_GPUS


@pytest.mark.parametrize("workload", EVERY)
@pytest.mark.parametrize("system", ["numpy", "eager", "compiled", "torch"])
def test_a_workload_gives_the_results_of_float64_numpy(workload: str, system: str) -> None:
    pytest.importorskip(SYSTEMS[system].package, reason=PEER)
    inputs = EVERY[workload].inputs(small=True)
    implementation = SYSTEMS[system].implementations()[workload]
    program = implementation(inputs, SYSTEMS[system].decorator())
    program.step()
    expected = reference_results(EVERY[workload], small=True)
    for actual, reference in zip(program.results(), expected, strict=True):
        assert error_between(actual, reference) <= EVERY[workload].tolerance


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_implements_every_workload_that_it_does_not_except(system: str) -> None:
    pytest.importorskip(SYSTEMS[system].package, reason=PEER)
    assert SYSTEMS[system].implementations().keys() | SYSTEMS[system].without == EVERY.keys()


def test_the_command_measures_in_processes_of_their_own_and_writes_all_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    status = benchmarks.main(["small_1", "--quick", "--systems", "numpy", "--json", str(file)])
    assert status == 0
    assert "small_1" in capsys.readouterr().out
    (measured,) = json.loads(file.read_text())["measurements"]
    assert measured["is_correct"]
    assert len(measured["rounds"]) == 3
    assert measured["median"] > 0


def test_launches_are_timed_one_by_one() -> None:
    ((program, kernels),) = launches.programs_of("chain_1e3")
    (found,) = launches.timed(program, kernels)
    assert found.launch.nbytes == 5 * 4 * 1000 + 16  # and two numbers
    assert 0 < found.seconds < 1


def test_a_wrong_result_is_told_and_not_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure = importlib.import_module("benchmarks.measure")
    monkeypatch.setattr(measure, "error_of", lambda *_: 0.5)
    assert benchmarks.main(["small_1", "--quick", "--systems", "numpy"]) == 1
    assert "wrong: 5.0e-01 from float64 NumPy" in capsys.readouterr().out


def test_a_failed_worker_does_not_stop_the_others() -> None:
    lines = table(
        [
            Measurement("w", "numpy", 1, is_correct=True, error=0.0, rounds=[2.0], minimum=1.0),
            Measurement("w", "torch", 1, failure="Traceback\nOSError: gone"),
        ]
    )
    assert "failed: OSError: gone" in lines
    assert "2.00 s" in lines


def test_the_summary_sets_systems_side_by_side_and_marks_the_fastest() -> None:
    figures = [
        {"workload": "w", "system": "numpy", "median": 2.0},
        {"workload": "w", "system": "compiled", "median": 0.5},
        {"workload": "w", "system": "torch", "median": None},
    ]
    assert markdown(figures).splitlines()[-1] == "| w | 2.00 s | **500.00 ms (4x)** | - |"


@needs_compiler
def test_calls_from_c_are_timed(tmp_path: Path) -> None:
    _, _, call = next(libraries.contests())
    assert 0 < libraries.seconds_from_c(call, tmp_path, rounds=3, calls=10) < 1


def test_what_loading_takes_is_measured_in_processes_of_its_own(tmp_path: Path) -> None:
    loading.export_network(tmp_path / "mlp.tj")
    found = loading.measured(tmp_path / "mlp.tj", rounds=1)
    assert found.keys() == loading.programs(tmp_path / "mlp.tj").keys()
    assert all(seconds > 0 for (seconds,) in found.values())
