"""The first calls of a process, before the compiler is loaded: NumPy runs what it computes with the same bits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]

PRELUDE = """
import sys
import numpy as np
import tracejit as tj
from tracejit.tracing.background import BACKGROUND

def is_loaded():
    return "tracejit.compiler" in sys.modules or "llvmlite.binding" in sys.modules

@tj.compile
def f(x, k):
    return (x * k + 1)[::-1]

x = np.arange(4.0)
held = BACKGROUND.want
BACKGROUND.want = lambda job: None  # for now nothing is compiled
"""


@pytest.fixture
def run(run_python: Run, tmp_path: Path) -> Run:
    """Runs a script whose cache on disk is empty."""

    def run(script: str) -> str:
        return run_python(PRELUDE + script, TRACEJIT_CACHE_DIR=str(tmp_path / "cache"))

    return run


def test_the_first_calls_do_not_wait_for_the_compiler(run: Run) -> None:
    printed = run("""
print([f(x, k).tolist() for k in (2.0, 3.0, 4.0)], is_loaded())
BACKGROUND.want = held
f(x, 2.0)
tj.synchronize()
print(f(x, 5.0).tolist(), is_loaded(), tj.explain(f).compiling)
""")
    first, then = printed.splitlines()
    assert first == "[[7.0, 5.0, 3.0, 1.0], [10.0, 7.0, 4.0, 1.0], [13.0, 9.0, 5.0, 1.0]] False"
    assert then == "[16.0, 11.0, 6.0, 1.0] True 0"


def test_numbers_that_numpy_computes_with_are_not_looked_at(run: Run) -> None:
    printed = run("""
print([f(x, k)[-1] for k in (2.0, 3.0, 4.0, 5.0)], is_loaded())
print(f.calls, tj.explain(f).misses)
""")
    first, then = printed.splitlines()
    assert first.endswith("False")
    assert then == "{'replay': 3, 'record': 1, 'eager': 0} ()"


def test_what_is_exported_does_not_depend_on_who_computes(run: Run, tmp_path: Path) -> None:
    assert run(f"""
files = [r"{tmp_path / "early.tj"}", r"{tmp_path / "late.tj"}"]
tj.export(f, (x, 2.0), files[0])
BACKGROUND.want = held
tj.synchronize()
tj.export(f, (x, 2.0), files[1])
print([tj.load(file)(x, 3.0).tolist() for file in files])
""").split("\n")[0] == str([[10.0, 7.0, 4.0, 1.0]] * 2)


def test_explain_compiles_what_numpy_has_run(run: Run) -> None:
    assert run("""
f(x, 2.0)
assert not is_loaded()
found = tj.explain(f)
print(found.compiling, len(found.kernels), is_loaded())
""").split() == ["0", "1", "True"]


def test_eager_ops_do_not_wait_either(run: Run) -> None:
    assert run("""
y = tj.tensor([1.0, 2.0])
print((y * 2 + 1).tolist(), (y > 1.5).tolist(), is_loaded())
BACKGROUND.want = held
for _ in range(300):
    assert (y * 2 + 1).tolist() == [3.0, 5.0]
tj.synchronize()
print(is_loaded())
""").split() == ["[3.0,", "5.0]", "[False,", "True]", "False", "True"]


@pytest.mark.parametrize(
    "body",
    [
        "tj.compile(tj.exp)(x)",
        "tj.compile(lambda x: x.sum())(tj.asarray(x))",
        "tj.compile(lambda x: x + 1, memory_limit=1 << 20)(x)",
        "tj.exp(tj.ones(2))",
    ],
)
def test_what_numpy_computes_otherwise_is_compiled_at_the_call(run: Run, body: str) -> None:
    assert run(f"{body}\nprint(is_loaded())").split() == ["True"]


def test_stages_are_there_to_see_after_the_first_call(run: Run, tmp_path: Path) -> None:
    dumped = tmp_path / "dumped"
    run(f"""
tj.config.dump_dir = {str(dumped)!r}
f(x, 2.0)
""")
    assert list(dumped.rglob("*.ll"))


def test_writes_and_numbers_are_as_they_are_in_eager_code(run: Run) -> None:
    compiled, plain = run("""
def step(w, v, n):
    v *= 0.5
    v += w[1:] * n
    w[0] = v[1]
    return w + v.size

def seen(step):
    w, v = np.arange(4.0), np.ones(3)
    return [step(w, v, n).tolist() for n in (1, 2, 2)], w.tolist(), v.tolist()

print(seen(tj.compile(step)))
assert not is_loaded()
print(seen(step))
""").splitlines()
    assert compiled == plain


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("pause", [0.0, 0.01, 0.03, 0.06])
def test_a_child_may_be_made_while_the_compiler_is_being_loaded(run: Run, pause: float) -> None:
    assert run(f"""
import os, time
BACKGROUND.want = held
f(x, 2.0)
time.sleep({pause})
child = os.fork()
assert f(x, 2.0).tolist() == [7.0, 5.0, 3.0, 1.0]
assert tj.tanh(tj.zeros(1)).item() == 0
tj.synchronize()
assert tj.explain(f).compiling == 0
if child:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
else:
    os._exit(0)
""").split() == ["0"]


@pytest.mark.parametrize("pause", [0.0, 0.005, 0.02, 0.05, 0.1, 0.15])
def test_a_program_may_end_while_the_compiler_is_being_loaded(run: Run, pause: float) -> None:
    assert run(f"""
import time
BACKGROUND.want = held
print(f(x, 2.0).tolist())
time.sleep({pause})
""").split() == ["[7.0,", "5.0,", "3.0,", "1.0]"]
