"""`import tracejit` is quick because it loads only what every program needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tracejit.runtime.cpu import elf

ROOT = Path(__file__).resolve().parent.parent

HEAVY = [
    "hashlib",
    "jax",
    "llvmlite",
    "ml_dtypes",
    "numba",
    "onnx",
    "pycuda",
    "rich",
    "scipy",
    "sklearn",
    "sympy",
    "sysconfig",
    "torch",
    "unittest",
]


def modules_after(statement: str) -> set[str]:
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("statement", ["import tracejit", "import tracejit.cli"])
def test_importing_loads_nothing_heavy(statement: str) -> None:
    loaded = modules_after(statement) - modules_after("import numpy")
    assert not loaded & set(HEAVY)


def test_importing_does_not_load_the_public_name_of_the_links() -> None:
    assert not modules_after("import tracejit") & {"codegen", "runtime"}


# What is loaded when

NAMES_LATER = ["nn", "exp", "Tensor", "compile", "tensor", "random", "__array_namespace_info__"]


def printed(script: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, *(options or ("-W", "error")), "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_importing_loads_no_ops_and_no_tensors() -> None:
    loaded = printed("import tracejit, sys; print(*sys.modules)").split()
    own = {name for name in loaded if name.startswith("tracejit.")}
    assert "tracejit._config" in own
    assert not {name for name in own if name.startswith(("tracejit.ops", "tracejit.tensor"))}
    assert len(own) < 10


@pytest.mark.parametrize("name", NAMES_LATER)
def test_the_first_name_that_is_asked_for_brings_all(name: str) -> None:
    script = f"""
import types, tracejit as tj
assert "sin" not in vars(tj)
first = tj.{name}
assert type(tj) is types.ModuleType and first is vars(tj)[{name!r}]
assert callable(tj.tensor) and callable(vars(tj)["sin"])
try:
    tj.missing
except AttributeError as error:
    print(error)
"""
    assert printed(script) == "module 'tracejit' has no attribute 'missing'\n"


@pytest.mark.parametrize(
    "statement",
    [
        "from tracejit.nn import functional as F; made = F.relu(numpy.ones(2))",
        "from tracejit.tensor import Tensor; from tracejit.creation import tensor; made = tensor([1.0, 1.0]) * 1",
        "from tracejit import Tensor, nn, ones; made = ones(2)",
        "from tracejit import *; made = ones(2)",
        "import tracejit.optim; from tracejit.ops import add; made = add(numpy.ones(2), 0)",
        "from tracejit import dtypes; import tracejit; made = tracejit.ones(2, dtype=dtypes.float64)",
    ],
)
def test_any_part_may_be_imported_first(statement: str) -> None:
    script = f"""
import numpy
{statement}
import tracejit as tj
assert callable(tj.tensor) and isinstance(made, tj.Tensor)
print(made.tolist(), sorted(vars(tj)) == dir(tj))
"""
    assert printed(script) == "[1.0, 1.0] True\n"


def test_what_is_asked_of_all_modules_brings_nothing() -> None:
    script = """
import sys, tracejit, inspect, warnings, unittest
for name in ("__warningregistry__", "__wrapped__", "__test__"):
    assert not hasattr(tracejit, name)
inspect.getmodule(sys._getframe())
with unittest.TestCase().assertWarns(UserWarning):
    warnings.warn("text")
print("tracejit._namespace" in sys.modules)
"""
    assert printed(script, "-W", "default") == "False\n"


def test_threads_that_ask_at_once_all_get_the_names() -> None:
    script = """
import threading, tracejit as tj
gate, found = threading.Barrier(8), []
def ask(number):
    gate.wait()
    found.append(float((tj.ones(3) + number).sum()) - 3 * number)
threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
[each.start() for each in threads]
[each.join() for each in threads]
print(found)
"""
    assert printed(script) == f"{[3.0] * 8}\n"


def test_what_another_thread_has_loaded_is_there_for_this_one() -> None:
    """As where a thread makes the machine code for an artifact's calls."""
    script = """
import importlib, threading, numpy as np, tracejit as tj
from tracejit import dispatch
dispatch.current()  # from now on this thread knows of no others
loading = threading.Thread(target=importlib.import_module, args=("tracejit.eager",))
loading.start()
loading.join()
print(tj.compile(lambda x: x * 2 + 1)(np.ones(2)).tolist(), (tj.ones(1) + 1).tolist())
"""
    assert printed(script) == "[3.0, 3.0] [2.0]\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_was_forked_while_another_thread_asked_gets_the_names() -> None:
    script = """
import os, threading, tracejit as tj
asking = threading.Thread(target=lambda: tj.nn)
asking.start()
child = os.fork()
if child == 0:
    os._exit(int((tj.ones(3) + 1).sum().item()))
asking.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), tj.ones(1).item())
"""
    for _ in range(3):
        assert printed(script) == "6 1.0\n"


