"""Artifacts to take apart: small ones, made once."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import tracejit as tj
from tracejit import nn, optim
from tracejit.standalone.container import pack, sha256, unpack


class Diverged(ArithmeticError):
    """Of the user's own."""


def step(model, optimizer, x):
    optimizer.zero_grad()
    loss = (model(x) ** 2).mean()
    loss.backward()
    if not tj.isfinite(loss):
        raise Diverged(f"the loss is {loss.item():.3f}")
    optimizer.step()
    loss, rounds = loss.detach(), 0
    while loss > 0.1:
        loss, rounds = loss * 0.5, rounds + 1
    return loss, rounds


@functools.cache
def artifact() -> bytes:
    """A whole training step with products, state and numbers, an exception and a loop."""
    tj.random.seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    optimizer = optim.Adam(model.parameters())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "f.tj")
        tj.export(step, (model, optimizer, X), path)
        return path.read_bytes()


X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


@functools.cache
def expected() -> Any:
    """The first two results."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "f.tj")
        path.write_bytes(artifact())
        return results(tj.load(path))


def results(loaded: Any) -> Any:
    found = [loaded(X) for _ in range(2)]
    return [(loss.numpy().tobytes(), rounds) for loss, rounds in found]


def entries() -> dict[str, bytes]:
    return {name: bytes(content) for name, content in unpack(artifact()).items()}


def named(ending: str) -> str:
    """The first entry whose name ends so."""
    return next(name for name in entries() if name.endswith(ending))


def packed(parts: Mapping[str, bytes]) -> bytes:
    return b"".join(pack(parts))


def resealed(parts: Mapping[str, bytes]) -> bytes:
    """A file of these entries whose manifest lists them as they are: what someone would write who means it."""
    manifest = json.loads(parts["manifest.json"])
    manifest["entries"] = [
        {"is": "Entry", "name": name, "nbytes": len(content), "sha256": sha256(content)}
        for name, content in parts.items()
        if name != "manifest.json"
    ]
    return packed({**parts, "manifest.json": json.dumps(manifest).encode()})
