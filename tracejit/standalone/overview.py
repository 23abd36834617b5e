"""What `tracejit inspect` tells of an artifact, of which no code is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import assert_never

from tracejit import dtypes
from tracejit.artifact import HostCall, Plan
from tracejit.cli import in_units
from tracejit.ir.aval import aval
from tracejit.portable import Plans
from tracejit.standalone.binding import signature_of
from tracejit.standalone.check import check_call, updated_state
from tracejit.standalone.container import sha256, unpack
from tracejit.standalone.manifest import GRAPH, STATE, manifest_of, plan_entry
from tracejit.standalone.plans import plans_from_json
from tracejit.standalone.records import (
    Again,
    Body,
    Decide,
    Finish,
    Loop,
    Manifest,
    NumberState,
    Raise,
    Require,
    Run,
    State,
    Target,
    TensorState,
)
from tracejit.standalone.safetensors import read
from tracejit.standalone.ways import steps_of


def overview(path: Path) -> str:
    """The signature, the state, what was baked in, the targets with their launches, and the graph. Raises ArtifactError."""
    data = path.read_bytes()
    entries = unpack(data)
    manifest = manifest_of(entries)
    made, call = manifest.made, manifest.call
    plans = {target: _plans(target, manifest, entries) for target in manifest.targets}
    parts = [
        f"{manifest.name}{signature_of(call)}",
        f"  defined at {manifest.where}",
        f"  {in_units(len(data))}, sha256 {sha256(data)}",
        f"  version {manifest.version}, by tracejit {made.tracejit}, NumPy {made.numpy}, LLVM {made.llvm}",
    ]
    updated: set[int] = set()
    for found in plans.values():
        updated |= updated_state(call, found.plans)
    parts += _section("state", [_state(each, each.slot in updated) for each in call.state])
    parts += _section("baked in", [f"{e.name} = {e.value}  {e.where}" for e in manifest.baked])
    asked = [step for step in steps_of(call) if isinstance(step, Require)]
    parts += _section("holds while", [f"{e.text} is {e.value!r}  {e.where}" for e in asked])
    if not isinstance(call.body.end, Finish):
        parts += _section("ways", [*_ways(call.body)])
    for target, found in plans.items():
        parts += _target(target, found, entries)
    parts += _section("graph", bytes(entries[GRAPH]).decode().splitlines())
    return "\n".join(parts)


def _plans(target: Target, manifest: Manifest, entries: Mapping[str, memoryview]) -> Plans:
    entry = plan_entry(target)
    plans = plans_from_json(bytes(entries[entry]), entry)
    check_call(manifest.call, plans.plans, read(entries[STATE], STATE))
    return plans


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def _state(state: State, is_updated: bool) -> str:
    ends = ", updated by each call" if is_updated else ""
    match state:
        case TensorState(name=name, dtype=dtype, shape=shape):
            return f"{name}: {aval(dtypes.as_dtype(dtype), shape)}{ends}"
        case NumberState(name=name, value=value):
            return f"{name}: {value!r}{ends}"


def _ways(body: Body) -> Iterator[str]:
    """What is decided, and which programs run on which way."""
    for step in body.steps:
        if isinstance(step, Run):
            yield f"program {step.program}"
    end = body.end
    match end:
        case Finish():
            yield "the result"
        case Raise(error=error, args=args, where=where):
            yield f"raise {error}({', '.join(map(repr, args))})  {where}"
        case Decide(true=true, false=false, where=where):
            yield f"if  {where}"
            yield from (f"  {line}" for line in _ways(true))
            yield "else"
            yield from (f"  {line}" for line in _ways(false))
        case Loop(body=inner):
            yield "loop"
            yield from (f"  {line}" for line in _ways(inner))
        case Again(loop=loop):
            yield "the next round" + (f" of the loop {loop} further out" if loop else "")
        case _:
            assert_never(end)


def _target(target: Target, plans: Plans, entries: Mapping[str, memoryview]) -> Iterator[str]:
    folder = f"{target.folder}/"
    objects = [name for name in entries if name.startswith(folder) and name.endswith(".o")]
    size = in_units(sum(len(entries[name]) for name in objects))
    yield ""
    yield f"target {target.name} {target.level} of {target.system}: {len(objects)} objects, {size}"
    for number, plan in enumerate(plans.plans):
        memory = f"{in_units(plan.arena_bytes)} of scratch memory"
        yield f"  program {number}: {len(plan.steps)} launches, {memory}"
        yield from (f"    {line}" for line in _launches(plan))


def _launches(plan: Plan) -> Iterator[str]:
    for step in plan.steps:
        name = f"NumPy's {step.op}" if isinstance(step, HostCall) else step.note
        yield f"{name}  ({in_units(step.nbytes)})"