ARTIFACT = """
import sys
import numpy as np
before = {*sys.modules}
import tracejit as tj
f = tj.load(sys.argv[1])
result = f(np.ones((4, 8), np.float32))
print(result.shape, *({*sys.modules} - before))
"""


@pytest.mark.parametrize("numpy", [True, False])
def test_an_artifact_runs_with_few_modules(tmp_path: Path, numpy: bool) -> None:
    import tracejit as tj

    path = tmp_path / "f.tj"
    layer = tj.nn.Linear(8, 3)

    def of_arrays(x):  # type: ignore[no-untyped-def]
        return np.tanh(x @ np.ones((8, 3), np.float32))

    x = np.ones((4, 8), np.float32)
    tj.export(of_arrays if numpy else layer, (x if numpy else tj.tensor(x),), path)
    done = subprocess.run(
        [sys.executable, "-c", ARTIFACT, str(path)],
        cwd=ROOT,
        env={**os.environ, "TRACEJIT_CACHE_BYTES": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    _, _, *loaded = done.stdout.split()
    assert not {name.split(".")[0] for name in loaded} & {*HEAVY}
    never = ("compiler", "codegen", "passes", "executable", "tracing", "nn", "optim", "creation")
    if numpy:
        never = (*never, "ops", "tensor", "autograd", "eager", "storage", "dispatch")
    used = tuple(f"tracejit.{name}" for name in never)
    assert not {name for name in loaded if name.startswith(used)}


OWN = {
    "import tracejit as tj": """
        _collection _config _errors _gate _records dtypes standalone tracejit
    """,
    "f = tj.load(path)": """
        _digest _json _native _native.abi _native.arrays _native.dicts _native.entry _native.types _native.words
        artifact portable runtime runtime.buffer runtime.cpu runtime.cpu.abi runtime.cpu.elf runtime.cpu.link
        runtime.cpu.pool runtime.cpu.pool_ir runtime.cpu.target runtime.cpu.threads runtime.gemm runtime.gemv
        runtime.pool runtime.program runtime.scalars runtime.slabs runtime.table runtime.workspace standalone.artifact
        standalone.check standalone.combinations standalone.container standalone.functions standalone.given
        standalone.homes standalone.kept standalone.loading standalone.manifest standalone.native standalone.plans
        standalone.products standalone.reading standalone.records standalone.safetensors standalone.settling
        standalone.source standalone.ways
    """,
    "f(x)": """
        ir ir.aval ir.dim runtime.cpu.native runtime.cpu.native.lines standalone.phrases standalone.phrasing
        standalone.quick standalone.results standalone.running standalone.updates standalone.walk standalone.wholes
        symbols
    """,
    "f(x[::-1])": """
        standalone.binding standalone.steps
    """,
    "f.signature": """
        standalone.signature
    """,
}
"""What each step of a process that runs an artifact of arrays loads of tracejit."""
STANDARD = {*"__future__ _blake2 _json _sha2 _sha256 atexit gc threading zlib".split()}
"""What all of them load of Python's library, beyond what NumPy does."""
STEPS = """
import sys
import numpy as np
path, x = sys.argv[1], np.ones((4, 8), np.float32)
for step in sys.argv[2:]:
    before = {*sys.modules}
    exec(step)
    print(*({*sys.modules} - before))
"""


@pytest.mark.skipif(not elf.can_link(), reason="LLVM links here")
def test_an_artifact_loads_no_other_modules_than_these(tmp_path: Path) -> None:
    import tracejit as tj

    path = tmp_path / "f.tj"
    tj.export(
        lambda x: np.tanh(x @ np.ones((8, 3), np.float32)), (np.ones((4, 8), np.float32),), path
    )
    done = subprocess.run(
        [sys.executable, "-c", STEPS, str(path), *OWN],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("TRACEJIT_")},
        capture_output=True,
        text=True,
        check=True,
    )
    for (step, expected), line in zip(OWN.items(), done.stdout.splitlines(), strict=True):
        loaded = {*line.split()}
        own = {name for name in loaded if name.split(".")[0] == "tracejit"}
        wanted = {name if name == "tracejit" else f"tracejit.{name}" for name in expected.split()}
        assert own == wanted, step
        assert loaded - own <= STANDARD, step
