"""A small sample of the fuzzers, and that they find what is wrong, make it small and show it in a script."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tracejit as tj
from tests.tracing.fuzz import expressions, harness, programs, stale
from tests.tracing.fuzz.harness import Case, check
from tests.tracing.fuzz.runner import MODES, Mode, run_sample, write_script

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("mode", "count"), [("expressions", 15), ("programs", 10), ("loops", 6)])
def test_compiled_programs_answer_as_eager_ones_do(mode: Mode, count: int):
    outcome = run_sample(mode, seed=5, count=count)
    assert not outcome.wrong, "\n".join(map(str, outcome.wrong))
    assert outcome.programs >= 0.9 * count


@pytest.mark.parametrize("mode", MODES)
def test_programs_recorded_and_run_by_numpy_answer_as_eager_ones_do(mode: Mode):
    outcome = run_sample(mode, seed=77, count=8, engine="numpy")
    assert not outcome.wrong, "\n".join(map(str, outcome.wrong))


@pytest.mark.parametrize("mode", MODES)
def test_a_compiler_that_forgets_the_state_is_found_in_any_mode(mode: Mode):
    outcome = run_sample(mode, compile=stale.compile, count=30, stop_at=1, engine="numpy")
    assert outcome.wrong


@pytest.mark.parametrize("mode", MODES)
def test_what_is_found_becomes_small_and_its_script_fails(mode: Mode, tmp_path: Path):
    outcome = run_sample(mode, compile=stale.compile, stop_at=1, is_shrunk=True, engine="numpy")
    failure = outcome.wrong[0]
    assert len(failure.case.source.splitlines()) <= 20
    assert len(failure.case.steps) <= 3
    done = _run(write_script(failure, stale.compile, tmp_path))
    assert (done.returncode, done.stderr) == (1, "")
    assert "DIFFERENT" in done.stdout


def test_a_script_passes_once_the_fault_is_mended(tmp_path: Path):
    outcome = run_sample("programs", compile=stale.compile, stop_at=1, engine="numpy")
    done = _run(write_script(outcome.wrong[0], tj.compile, tmp_path))
    assert done.returncode == 0


def _run(script: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_what_only_the_compiled_program_raises_is_found():
    def compile(function):
        def compiled(*args):
            raise ZeroDivisionError

        return compiled

    verdict = check(Case("def f():\n    return 1\n", ("f()",)), compile)
    assert verdict.kind == "NoneType, ZeroDivisionError"


@pytest.mark.parametrize(
    ("eager", "compiled"),
    [
        ("0.0", "-0.0"),
        ("1", "True"),
        ("1", "1.0"),
        ("[S, S]", "[S, [1]]"),
        ("S", "[1]"),
        ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}"),
        ("t[1:]", "t[1:].copy()"),
        ("t * 1", "t"),
        ("t", "t.astype(tj.float64)"),
        ("t * 0.0", "t * -0.0"),
        ("(t, t)", "(t, t + 0)"),
        ("t.numpy()", "t.numpy().copy()"),
        ("S.append(1)", "S.append(2)"),
        ("lambda x=1: x", "lambda x=2: x"),
    ],
)
def test_worlds_that_differ_are_told_apart(eager: str, compiled: str):
    source = f"""
import tracejit as tj
S = [1]
t = tj.tensor([1.0, 2.0])
def f():
    return {eager}
def g():
    return {compiled}
"""
    case = Case(source, ("f()",))
    assert check(case, lambda function: function)
    assert not check(case, lambda function: function.__globals__["g"])


def test_not_a_number_equals_itself():
    source = "import tracejit as tj\ndef f():\n    return float('nan'), tj.tensor([float('nan')])\n"
    assert check(Case(source, ("f()",)), lambda function: function)


def test_every_kind_of_statement_is_written():
    written = sum((programs.kinds(seed) for seed in range(40)), start=programs.Counter())
    assert written.keys() == programs.STATEMENTS.keys()


def test_every_expression_and_every_change_is_python():
    entries = expressions.entries()
    assert len(entries) >= 200
    for _, entry in entries:
        ast.parse(expressions.function(entry))
    for change in [*expressions.MUTATIONS.splitlines(), *programs.MUTATIONS.splitlines()]:
        ast.parse(change)


def test_a_program_without_end_is_no_case():
    case = Case("def f():\n    while True: pass\n", ("f()",))
    with pytest.raises(harness.Rejected):
        check(case, tj.compile, seconds=0.1)


def test_a_program_that_ends_eagerly_only_is_found():
    def compile(function):
        def compiled():
            while True:
                pass

        return compiled

    verdict = check(Case("def f():\n    return 1\n", ("f()",)), compile, seconds=0.1)
    assert verdict.kind == "hang"


def test_the_search_goes_on_after_a_crash_of_the_interpreter(tmp_path: Path):
    options = ["--count=2", "--compile=tests.tracing.fuzz.stale:crash", f"--out={tmp_path}"]
    command = [sys.executable, "-m", "tests.tracing.fuzz", "programs", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [path.name for path in sorted(tmp_path.glob("*.py"))] == ["wrong_0.py", "wrong_1.py"]
