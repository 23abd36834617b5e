"""`import tracejit` is quick because it loads only what every program needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
