"""The programs of an artifact for one target: made at export, and made ready to run at loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tracejit import portable
from tracejit._errors import ArtifactError, CompileError, at_user_line
from tracejit._gate import late
from tracejit.portable import Plans
from tracejit.standalone.homes import OnPaper
from tracejit.standalone.records import Call, Options, Target

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram
    from tracejit.ir.graph import Graph


def target_of(name: str) -> Target:
    """`cpu`, at the level that programs here are compiled for, or at another one that this processor has: `cpu:avx2`; `cuda`, for
    the GPU that is here, or for another architecture: `cuda:sm_90`, `cuda:ptx`.

    Raises ValueError for any other name, DeviceUnavailable for `cuda` where there is no GPU.
    """
    device, _, level = name.partition(":")
    if device == "cuda":
        cubins = late("tracejit.cubins")
        try:
            found = cubins.level_of(level or None)
        except ValueError as error:
            raise ValueError(at_user_line(f"target {name!r}: {error}")) from None
        folder = f"cuda-{'ptx' if found == cubins.PTX else found}"
        return Target("cuda", found, cubins.SYSTEM, cubins.ABI, folder)
    if device != "cpu":
        levels = ", ".join(portable.LEVELS)
        raise ValueError(
            f"target {name!r}: it is 'cpu', 'cuda', 'cpu:' and a level ({levels}), or 'cuda:' and an architecture"
        )
    found = portable.level_of(level or None)
    return Target("cpu", found, portable.system(), portable.ABI, f"cpu-{found}")


def best_of(targets: Sequence[Target], device: str) -> Target | None:
    """The best of the targets that this process can run on a device; None where there is none."""
    if device != "cpu":
        return _best_for_gpu(targets, device)
    here = "cpu", portable.system(), portable.ABI
    for level in portable.LEVELS:
        for target in targets:
            is_right = target.level == level and (target.name, target.system, target.abi) == here
            if is_right and portable.fits(level):
                return target
    return None


def _best_for_gpu(targets: Sequence[Target], device: str) -> Target | None:
    cubins = late("tracejit.cubins")
    here = "cuda", cubins.SYSTEM, cubins.ABI
    fitting = {each.level: each for each in targets if (each.name, each.system, each.abi) == here}
    best = cubins.best(fitting, device)
    return None if best is None else fitting[best]


def compiled(
    graphs: Sequence[Graph], target: Target, options: Options
) -> tuple[Plans, dict[str, bytes]]:
    """The plans of the graphs, and the objects of all that they launch, by name. Raises DeviceUnavailable where a GPU's kernels
    cannot be compiled."""
    if target.name == "cpu":
        return portable.compiled(
            graphs, target.level, fastmath=options.fastmath, memory_limit=options.memory_limit
        )
    cubins = late("tracejit.cubins")
    made: tuple[Plans, dict[str, bytes]] = cubins.compiled(
        graphs, target.level, fastmath=options.fastmath, memory_limit=options.memory_limit
    )
    return made


def for_calls(
    call: Call,
    plans: Plans,
    objects: Mapping[str, bytes],
    constants: Mapping[str, np.ndarray],
    target: Target,
) -> list[tuple[str, bytes]]:
    """The machine code by which calls are entered without Python, by the key of its text, in which is where the CPython and the
    NumPy of this process keep what it reads; what runs launches, whose text is of the processor, by its name."""
    texts_of = late("tracejit.standalone.entry").texts_of
    if target.name == "cpu":
        level = target.level
        sources = texts_of(call, portable.linked(plans, objects), constants)
    else:
        level = portable.least_level()
        sources = texts_of(call, late("tracejit.cubins").on_paper(plans), constants, OnPaper())
    made = portable.objects_of(sources, level)
    text_key = late("tracejit.runtime.cpu.compile").text_key
    runner = portable.runner_source()
    return [
        (source.name if source is runner else text_key(source), made[source.name])
        for source in sources
    ]


def loaded(plans: Plans, objects: Mapping[str, bytes], where: str, device: str) -> list[AnyProgram]:
    """The plans ready to run. Raises ArtifactError for objects that are none."""
    try:
        if device == "cpu":
            return portable.linked(plans, objects)
        made: list[AnyProgram] = late("tracejit.cubins").linked(plans, objects, device)
        return made
    except CompileError as error:
        raise ArtifactError(f"{where}: its objects cannot be linked: {error}") from None


def lowered(graphs: Sequence[Graph], options: Options, device: str) -> list[AnyProgram]:
    """The graphs compiled here."""
    if device != "cpu":
        on_gpu: list[AnyProgram] = late("tracejit.cubins").lowered(
            graphs, device, fastmath=options.fastmath, memory_limit=options.memory_limit
        )
        return on_gpu
    executable_of = late("tracejit.executable").executable_of
    made = [
        executable_of(graph, fastmath=options.fastmath, memory_limit=options.memory_limit)
        for graph in graphs
    ]
    return [each.program for each in made]
