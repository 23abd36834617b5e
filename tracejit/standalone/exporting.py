"""`tj.export`: a function as one file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import tracejit
from tracejit._errors import ExportError, RecompileError, at_user_line
from tracejit._gate import late
from tracejit.ir.graph import Graph
from tracejit.ir.printer import print_graph
from tracejit.ir.resize import Misfit, resized
from tracejit.portable import llvm
from tracejit.standalone import examples, native, safetensors
from tracejit.standalone.capture import Captured, capture
from tracejit.standalone.combinations import Values, combinations, named
from tracejit.standalone.container import Bytes, pack
from tracejit.standalone.making import entries_for
from tracejit.standalone.manifest import (
    FORMAT,
    GRAPH,
    MANIFEST,
    STATE,
    VERSION,
    call_entry,
    entries_of,
)
from tracejit.standalone.putting import put
from tracejit.standalone.reading import to_json
from tracejit.standalone.reads import ATOMS
from tracejit.standalone.records import (
    Call,
    Made,
    Manifest,
    NumberState,
    Options,
    State,
    Target,
)
from tracejit.standalone.sizes import atoms_of, fixed, for_sizes
from tracejit.tracing.session import is_recording


def export(
    f: Any,
    args: Sequence[Any],
    path: str | os.PathLike[str] | None,
    *,
    targets: Sequence[str],
    kwargs: Mapping[str, Any] | None,
    sizes: Mapping[str, Sequence[int]] | None,
    arrays: bool,
    c: str | os.PathLike[str] | None,
    name: str | None,
) -> None:
    """As `tj.export`."""
    if is_recording():
        raise ExportError(at_user_line("export: it cannot be done inside of a compiled function"))
    if not isinstance(args, list | tuple):
        kind = type(args).__name__
        raise TypeError(at_user_line(f"export: args are a tuple of arguments, got a {kind}"))
    if isinstance(targets, str) or not targets:
        raise ValueError(at_user_line(f"export: targets are a sequence of names, got {targets!r}"))
    if path is None and c is None:
        raise TypeError(at_user_line("export: there is neither a path nor a folder to write to"))
    found = {target.folder: target for target in map(native.target_of, targets)}
    wanted = [found[folder] for folder in sorted(found)]
    if c is not None and (other := [each for each in wanted if each.name != "cpu"]):
        shown = ", ".join(f"{each.name}:{each.level}" for each in other)
        why = f"libraries for C are for CPUs, and {shown} is not: leave it out, or c"
        raise ValueError(at_user_line(f"export: {why}"))
    call = examples.wanted(args, kwargs or {}, sizes or {}, arrays=arrays)
    captured = _captured(f, call)
    if path is not None:
        put(Path(path), pack(_entries(captured, wanted)))
    if c is not None:
        _write_library(captured, wanted, Path(c), name)


def _captured(f: Any, call: examples.Wanted) -> Captured:
    """What the function does for all sizes that code is made for."""
    refusal: ExportError | None = None
    for example in examples.examples(call):
        captured = capture(f, example)
        why = _too_narrow(captured)
        if not why:
            return captured
        refusal = refusal or ExportError(why)
    assert refusal is not None
    raise refusal


def _too_narrow(captured: Captured) -> str:
    """Why what was recorded does not hold for the sizes that are asked for, or for one only; "" where it does."""
    sizes = captured.sizes
    for name, asked in fixed(sizes):
        where = asked.where or captured.where
        return f"{where}: export: what is done there holds for {asked.text} only: give {name} as a number"
    for values in sizes.ahead:
        try:
            atoms = atoms_of(sizes, values)
            for graph in captured.script.graphs:
                resized(graph, atoms)
        except RecompileError as error:
            return f"{error}: export: leave these sizes out, or export the function for them alone"
        except Misfit as error:
            shown = named(sizes.names, values)
            return (
                f"{captured.where}: export: for {shown} the function does something else: {error}"
            )
    return ""


def _write_library(
    captured: Captured, targets: Sequence[Target], folder: Path, name: str | None
) -> None:
    library = late("tracejit.standalone.library.write")
    state, tensors = _with_values(captured)
    options, call = captured.options, replace(captured.script.call, state=state)
    library.write_library(
        library.Function(
            library.c_name(name, captured.name),
            captured.name,
            captured.where,
            captured.sizes,
            call,
            [library.Sized(*each) for each in _for_all_sizes(captured, call)],
            tensors,
            Options(options.fastmath, options.memory_limit),
        ),
        targets,
        folder,
    )


def _entries(captured: Captured, targets: Sequence[Target]) -> dict[str, Bytes]:
    script, options = captured.script, captured.options
    state, tensors = _with_values(captured)
    contents: dict[str, Bytes] = {
        GRAPH: "\n\n".join(map(print_graph, script.graphs)).encode(),
        STATE: safetensors.written(tensors),
    }
    compiled_with = Options(options.fastmath, options.memory_limit)
    call = replace(script.call, state=state)
    for target in targets:
        for values, sized, graphs in _for_all_sizes(captured, call):
            made, plans, objects = entries_for(
                graphs, sized, values, target, compiled_with, tensors
            )
            contents |= made
            for key, data in sorted(native.for_calls(sized, plans, objects, tensors, target)):
                contents[call_entry(target, key)] = data
    manifest = Manifest(
        FORMAT,
        VERSION,
        Made(tracejit.__version__, np.__version__, llvm()),
        captured.name,
        captured.where,
        captured.sizes,
        call,
        script.baked,
        compiled_with,
        tuple(targets),
        entries_of(contents),
    )
    return {MANIFEST: to_json(manifest), **contents}


def _for_all_sizes(captured: Captured, call: Call) -> Iterator[tuple[Values, Call, list[Graph]]]:
    """The call and its programs for each combination of sizes that code is made for."""
    for values in combinations(captured.sizes):
        atoms = atoms_of(captured.sizes, values)
        graphs = [resized(graph, atoms) for graph in captured.script.graphs]
        yield values, for_sizes(call, atoms), graphs


def _with_values(captured: Captured) -> tuple[tuple[State, ...], dict[str, np.ndarray]]:
    """The state with its numbers, and its tensors with the call's constants, by name."""
    tensors = dict(captured.script.constants)
    found: list[State] = []
    for state, value in zip(captured.script.call.state, captured.values, strict=True):
        if isinstance(state, NumberState):
            found.append(replace(state, value=value if type(value) in ATOMS else None))
            continue
        found.append(state)
        if state.is_read:
            tensors[state.name] = value
    return tuple(found), tensors
