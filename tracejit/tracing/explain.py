"""`tj.explain`: what became of a compiled function, why, and what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracejit._errors import at_user_line
from tracejit._gate import late
from tracejit.ir.graph import Apply, Graph, Node
from tracejit.ir.printer import print_graph
from tracejit.tracing.compile import Compiled, is_deferred
from tracejit.tracing.programs import PIECE, Compilation, Program, Programs

if TYPE_CHECKING:
    from tracejit.tracing.replay.variants import Variant


@dataclass(frozen=True, slots=True)
class KernelUse:
    """A launch of a kernel, or a call of NumPy: the ops that it computes with the lines they stand at, and the bytes it moves.

    `nanoseconds` is what the compiler takes it to cost on one core, by which it has chosen what to fuse, to share and to compute
    anew; 0 on a GPU.
    """

    name: str
    computes: str
    nbytes: int
    nanoseconds: int = 0

    def __str__(self) -> str:
        cost = f", about {_time(self.nanoseconds)}" if self.nanoseconds else ""
        return f"{self.computes or self.name}  ({_size(self.nbytes)}{cost})"


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Of one run of each program: scratch memory, and bytes read and written, each operand of each launch counted once.

    `peak_bytes` is the most that one of them allocates: its results, scratch memory, and scratch of each thread.
    """

    arena_bytes: int
    bytes_moved: int
    peak_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What `str()` tells people, for programs.

    tier         2: calls are replayed without Python; 1: Python runs and its ops are recorded; 0: nothing has been recorded
    calls        how many there were of each kind: replay, record, eager
    reasons      why calls are not replayed, with file:line and what mends it
    cuts         where ops had to run before the end of a call, why, and how often
    variants     the recordings, in the order in which they are tried: new ones, and those often used, come first
    guards       what a replay checks, with the user's line that depends on it, of the first variant
    misses       why calls were recorded again: the guard that failed, what stood there, the line and what mends it
    graphs       the recorded graphs, whose nodes have the user's file:line; those of backward passes come last
    kernels      what the programs launch
    memory       what they use
    recompiles   for each program that took the place of an earlier one: what had changed
    divergences  what `verify` found
    seconds      spent compiling
    compiling    how many programs run op by op, as they are still to be compiled in the background
    failures     why programs could not be compiled there
    """

    name: str
    tier: int
    calls: dict[str, int]
    reasons: tuple[str, ...]
    cuts: tuple[str, ...]
    variants: tuple[Variant, ...]
    guards: tuple[str, ...]
    misses: tuple[str, ...]
    graphs: tuple[Graph, ...]
    kernels: tuple[KernelUse, ...]
    memory: MemoryUse
    recompiles: tuple[str, ...]
    divergences: tuple[str, ...]
    seconds: float
    compiling: int
    failures: tuple[str, ...]

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in self.calls.items())
        moved, arena = _size(self.memory.bytes_moved), _size(self.memory.arena_bytes)
        lines = [
            f"{self.name}: tier {self.tier}",
            f"calls: {counts}",
            *(f"why: {reason}" for reason in self.reasons),
            *(f"cut: {cut}" for cut in self.cuts),
            *(f"recorded again: {miss}" for miss in self.misses),
            *_variants().lines_of(self.variants),
            f"programs: {len(self.graphs)}, compiled in {self.seconds:.2f} s",
            *self._late(),
            *(f"recompiled: {reason}" for reason in self.recompiles),
            *(f"diverged: {line}" for line in self.divergences),
            f"kernels: {len(self.kernels)}, which move {moved} and use {arena} of scratch memory",
            f"memory: a run allocates {_size(self.memory.peak_bytes)} at most",
            *(f"  {line}" for line in _counted(self.kernels)),
        ]
        for number, graph in enumerate(self.graphs):
            lines += [
                f"graph {number}:",
                *(f"  {line}" for line in print_graph(graph).splitlines()),
            ]
        return "\n".join(lines)

    __repr__ = __str__

    def _late(self) -> Iterator[str]:
        if self.compiling:
            yield f"compiling in the background: {self.compiling} program{'s' * (self.compiling > 1)}"
        for failure in self.failures:
            yield f"not compiled: {failure}"


def _counted(kernels: tuple[KernelUse, ...]) -> Iterator[str]:
    """Each kind of launch once: those of an unrolled loop are in every round the same."""
    for kernel, count in Counter(kernels).items():
        yield f"{kernel}" if count == 1 else f"{kernel}, {count} times"


def _variants() -> Any:
    """Loaded when something is explained, as replaying is when something is called."""
    return late("tracejit.tracing.replay.variants")


def explain(f: Callable[..., Any]) -> Explanation:
    """What became of a compiled function; TypeError for any other.

    >>> import tracejit as tj
    >>> @tj.compile
    ... def double(x):
    ...     return x * 2
    >>> double(tj.tensor([1.0, 2.0]))
    tensor([2., 4.])
    >>> found = tj.explain(double)
    >>> found.calls["record"], len(found.graphs), found.kernels[0].computes.split()[0]
    (1, 1, 'multiply')
    """
    compiled = _compiled(f)
    made = [*compiled.programs.compiled, *compiled.gradients.compiled]
    programs = [compilation.program for compilation in made]
    if not compiled.programs.options.background:
        programs = [program.ready() for program in programs]  # NumPy may run the first of a process
    executables = [
        program.executable for program in programs if hasattr(program.executable, "plan")
    ]
    calls = dict(compiled.calls)  # the recordings know from here on what was theirs
    variants = tuple(map(_variants().variant_of, list(compiled.replays.tree.roots)))
    return Explanation(
        name=getattr(compiled.function, "__qualname__", type(compiled.function).__qualname__),
        tier=2 if compiled.replays.tree.roots else 1 if compiled.calls["record"] else 0,
        calls=calls,
        reasons=tuple(_reasons(compiled)),
        cuts=tuple(f"{cut} ({count} times)" for cut, count in compiled.programs.cuts.items()),
        variants=variants,
        guards=variants[0].guards if variants else (),
        misses=tuple(compiled.replays.misses),
        graphs=tuple(program.graph for program in programs),
        kernels=tuple(use for program in programs for use in _kernels(program)),
        memory=MemoryUse(
            arena_bytes=sum(executable.plan.arena_bytes for executable in executables),
            bytes_moved=sum(executable.bytes_moved for executable in executables),
            peak_bytes=max((executable.peak_bytes for executable in executables), default=0),
        ),
        recompiles=(
            *_recompiles(compiled.programs),
            *_recompiles(compiled.gradients),
        ),
        divergences=tuple(compiled.divergences),
        seconds=sum(program.seconds for program in programs),
        compiling=sum(program.is_late for program in programs),
        failures=tuple(program.failure for program in programs if program.failure),
    )


def _compiled(f: Any) -> Compiled:
    found = f
    while not isinstance(found, Compiled):
        found = getattr(found, "__func__", None) or getattr(found, "__wrapped__", None)
        if found is None:
            raise TypeError(at_user_line(f"explain: {f!r} is not a compiled function"))
    return found


def _reasons(compiled: Compiled) -> Iterator[str]:
    replays = compiled.replays
    where = replays.definition
    if not any(compiled.calls.values()):
        yield f"{where}: it has not been called yet"
    elif is_deferred(compiled.function):
        yield f"{where}: the call only makes a generator or coroutine, whose body runs after it, eagerly"
    else:
        if compiled.copies_arrays:
            yield (
                f"{where}: NumPy arrays are copied where they are read, and written at once: the function, or an argument, "
                "may lead to other arrays over their memory; let it use its arguments, numbers and NumPy only"
            )
        if compiled.programs.is_in_pieces:
            yield f"{where}: calls differ in length, so their ops are run in pieces of {PIECE}"
        yield from replays.denials
        if replays.reason is not None and replays.reason not in replays.denials.texts:
            yield replays.reason
        elif not compiled.calls["replay"] and not replays.denials:
            yield (
                replays.misses.last or f"{where}: one call has been recorded, and none replayed yet"
            )


def _kernels(program: Program) -> Iterator[KernelUse]:
    for launch in getattr(program.executable, "launches", ()):
        name = getattr(launch, "kernel", None) or f"numpy {launch.op}"
        yield KernelUse(name, launch.note, launch.nbytes, launch.nanoseconds)


# What has changed since a part of the function was compiled before


def _recompiles(programs: Programs) -> Iterator[str]:
    seen: dict[int, list[Compilation]] = {}
    for compilation in programs.compiled:
        before = seen.setdefault(compilation.part, [])
        if before:
            yield _change([other.program.graph for other in before], compilation.program.graph)
        before.append(compilation)


def _change(known: list[Graph], graph: Graph) -> str:
    alike = [other for other in known if _ops(other) == _ops(graph)]
    if not alike:
        return _other_ops(known[-1], graph)
    pairs = zip(alike[-1].inputs, graph.inputs)
    changes = [
        f"input {place}: {_shown(old)} -> {_shown(new)}"
        for place, (old, new) in enumerate(pairs)
        if _shown(old) != _shown(new)
    ]
    return "; ".join(changes) or _other_parameters(alike[-1], graph)


def _ops(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.applies]


def _shown(node: Node) -> str:
    strides = getattr(node, "strides", None)
    return str(node.aval) if strides is None else f"{node.aval} strides {strides}"


def _other_ops(before: Graph, graph: Graph) -> str:
    for old, new in zip(before.applies, graph.applies):
        if old.op is not new.op:
            return f"{new.loc}: {new.op} where {old.op} was (at {old.loc})"
    longer = max(before, graph, key=lambda g: len(g.applies)).applies
    shorter = min(len(before.applies), len(graph.applies))
    if len(longer) == shorter:
        return "other results are used"
    first: Apply = longer[shorter]
    verb = "is new" if len(graph.applies) > shorter else "is gone"
    return f"{first.loc}: {first.op} {verb}"


def _other_parameters(before: Graph, graph: Graph) -> str:
    for old, new in zip(before.applies, graph.applies):
        if old.params != new.params:
            return f"{new.loc}: the parameters of {new.op} are {dict(new.params)}, were {dict(old.params)}"
    return "other results are used, or arrays share memory in another way"


def _time(nanoseconds: int) -> str:
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.1f} {unit}"
    return f"{nanoseconds} ns"


def _size(nbytes: int) -> str:
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if nbytes >= size:
            return f"{nbytes / size:.1f} {unit}"
    return f"{nbytes} B"
