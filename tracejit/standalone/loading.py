"""`tj.load`: an artifact from its file, of which nothing is believed before it has been checked.

What is checked is that the file is whole and unaltered, and asks for nothing outside its own memory; not who has made it. Native
code in it is run as that of any library is. Without it (`native=False`) no code of the file's is run.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tracejit._errors import ArtifactError, user_location
from tracejit._gate import late
from tracejit.artifact import Plan
from tracejit.portable import Plans
from tracejit.standalone import native as code
from tracejit.standalone import safetensors
from tracejit.standalone.artifact import Artifact
from tracejit.standalone.check import check_call, updated_state
from tracejit.standalone.container import sha256 as digest
from tracejit.standalone.container import unpack
from tracejit.standalone.homes import home_of
from tracejit.standalone.manifest import (
    GRAPH,
    STATE,
    call_entry,
    manifest_of,
    object_entry,
    plan_entry,
)
from tracejit.standalone.plans import plans_from_json
from tracejit.standalone.records import Manifest, Target
from tracejit.standalone.ways import has_loops

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram


def load(
    path: str | os.PathLike[str], *, native: bool, sha256: str | None, device: str
) -> Artifact:
    """As `tj.load`."""
    if device != "cpu":
        device = late("tracejit.runtime.device").full_name(device)
    with open(os.fspath(path), "rb") as file:  # noqa: PTH123  # pathlib takes a tenth of the time that loading does
        data = file.read()
    if sha256 is not None and digest(data) != sha256.lower():
        raise ArtifactError(f"{path}: its SHA-256 is {digest(data)}, and not the expected one")
    entries = unpack(data)
    manifest = manifest_of(entries)
    tensors = safetensors.read(entries[STATE], STATE)
    text = _text(entries[GRAPH])
    target = code.best_of(manifest.targets, device) if native else None
    rounds = None
    if target is None:
        if native:
            _warn(path, manifest, device)
        lowering = late("tracejit.standalone.lowering")
        graphs = lowering.graphs_of(text)
        interfaces: Sequence[Plan] = lowering.interfaces_of(graphs)
        check_call(manifest.call, interfaces, tensors)
        programs = lowering.lowered(graphs, manifest, device)
    else:
        entry = plan_entry(target)
        plans = plans_from_json(bytes(entries[entry]), entry, target.name)
        interfaces = plans.plans
        check_call(manifest.call, interfaces, tensors)
        programs = _loaded(entries, plans, target, device)
        if has_loops(manifest.call) and device == "cpu":
            loops = late("tracejit.standalone.loops")
            rounds = loops.native_rounds(manifest.call, programs, tensors, target, entries)
    is_fixed = not updated_state(manifest.call, interfaces)
    objects = {} if target is None else _for_calls(entries, target)
    return Artifact(
        manifest,
        programs,
        tensors,
        text,
        target,
        home_of(device),
        rounds,
        is_fixed=is_fixed,
        objects=objects,
    )


def _text(entry: memoryview) -> str:
    try:
        return bytes(entry).decode()
    except UnicodeDecodeError as error:
        raise ArtifactError(f"entry {GRAPH}: it is no text: {error}") from None


def _loaded(
    entries: Mapping[str, memoryview], plans: Plans, target: Target, device: str
) -> Sequence[AnyProgram]:
    objects = {}
    for name in plans.objects:
        entry = object_entry(target, name)
        if entry not in entries:
            raise ArtifactError(f"entry {entry}: it is missing")
        objects[name] = bytes(entries[entry])
    return code.loaded(plans, objects, f"entry {plan_entry(target)}", device)


def _for_calls(entries: Mapping[str, memoryview], target: Target) -> dict[str, bytes]:
    """Machine code for calls, by the key of its text."""
    before, after = call_entry(target, "\0").split("\0")
    return {
        name.removeprefix(before).removesuffix(after): bytes(content)
        for name, content in entries.items()
        if name.startswith(before) and name.endswith(after)
    }


def _warn(path: str | os.PathLike[str], manifest: Manifest, device: str) -> None:
    there = ", ".join(f"{each.system} {each.level}" for each in manifest.targets) or "none"
    here = "this machine" if device == "cpu" else f"{device} of this machine"
    message = f"{path}: no native code for {here} (there is {there}): the graph is compiled here"
    location = user_location()
    file, line = (location.file, location.line) if location else (__file__, 1)
    warnings.warn_explicit(message, RuntimeWarning, file, line)
