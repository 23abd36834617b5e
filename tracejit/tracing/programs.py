"""What has been compiled: of one function, and of the whole process."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from tracejit._config import config
from tracejit._records import dataclass
from tracejit.executable import executable_of
from tracejit.ir.dim import Sizes, name_of
from tracejit.ir.graph import Graph, Input
from tracejit.ir.interpret import interpret
from tracejit.ir.printer import print_graph
from tracejit.ir.resize import resized, sizes_of
from tracejit.runtime.buffer import Buffer, array_at
from tracejit.tracing.trace import Ends, Step, graph_of

Runner = Callable[[Sequence[int], Sequence[Any]], list[Buffer]]
MANY_LENGTHS = 24
PIECE = 100
"""A function that has made programs of so many lengths runs in pieces of so many values, most of which are alike."""
MOST_STEPS = 200_000
"""Steps kept for one function; a function whose every call is another begins anew after so many."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a program is compiled with besides the settings; `memory_limit` in bytes."""

    fastmath: bool = False
    memory_limit: int | None = None


class Program:
    """A graph that can be run."""

    __slots__ = ("__weakref__", "executable", "graph", "is_compiled", "seconds")

    executable: Any
    """It runs: `run(addresses, scalars) -> buffers`. One that `is_compiled` is a `tracejit.executable.Executable`."""

    def __init__(self, graph: Graph, text: str, options: Options) -> None:
        start = time.perf_counter()
        self.graph = graph
        self.is_compiled = config.eager != "numpy"
        self.executable = (
            executable_of(graph, text, fastmath=options.fastmath, memory_limit=options.memory_limit)
            if self.is_compiled
            else Interpreted(graph)
        )
        self.seconds = time.perf_counter() - start

    @property
    def run(self) -> Runner:
        """What runs it, which holds no more than that needs."""
        run: Runner = self.executable.program.run if self.is_compiled else self.executable.run
        return run


class SizedProgram(Program):
    """A graph with open sizes: a program for each combination of them, made when it is first needed."""

    __slots__ = ("_count", "_open", "_options", "_runs", "_sizes")

    def __init__(self, graph: Graph, sizes: Sizes, options: Options) -> None:
        self._open = graph
        self._sizes = sizes
        self._count = len(sizes.made)  # recordings to come may make more of them
        self._options = options
        self._runs: dict[tuple[int, ...], Runner] = {}
        now = self._made(sizes.values)
        self.graph, self.executable = now.graph, now.executable
        self.seconds, self.is_compiled = now.seconds, now.is_compiled

    def run_at(
        self, values: tuple[int, ...], addresses: Sequence[int], scalars: Sequence[Any]
    ) -> list[Buffer]:
        """Runs the program for these of the variables of its sizes."""
        run = self._runs.get(values)
        if run is None:
            if len(self._runs) >= MOST_SIZES:
                self._runs.pop(next(iter(self._runs), ()), None)
            run = self._runs[values] = self._made(self._sizes.atoms(values, self._count)).run
        return run(addresses, scalars)

    def _made(self, atoms: Sequence[int]) -> Program:
        return program_of(resized(self._open, atoms), options=self._options)


MOST_SIZES = 512
"""So many combinations of sizes keep their programs."""


class Interpreted:
    """A graph run by the ops' NumPy `eval`, for `config.eager = "numpy"`."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def run(
        self, addresses: Sequence[int], scalars: Sequence[bool | int | float] = ()
    ) -> list[Buffer]:
        inputs = [node for node in self.graph.inputs if isinstance(node, Input)]
        arrays = {node: _array(node, at) for node, at in zip(inputs, addresses, strict=True)}
        outputs, effects = interpret(self.graph, list(arrays.values()), scalars)
        for effect, value in zip(self.graph.effects, effects, strict=True):
            arrays[effect.target][...] = value
        return [_buffer(output) for output in outputs]


def _array(node: Input, address: int) -> np.ndarray:
    return array_at(address, node.aval.dtype.numpy, node.aval.sizes, node.strides)


def _buffer(array: np.ndarray) -> Buffer:
    buffer = Buffer.allocate(array.nbytes)
    buffer.array(array.dtype, array.shape)[...] = array
    return buffer


_known: WeakValueDictionary[tuple[str, Options, int], Program] = WeakValueDictionary()
_lock = threading.Lock()


def _renew_lock() -> None:
    """In a child process: whoever held the lock is a thread of the parent's."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def program_of(graph: Graph, *, options: Options) -> Program:
    """The graph compiled; graphs of one text, under the same settings, are compiled once."""
    key = (print_graph(graph, locations=False), options, config.epoch)
    with _lock:
        program = _known.get(key)
        if program is None:
            program = _known[key] = Program(graph, key[0], options)
        return program


@dataclass(frozen=True, slots=True)
class Compilation:
    """A program, and the part of a call, counted by the points where somebody looked at a value, that needed it."""

    part: int
    program: Program


class Programs:
    """The traces of one function, and the programs made of them, in the order in which they were needed."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.compiled: list[Compilation] = []
        self.cuts: Counter[str] = Counter()
        """Where and why a call's ops had to run before its end."""
        self._root = Step(None, None)
        self._epoch = config.epoch
        self._steps = 0
        self._lengths: set[int] = set()
        self._sized: dict[Any, SizedProgram] = {}
        """Programs with open sizes, by their text and what their sizes are made of."""

    @property
    def is_in_pieces(self) -> bool:
        """Whether calls are cut up, because whole ones keep being of another length."""
        return len(self._lengths) > MANY_LENGTHS

    @property
    def budget(self) -> int:
        """How many values are recorded before they are computed."""
        return min(PIECE, config.node_budget) if self.is_in_pieces else config.node_budget

    def _program(self, graph: Graph) -> Program:
        sizes = sizes_of(graph)
        if sizes is None:
            return program_of(graph, options=self.options)
        atoms = tuple(
            f"{made[0].__name__} {name_of(made[1])} {name_of(made[2])}" if made else ""
            for made in sizes.made
        )
        key = print_graph(graph, locations=False), atoms
        found = self._sized.get(key)
        if found is None:
            found = self._sized[key] = SizedProgram(graph, sizes, self.options)
        return found

    def grown(self) -> None:
        """Counts a step that no trace had before."""
        self._steps += 1

    def root(self) -> Step:
        """Where a trace begins."""
        if self._epoch != config.epoch or self._steps > MOST_STEPS:
            self._root = Step(None, None)
            self._epoch = config.epoch
            self._steps = 0
            self._lengths.clear()
            self._sized.clear()
            self.compiled.clear()
            self.cuts.clear()
        return self._root

    def ending(self, last: Step, ends: Ends, part: int = 0) -> Program:
        """The program of a trace."""
        program = last.programs.get(ends)
        if program is None:
            program = self._program(graph_of(last, ends))
            last.programs[ends] = program
            self.grown()
            self.compiled.append(Compilation(part, program))
            self._lengths.add(last.place)
        return program
