"""What `tracejit inspect` tells of an artifact, of which no code is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tracejit import dtypes
from tracejit.artifact import HostCall, Plan
from tracejit.ir.aval import aval
from tracejit.standalone.binding import signature_of
from tracejit.standalone.container import sha256, unpack
from tracejit.standalone.manifest import GRAPH, manifest_of, plan_entry
from tracejit.standalone.plans import plans_from_json
from tracejit.standalone.records import (
    Manifest,
    NumberState,
    Require,
    Run,
    State,
    Target,
    TensorState,
)


def overview(path: Path) -> str:
    """The signature, the state, what was baked in, the targets with their launches, and the graph. Raises ArtifactError."""
    data = path.read_bytes()
    entries = unpack(data)
    manifest = manifest_of(entries)
    made = manifest.made
    call = manifest.call
    parts = [
        f"{manifest.name}{signature_of(call)}",
        f"  defined at {manifest.where}",
        f"  {in_units(len(data))}, sha256 {sha256(data)}",
        f"  version {manifest.version}, by tracejit {made.tracejit}, NumPy {made.numpy}, LLVM {made.llvm}",
    ]
    updated = {each.slot for each in call.updates} | _written(manifest, entries)
    parts += _section("state", [_state(each, each.slot in updated) for each in call.state])
    parts += _section("baked in", [f"{e.name} = {e.value}  {e.where}" for e in manifest.baked])
    asked = [step for step in call.steps if isinstance(step, Require)]
    parts += _section("holds while", [f"{e.text} is {e.value!r}  {e.where}" for e in asked])
    for target in manifest.targets:
        parts += _target(target, entries)
    parts += _section("graph", bytes(entries[GRAPH]).decode().splitlines())
    return "\n".join(parts)


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def _state(state: State, is_updated: bool) -> str:
    ends = ", updated by each call" if is_updated else ""
    match state:
        case TensorState(name=name, dtype=dtype, shape=shape):
            return f"{name}: {aval(dtypes.as_dtype(dtype), shape)}{ends}"
        case NumberState(name=name, value=value):
            return f"{name}: {value!r}{ends}"


def _written(manifest: Manifest, entries: Mapping[str, memoryview]) -> set[int]:
    """Slots whose memory programs write."""
    for target in manifest.targets:
        entry = plan_entry(target)
        plans = plans_from_json(bytes(entries[entry]), entry).plans
        runs = [step for step in manifest.call.steps if isinstance(step, Run)]
        return {run.inputs[n][0] for run in runs for n in plans[run.program].written}
    return set()


def _target(target: Target, entries: Mapping[str, memoryview]) -> Iterator[str]:
    entry = plan_entry(target)
    found = plans_from_json(bytes(entries[entry]), entry)
    objects = [
        name for name in entries if name.startswith(f"{target.folder}/") and name.endswith(".o")
    ]
    size = sum(len(entries[name]) for name in objects)
    yield ""
    yield f"target {target.name} {target.level} of {target.system}: {len(objects)} objects, {in_units(size)}"
    for number, plan in enumerate(found.plans):
        yield f"  program {number}: {len(plan.steps)} launches, {in_units(plan.arena_bytes)} of scratch memory"
        yield from (f"    {line}" for line in _launches(plan))


def _launches(plan: Plan) -> Iterator[str]:
    for step in plan.steps:
        name = f"NumPy's {step.op}" if isinstance(step, HostCall) else step.note
        yield f"{name}  ({in_units(step.nbytes)})"


def in_units(size: int) -> str:
    """`155.6 KiB`"""
    amount, units = float(size), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while amount >= 1024:
        amount, unit = amount / 1024, next(units)
    return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
