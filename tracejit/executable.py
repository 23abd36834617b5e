"""Graphs made ready to run: by the compiler, or from the plan that it made of the same graph in an earlier process.

A plan is kept in the disk cache under all that it follows from: the graph's text, the settings, the host, and the sources of
this package. Its kernels lie there too, each under a key of its own, since programs share them. So a process that finds both
loads neither the compiler nor LLVM.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tracejit._config import config
from tracejit._digest import digest
from tracejit._gate import late
from tracejit._records import dataclass
from tracejit._sources import sources
from tracejit.artifact import HostCall, LaunchSpec, Plan
from tracejit.backends import AnyProgram, Backend, backend_of
from tracejit.ir.device import device_of
from tracejit.ir.graph import Apply, Graph
from tracejit.ir.printer import print_graph
from tracejit.kept_plan import NotKept, packed, unpacked
from tracejit.ops import windows  # noqa: F401  # registers an op: all that are the package's are to be known below
from tracejit.ops.registry import REGISTRY
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cache import DiskCache, disk_cache

_OWN_OPS = dict(REGISTRY)
"""Ops whose rules are among the package's sources: no others had a chance to be registered yet."""


@dataclass(frozen=True, slots=True, eq=False)
class Executable:
    """A graph compiled for this machine."""

    plan: Plan
    program: AnyProgram
    seconds: float
    """What making it took."""

    def run(
        self, inputs: Sequence[int], scalars: Sequence[bool | int | float] = ()
    ) -> list[Buffer]:
        """Row-major outputs, from the addresses of the graph's arrays and its Python numbers, both in order."""
        return self.program.run(inputs, scalars)

    @property
    def launches(self) -> tuple[LaunchSpec | HostCall, ...]:
        return self.plan.steps

    @property
    def peak_bytes(self) -> int:
        """Bytes that a run allocates: its outputs, its arena, and scratch for each thread that may take part."""
        return self.program.peak_bytes

    @property
    def bytes_moved(self) -> int:
        """Bytes that its launches read and write, each operand of each counted once."""
        return sum(launch.nbytes for launch in self.plan.steps)


def executable_of(
    graph: Graph,
    text: str | None = None,
    *,
    fastmath: bool = False,
    memory_limit: int | None = None,
) -> Executable:
    """The program that computes the graph's outputs and makes its writes; `text` is the graph's, where it is at hand.

    Raises MemoryLimitError where it would allocate more than `memory_limit` bytes, whatever is computed anew.
    """
    disk = disk_cache() if may_keep(graph) else None
    if disk is None:
        return _compiled(graph, fastmath, memory_limit)
    epoch = config.epoch
    backend = backend_of(device_of(graph))
    text = text or print_graph(graph, locations=False)
    key = _key(text, fastmath, memory_limit, backend.fingerprint)
    found = _from_disk(graph, backend, disk, key)
    if found is None:
        found = _compiled(graph, fastmath, memory_limit)
        if (
            config.epoch == epoch
        ):  # else it may have been made under other settings than the key says
            _keep(graph, found.plan, backend, disk, key)
    return found


def is_loaded() -> bool:
    """Whether this process has compiled something: the first time takes far longer, as the compiler and LLVM are loaded."""
    return bool(_loaded)


_loaded: list[Any] = []
"""The compiler, once it has made something."""


def call_host(call: HostCall, arrays: list[np.ndarray], out: np.ndarray) -> None:
    """An op with no kernel, by its NumPy `eval`."""
    out[...] = REGISTRY[call.op].eval(*arrays, **dict(call.params))


def _compiled(graph: Graph, fastmath: bool, memory_limit: int | None) -> Executable:
    compiler = late("tracejit.compiler")
    made: Executable = compiler.compile_graph(graph, fastmath=fastmath, memory_limit=memory_limit)
    _loaded[:] = [compiler]
    return made


def may_keep(graph: Graph) -> bool:
    """Not where somebody wants to see the stages, nor with ops of which it is not known when they change."""
    if config.dump_dir or config.verify_ir:
        return False
    return foreign_op(graph) is None


def foreign_op(graph: Graph) -> Apply | None:
    """The first op that is none of the package's own; None where there is none."""
    return next((n for n in graph.applies if _OWN_OPS.get(n.op.name) is not n.op), None)


def _key(text: str, fastmath: bool, memory_limit: int | None, machine: str) -> str:
    settings = repr((fastmath, memory_limit, config.fuse, config.target))
    # marshal's format is Python's own, and NumPy computes what passes fold.
    versions = f"{sys.version} {np.__version__}"
    content = "\0".join((text, settings, machine, sources(), versions))
    return digest(content)


# On disk: the plan, and the name and key of the object of each kernel


def _from_disk(graph: Graph, backend: Backend, disk: DiskCache, key: str) -> Executable | None:
    start = time.perf_counter()
    kept = disk.get(key)
    if kept is None:
        return None
    plan, kernels = unpacked(kept)
    loaded = backend.load(dict(kernels.values()), disk)
    if loaded is None:
        return None
    plan = _with_notes(plan, {f"#{n}": line for n, line in _lines(graph)})
    by_use = {use: loaded[name] for use, (name, _) in kernels.items()}
    program = backend.program(plan, call_host, by_use)
    return Executable(plan, program, time.perf_counter() - start)


def _keep(graph: Graph, plan: Plan, backend: Backend, disk: DiskCache, key: str) -> None:
    kernels = backend.keys(plan)
    plan = _with_notes(plan, {line: f"#{n}" for n, line in reversed(list(_lines(graph)))})
    try:
        disk.put(key, packed(plan, kernels))
    except NotKept:
        return


def _lines(graph: Graph) -> Iterator[tuple[int, str]]:
    """The user's line of each node. A graph has the same text wherever it stands, and notes are to name the line it stands at."""
    for number, node in enumerate(graph.nodes):
        if node.loc is not None:
            yield number, str(node.loc)


def _with_notes(plan: Plan, lines: Mapping[str, str]) -> Plan:
    """The plan with other names for the user's lines in the notes of its steps."""

    def renamed(note: str) -> str:
        ops, gap, names = note.partition("  ")
        return f"{ops}{gap}{', '.join(lines.get(name, name) for name in names.split(', '))}"

    steps: list[Any] = [replace(step, note=renamed(step.note)) for step in plan.steps]
    return replace(plan, steps=tuple(steps))
