"""Artifacts in a process of their own, which cannot see the functions' source and loads neither the compiler nor LLVM."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj

SOURCE = """
import numpy as np
import tracejit as tj
from tracejit import nn, optim
from tracejit.nn import functional as F

def network():
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))

def train_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss

def normalize(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return (p - p.mean(axis=1, keepdims=True)) / np.sqrt(p.var(axis=1, keepdims=True) + 1e-5)

def dropped(x):
    return F.dropout(x, 0.5)

def clipped_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    norm = tj.sqrt(sum((p.grad ** 2).sum() for p in model.parameters()))
    if norm > 0.5:
        with tj.no_grad():
            for p in model.parameters():
                p.grad.mul_(0.5 / norm)
    if not tj.isfinite(loss):
        raise FloatingPointError("diverged")
    optimizer.step()
    return loss

def root(x):
    y = x * 0 + 1
    while (y * y - x).abs().max() > 1e-3:
        y = (y + x / y) * 0.5
    return y
"""

SCRIPT = """
import sys
sys.modules.update(llvmlite=None, sympy=None)  # they could not be imported
import numpy as np
import tracejit as tj

folder = {folder!r}
given = np.load(folder + "/given.npz")
found = {{}}
for name in {names!r}:
    loaded = tj.load(f"{{folder}}/{{name}}.tj")
    inputs = [given[each] for each in loaded.signature.parameters]
    for call in range(3):
        result = loaded(*inputs)
        found[f"{{name}} {{call}}"] = np.asarray(result)
    for key, value in loaded.state_dict().items():
        found[f"{{name}} {{key}}"] = np.asarray(value)
np.savez(folder + "/found.npz", **found)
print(*(name for name, module in sys.modules.items() if module))
"""


@pytest.fixture
def hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module that is gone once the functions have been exported."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "hidden_source.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(folder))
    import hidden_source  # type: ignore[import-not-found]

    yield hidden_source
    del sys.modules["hidden_source"]


def digits() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((16, 64), np.float32), rng.integers(0, 10, 16)


def test_all_bits_are_those_of_the_compiled_functions(
    hidden: Any, tmp_path: Path, run_python: Callable[..., str]
) -> None:
    tj.random.seed(1)
    model = hidden.network()
    optimizer = tj.optim.Adam(model.parameters(), lr=2e-3)
    twin = hidden.network()
    momentum = tj.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    images, labels = digits()
    tensors = tj.tensor(images), tj.tensor(labels)
    functions = {
        "infer": (tj.compile(model), tensors[:1]),
        "train": (tj.compile(hidden.train_step), (model, optimizer, *tensors)),
        "normalize": (tj.compile(hidden.normalize), (images,)),
        "dropped": (tj.compile(hidden.dropped), tensors[:1]),
        "clipped": (tj.compile(hidden.clipped_step), (twin, momentum, *tensors)),
        "root": (tj.compile(hidden.root), tensors[:1]),
    }
    for name, (function, args) in functions.items():
        tj.export(function, args, tmp_path / f"{name}.tj")
    names = "input x images".split()
    np.savez(tmp_path / "given.npz", labels=labels, **dict.fromkeys(names, images))
    (tmp_path / "source" / "hidden_source.py").unlink()

    script = SCRIPT.format(folder=str(tmp_path), names=[*functions])
    printed = run_python(script, TRACEJIT_CACHE_BYTES="0")
    loaded = {*printed.split()}
    assert not {name for name in loaded if name.startswith(("llvmlite", "hidden", "sympy"))}
    assert "tracejit.compiler" not in loaded

    with np.load(tmp_path / "found.npz") as found:
        for name, (function, args) in functions.items():
            for call in range(3):
                expected = function(*args)
                expected = (
                    expected.detach().numpy() if isinstance(expected, tj.Tensor) else expected
                )
                assert found[f"{name} {call}"].tobytes() == expected.tobytes(), (name, call)
        for key, value in model.state_dict().items():
            assert found[f"train model.{key}"].tobytes() == value.numpy().tobytes()


def test_graphs_are_compiled_where_there_is_no_code(
    tmp_path: Path, run_python: Callable[..., str]
) -> None:
    tj.export(lambda x: (x @ x.T).sum(axis=1), (tj.ones((5, 3)),), tmp_path / "f.tj")
    script = f"""
import sys
import numpy as np
import tracejit as tj
f = tj.load({str(tmp_path / "f.tj")!r}, native=False)
print(f(np.arange(15, dtype=np.float32).reshape(5, 3)).tolist(), "llvmlite" in sys.modules)
"""
    x = tj.tensor(np.arange(15, dtype=np.float32).reshape(5, 3))
    assert (
        run_python(script, TRACEJIT_CACHE_BYTES="0").strip()
        == f"{(x @ x.T).sum(axis=1).tolist()} True"
    )
