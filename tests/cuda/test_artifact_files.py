"""Files for a GPU that are not as they should be: each is refused, by an error that names the entry."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tracejit as tj
from tests.cuda.artifacts import X, bits, several
from tests.standalone.files import packed, resealed
from tests.standalone.test_mutations import places, put
from tracejit.standalone.container import unpack


def changed_plan(change: Callable[[Any], Any]) -> Callable[[dict[str, bytes]], bytes]:
    def made(parts: dict[str, bytes]) -> bytes:
        name = "cuda-sm_90/plan.json"
        plan = json.loads(parts[name])
        change(plan)
        return resealed({**parts, name: json.dumps(plan).encode()})

    return made


def launch(plan: Any) -> Any:
    return plan["plans"][0]["steps"][0]


def cpu_plan(parts: dict[str, bytes]) -> bytes:
    (name,) = (name for name in parts if name.startswith("cpu") and name.endswith("plan.json"))
    return resealed({**parts, "cuda-sm_90/plan.json": parts[name]})


def code(parts: dict[str, bytes]) -> list[str]:
    return [name for name in parts if name.endswith(".cubin")]


FAULTS: dict[str, tuple[Callable[[dict[str, bytes]], bytes], str]] = {
    "too many threads": (
        changed_plan(lambda p: launch(p)["shape"].update(teams=2048)),
        "sm_90/plan.json: plan 0: step 0: a block has at most 1024 threads",
    ),
    "no threads": (changed_plan(lambda p: launch(p)["shape"].update(team=0)), "it has no threads"),
    "too much shared memory": (
        changed_plan(lambda p: launch(p)["shape"].update(shared_bytes=1 << 20)),
        "its shared memory is too large",
    ),
    "too much scratch": (
        changed_plan(lambda p: launch(p)["shape"].update(scratch_bytes=1 << 50)),
        "its scratch is too large",
    ),
    "too many parameters": (
        changed_plan(lambda p: launch(p)["segments"][0].update(dims=[1] * 600)),
        "it has too many parameters",
    ),
    "no shape": (changed_plan(lambda p: launch(p).update(shape=None)), "it is for a CPU"),
    "calls": (
        changed_plan(lambda p: launch(p).update(calls=[launch(p)["kernel"]])),
        "one kernel of a GPU's calls none",
    ),
    "no such kernel": (changed_plan(lambda p: launch(p).update(kernel="k")), "no kernel 'k'"),
    "an offset past the end": (
        changed_plan(lambda p: launch(p)["segments"][0]["arguments"][0].update(offset=1 << 30)),
        "an argument outside its",
    ),
    "a plan of a CPU's": (cpu_plan, "sm_90/plan.json: launches of a CPU's plans"),
    "no code": (
        lambda parts: resealed({k: v for k, v in parts.items() if k != code(parts)[0]}),
        r"entry cuda-sm_90/.*\.cubin: it is missing",
    ),
    "other code": (
        lambda parts: resealed({**parts, code(parts)[0]: b"\x7fELF"}),
        "sm_90/plan.json: its objects cannot be linked",
    ),
    "altered code": (
        lambda parts: packed({**parts, code(parts)[0]: parts[code(parts)[0]] + b" "}),
        r"entry cuda-sm_90/.*\.cubin: it is not the one that the manifest lists",
    ),
}


@pytest.fixture
def parts(emulated: str, tmp_path: Path) -> dict[str, bytes]:
    path = tmp_path / "f.tj"
    tj.export(several, (tj.tensor(X), 2.0), path, targets=("cpu", "cuda:sm_90"))
    return {name: bytes(content) for name, content in unpack(path.read_bytes()).items()}


def test_files_that_are_not_as_they_should_be_are_refused(
    parts: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "g.tj"
    for make, message in FAULTS.values():
        path.write_bytes(make(parts))
        with pytest.raises(tj.ArtifactError, match=message):
            tj.load(path, device="cuda")
    path.write_bytes(resealed(parts))
    assert bits(tj.load(path, device="cuda")(X, 1.0)) == bits(several(tj.tensor(X), 1.0))


def test_a_gpus_plan_is_none_of_a_cpus(parts: dict[str, bytes], tmp_path: Path) -> None:
    (name,) = (name for name in parts if name.startswith("cpu") and name.endswith("plan.json"))
    (tmp_path / "g.tj").write_bytes(resealed({**parts, name: parts["cuda-sm_90/plan.json"]}))
    with pytest.raises(tj.ArtifactError, match=f"{name}: launches of a CPU's plans"):
        tj.load(tmp_path / "g.tj")


def test_a_plan_that_was_changed_on_purpose_is_refused_or_loaded(
    parts: dict[str, bytes], tmp_path: Path
) -> None:
    """It is not run: what its kernels make of other dims, their code knows alone."""
    name, rng = "cuda-sm_90/plan.json", random.Random(0)
    plan = json.loads(parts[name])
    everywhere = [*places(plan)][1:]
    values = [
        None,
        True,
        -1,
        0,
        1,
        7,
        1 << 20,
        -(1 << 63),
        1 << 62,
        1 << 70,
        1.5,
        "x",
        "arena",
        [],
        {},
    ]
    refused = 0
    for _ in range(200):
        changed = put(plan, rng.choice(everywhere), rng.choice(values))
        (tmp_path / "g.tj").write_bytes(resealed({**parts, name: json.dumps(changed).encode()}))
        try:
            tj.load(tmp_path / "g.tj", device="cuda")
        except tj.ArtifactError:
            refused += 1
    assert 100 < refused < 200
