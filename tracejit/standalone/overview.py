"""What `tracejit inspect` tells of an artifact."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

from tracejit.cli import in_units
from tracejit.standalone.combinations import named
from tracejit.standalone.facts import Facts, facts_of, name_of
from tracejit.standalone.raising import shown_name
from tracejit.standalone.records import (
    Again,
    Atom,
    Body,
    Decide,
    Finish,
    Loop,
    Raise,
    Run,
    Slot,
    Target,
    Text,
)
from tracejit.standalone.ways import has_loops


def overview(path: Path) -> str:
    """The signature, the state, what was baked in, the targets with their launches, and the graph. Raises ArtifactError."""
    facts = facts_of(path)
    manifest = facts.manifest
    made, call = manifest.made, manifest.call
    parts = [
        f"{manifest.name}{facts.signature}",
        f"  defined at {manifest.where}",
        f"  {in_units(facts.nbytes)}, sha256 {facts.sha256}",
        f"  version {manifest.version}, by tracejit {made.tracejit}, NumPy {made.numpy}, LLVM {made.llvm}",
    ]
    parts += _section("open sizes", [f"{what}  {where}" for what, where in facts.open])
    parts += _section("state", [": ".join(facts.state(each)) for each in call.state])
    parts += _section("baked in", [f"{e.name} = {e.value}  {e.where}" for e in manifest.baked])
    asked = facts.requirements
    parts += _section("holds while", [f"{e.text} is {e.value!r}  {e.where}" for e in asked])
    if not isinstance(call.body.end, Finish):
        parts += _section("ways", [*_ways(call.body)])
    for target in manifest.targets:
        parts += _target(target, facts)
    parts += _section("graph", facts.graph.splitlines())
    return "\n".join(parts)


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def _told(arg: Atom | Slot | Text) -> str:
    """What an exception is made of, as one would write it."""
    if isinstance(arg, Text):
        parts = (each if isinstance(each, str) else "{...}" for each in arg.parts)
        return f"f{''.join(parts)!r}"
    return "..." if isinstance(arg, Slot) else repr(arg)


def _ways(body: Body) -> Iterator[str]:
    """What is decided, and which programs run on which way."""
    for step in body.steps:
        if isinstance(step, Run):
            yield f"program {step.program}"
    end = body.end
    match end:
        case Finish():
            yield "the result"
        case Raise(args=args, where=where):
            yield f"raise {shown_name(end)}({', '.join(map(_told, args))})  {where}"
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


def _target(target: Target, facts: Facts) -> Iterator[str]:
    objects = facts.objects(target)
    size = in_units(sum(map(len, objects)))
    yield ""
    of = f" for {named(facts.sizes.names, facts.first)}" if facts.first else ""
    yield f"target {target.name} {target.level} of {target.system}{of}: {len(objects)} objects, {size}"
    if has_loops(facts.manifest.call):
        why = facts.why_python(target)
        yield "  loops: " + (f"by Python, as {why}" if why else "machine code")
    for number, plan in enumerate(facts.plans[target].plans):
        memory = f"{in_units(plan.arena_bytes)} of scratch memory"
        yield f"  program {number}: {len(plan.steps)} launches, {memory}"
        yield from (f"    {name_of(step)}  ({in_units(step.nbytes)})" for step in plan.steps)
