"""The programs of an artifact for one target: made at export, and made ready to run at loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tracejit import portable
from tracejit._errors import ArtifactError, CompileError
from tracejit._gate import late
from tracejit.portable import Plans
from tracejit.runtime.cpu.compile import text_key
from tracejit.standalone.records import Call, Options, Target

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram
    from tracejit.ir.graph import Graph


def target_of(name: str) -> Target:
    """`cpu`, at the level that programs here are compiled for, or at another one that this processor has: `cpu:avx2`.

    Raises ValueError for any other name.
    """
    device, _, level = name.partition(":")
    if device != "cpu":
        levels = ", ".join(portable.LEVELS)
        raise ValueError(f"target {name!r}: it is 'cpu', or 'cpu:' and a level: {levels}")
    found = portable.level_of(level or None)
    return Target("cpu", found, portable.system(), portable.ABI, f"cpu-{found}")


def best_of(targets: Sequence[Target]) -> Target | None:
    """The best of the targets that this process can run; None where there is none."""
    here = "cpu", portable.system(), portable.ABI
    for level in portable.LEVELS:
        for target in targets:
            is_right = target.level == level and (target.name, target.system, target.abi) == here
            if is_right and portable.fits(level):
                return target
    return None


def compiled(
    graphs: Sequence[Graph], target: Target, options: Options
) -> tuple[Plans, dict[str, bytes]]:
    """The plans of the graphs, and the objects of all that they launch, by name."""
    return portable.compiled(
        graphs, target.level, fastmath=options.fastmath, memory_limit=options.memory_limit
    )


def for_calls(
    call: Call,
    plans: Plans,
    objects: Mapping[str, bytes],
    constants: Mapping[str, np.ndarray],
    target: Target,
) -> list[tuple[str, bytes]]:
    """The machine code by which calls are entered without Python, by the key of its text, in which is where the CPython and the
    NumPy of this process keep what it reads."""
    programs = portable.linked(plans, objects)
    sources = late("tracejit.standalone.entry").texts_of(call, programs, constants)
    made = portable.objects_of(sources, target.level)
    return [(text_key(source), made[source.name]) for source in sources]


def loaded(plans: Plans, objects: Mapping[str, bytes], where: str) -> list[AnyProgram]:
    """The plans ready to run. Raises ArtifactError for objects that are none."""
    try:
        return portable.linked(plans, objects)
    except CompileError as error:
        raise ArtifactError(f"{where}: its objects cannot be linked: {error}") from None


def lowered(graphs: Sequence[Graph], options: Options) -> list[AnyProgram]:
    """The graphs compiled here."""
    executable_of = late("tracejit.executable").executable_of
    made = [
        executable_of(graph, fastmath=options.fastmath, memory_limit=options.memory_limit)
        for graph in graphs
    ]
    return [each.program for each in made]
