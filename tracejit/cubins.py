"""Graphs compiled for GPUs that need not be here: one plan for all architectures, and the code of its kernels for one of them.

As programs of any GPU give the same bits, a plan depends on none; the code is a cubin, or PTX, which a GPU's driver compiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracejit._digest import digest
from tracejit._errors import CompileError, DeviceError
from tracejit._gate import late
from tracejit.portable import Plans, call_host
from tracejit.runtime.cache import disk_cache
from tracejit.runtime.cuda.abi import ABI, ARCHITECTURES, PTX, SYSTEM, best_of

if TYPE_CHECKING:
    from tracejit.artifact import Plan
    from tracejit.backends import AnyProgram
    from tracejit.ir.graph import Graph

__all__ = ["ABI", "PTX", "SYSTEM", "best", "compiled", "level_of", "linked", "lowered", "on_paper"]

DEVICE = "cuda"


def level_of(name: str | None) -> str:
    """What code is made for: an architecture such as `sm_90`, that of the GPU here (None), or all from sm_80 on (`ptx`).

    Raises ValueError for another name, DeviceUnavailable where there is no GPU to ask.
    """
    if name is None:
        architecture: str = late("tracejit.runtime.cuda.driver").gpu().architecture
        return architecture
    if name == "ptx":
        return PTX
    if name not in ARCHITECTURES:
        raise ValueError(f"{name!r} is none of ptx, {', '.join(ARCHITECTURES)}")
    return name


def best(levels: Iterable[str], device: str) -> str | None:
    """What the GPU of this name runs best; None where it can run none. Raises DeviceUnavailable where it is not here."""
    return best_of([*levels], late("tracejit.runtime.cuda.driver").gpu_named(device).capability)


def compiled(
    graphs: Sequence[Graph], level: str, *, fastmath: bool, memory_limit: int | None
) -> tuple[Plans, dict[str, bytes]]:
    """The graphs' plans, and the code of all kernels by name. Raises DeviceUnavailable where there is no NVRTC."""
    plans = _planned(graphs, fastmath, memory_limit, tells=True)
    sources = {source.name: source for plan in plans for source in plan.kernels}
    wanted = [sources[name] for name in sorted(sources)]
    images = late("tracejit.runtime.cuda.kernels").images_of(wanted, level, disk_cache())
    return Plans(plans, {name: name for name in sorted(sources)}, None), images


def linked(made: Plans, images: Mapping[str, bytes], device: str) -> list[AnyProgram]:
    """The plans ready to run on a GPU. Raises CompileError for code that its driver does not take."""
    gpu = late("tracejit.runtime.cuda.driver").gpu_named(device)
    functions = {use: _function(gpu, name, images[name]) for use, name in made.kernels.items()}
    program = late("tracejit.runtime.cuda.program").CudaProgram
    return [program(plan, call_host, gpu, functions) for plan in made.plans]


def on_paper(made: Plans) -> list[Any]:
    """The plans as programs of a GPU that need not be here, of which machine code for calls can be written."""
    program = late("tracejit.runtime.cuda.paper").PaperProgram
    return [program(plan) for plan in made.plans]


def lowered(
    graphs: Sequence[Graph], device: str, *, fastmath: bool, memory_limit: int | None
) -> list[AnyProgram]:
    """The graphs compiled here. Raises DeviceUnavailable where there is no NVRTC."""
    gpu = late("tracejit.runtime.cuda.driver").gpu_named(device)
    program = late("tracejit.runtime.cuda.program").CudaProgram
    plans = _planned(graphs, fastmath, memory_limit, tells=False)
    return [program(plan, call_host, gpu) for plan in plans]


def _planned(
    graphs: Sequence[Graph], fastmath: bool, memory_limit: int | None, *, tells: bool
) -> tuple[Plan, ...]:
    plan_graph = late("tracejit.compiler").plan_graph
    options = {"fastmath": fastmath, "memory_limit": memory_limit, "device": DEVICE, "tells": tells}
    return tuple(plan_graph(graph, **options)[2] for graph in graphs)


def _function(gpu: Any, name: str, image: bytes) -> Any:
    key = gpu.index, name, digest(image)
    if key not in _functions:
        try:
            _functions[key] = gpu.load(image).get_function(name)
        except (DeviceError, gpu.error) as error:
            raise CompileError(f"{name}: {error}") from None
    return _functions[key]


_functions: dict[tuple[int, str, str], Any] = {}
"""Kernels that are loaded, where they stay, by device, name and hash."""
