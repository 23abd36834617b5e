"""What has been compiled: of one function, and of the whole process."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from tracejit._collection import uncollected
from tracejit._config import config
from tracejit._records import dataclass
from tracejit.executable import executable_of, is_loaded, may_keep
from tracejit.ir.device import device_of
from tracejit.ir.dim import Sizes, name_of
from tracejit.ir.graph import Graph, Input
from tracejit.ir.interpret import interpret
from tracejit.ir.printer import print_graph
from tracejit.ir.resize import resized, sizes_of
from tracejit.passes.exact import is_exact
from tracejit.runtime.buffer import Buffer, array_at
from tracejit.tracing.background import BACKGROUND
from tracejit.tracing.stepwise import Runner, Stepwise
from tracejit.tracing.trace import Ends, Step, graph_of

MANY_LENGTHS = 24
PIECE = 100
"""A function that has made programs of so many lengths runs in pieces of so many values, most of which are alike."""
_PAUSE = 1e-5
"""Seconds in which a thread that is importing, which lets go of the interpreter for each file, gets it again; else it would wait
for 5 ms each time."""
MOST_STEPS = 200_000
"""Steps kept for one function; a function whose every call is another begins anew after so many."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a program is compiled with besides the settings; `memory_limit` in bytes."""

    fastmath: bool = False
    memory_limit: int | None = None
    background: bool = False


class Program:
    """A graph that can be run.

    executable   it runs: `run(addresses, scalars) -> buffers`; one that `is_compiled` is a `tracejit.executable.Executable`
    run          what runs it, which holds no more than that needs
    """

    __slots__ = ("__weakref__", "executable", "graph", "is_compiled", "run", "seconds")

    executable: Any
    run: Runner
    failure: str = ""
    """Why it could not be compiled in the background."""

    def __init__(self, graph: Graph, text: str, options: Options) -> None:
        start = time.perf_counter()
        self.graph = graph
        self.is_compiled = config.eager != "numpy" or device_of(graph) != "cpu"
        self.executable = (
            executable_of(graph, text, fastmath=options.fastmath, memory_limit=options.memory_limit)
            if self.is_compiled
            else Interpreted(graph)
        )
        self.run = self.executable.program.run if self.is_compiled else self.executable.run
        self.seconds = time.perf_counter() - start

    @property
    def is_late(self) -> bool:
        """Whether it still runs op by op, until it has been compiled."""
        return False

    @property
    def runner(self) -> Runner:
        """What recordings hold to run it."""
        return self.run

    def want(self) -> None:
        """Has it compiled some time, if it is not."""

    def ready(self) -> Program:
        """Itself, compiled."""
        return self


class LateProgram(Program):
    """Runs op by op until it has been compiled in the background. Recordings hold it, and look at `run` each time.

    executable   what runs it until then, with the same bits
    """

    __slots__ = ("_options", "_settings", "_text", "failure")

    def __init__(
        self, graph: Graph, text: str, options: Options, executable: Stepwise | Interpreted
    ) -> None:
        self.graph = graph
        self._text = text
        self.executable = executable
        self.is_compiled = False
        self.run = self._run_late
        self.seconds = 0.0
        self.failure = ""
        self._options = options
        self._settings = _settings()

    def __call__(self, addresses: Sequence[int], scalars: Sequence[Any] = ()) -> list[Buffer]:
        return self.run(addresses, scalars)

    def _run_late(self, addresses: Sequence[int], scalars: Sequence[Any] = ()) -> list[Buffer]:
        buffers: list[Buffer] = self.executable.run(addresses, scalars)
        self.want()  # after the first run, which has to do with the compiler as well
        if not is_loaded():
            time.sleep(_PAUSE)
        return buffers

    def want(self) -> None:
        if self.is_late:
            BACKGROUND.want(self)

    @property
    def is_late(self) -> bool:
        return not self.is_compiled and not self.failure

    @property
    def runner(self) -> Runner:
        return self.run if self.is_compiled else self

    def ready(self) -> Program:
        self.make()
        return self

    def make(self) -> None:
        """Compiles it under the settings that it was recorded under; while there are others it stays late."""
        epoch = config.epoch
        if not self.is_late or _settings() != self._settings:
            return
        try:
            made = Program(self.graph, self._text, self._options)
        except Exception as error:
            if config.epoch == epoch:
                self._fail(f"{type(error).__name__}: {error}")
            return
        if config.epoch == epoch:
            self.executable, self.seconds, self.run = made.executable, made.seconds, made.run
            self.is_compiled = True

    def _fail(self, why: str) -> None:
        where = next((node.loc for node in self.graph.applies if node.loc), None)
        self.failure = f"{where}: a program could not be compiled, so its ops run one by one: {why}"
        self.run = self.executable.run
        file, line = (where.file, where.line) if where else (__file__, 1)
        warnings.warn_explicit(self.failure, RuntimeWarning, file, line)


def _settings() -> tuple[Any, ...]:
    """Those that a program depends on."""
    return config.eager, config.target, config.fuse


class SizedProgram(Program):
    """A graph with open sizes: a program for each combination of them, made when it is first needed.

    whole    the graph
    first    that of the sizes of the recorded call
    values   these sizes
    """

    __slots__ = ("_count", "_make", "_runs", "_sizes", "first", "values", "whole")

    def __init__(self, graph: Graph, sizes: Sizes, make: Callable[[Graph], Program]) -> None:
        self.whole = graph
        self._sizes = sizes
        self._count = len(sizes.made)  # recordings to come may make more of them
        self._make = make
        self._runs: dict[tuple[int, ...], Runner] = {}
        self.first = self._made(sizes.values)
        self.values = tuple(sizes.values[variable] for variable in sizes.variables)
        self.graph, self.run = self.first.graph, self.first.runner

    def run_at(
        self, values: tuple[int, ...], addresses: Sequence[int], scalars: Sequence[Any]
    ) -> list[Buffer]:
        """Runs the program for these of the variables of its sizes."""
        return self.at(values)(addresses, scalars)

    def at(self, values: tuple[int, ...]) -> Runner:
        """What runs the program for these sizes."""
        run = self._runs.get(values)
        if run is None:
            if len(self._runs) >= MOST_SIZES:
                self._runs.pop(next(iter(self._runs), ()), None)
            run = self._runs[values] = self._made(self._sizes.atoms(values, self._count)).runner
        elif isinstance(run, LateProgram):
            run = self._runs[values] = run.runner
        return run

    def _made(self, atoms: Sequence[int]) -> Program:
        return self._make(resized(self.whole, atoms))


MOST_SIZES = 512
"""So many combinations of sizes keep their programs."""


class Interpreted:
    """A graph run by the ops' NumPy `eval`."""

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
    """The graph compiled, now or in the background; graphs of one text, under the same settings, are compiled once."""
    key = (print_graph(graph, locations=False), options, config.epoch)
    with _lock:
        program = _known.get(key)
        if program is None:
            meanwhile = _meanwhile(graph, options)
            program = _known[key] = (
                Program(graph, key[0], options)
                if meanwhile is None
                else LateProgram(graph, key[0], options, meanwhile)
            )
        return program


def _meanwhile(graph: Graph, options: Options) -> Stepwise | Interpreted | None:
    """What runs the graph until it has been compiled; None where the call waits for that."""
    # Whether a limit can be kept is said at the call; neither NumPy nor a step after another runs on a GPU.
    if config.eager == "numpy" or options.memory_limit is not None or device_of(graph) != "cpu":
        return None
    if not is_loaded() and may_keep(graph) and is_exact(graph):
        return Interpreted(graph)  # NumPy is there, and the compiler takes long to load
    return Stepwise(graph) if options.background else None


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

    def program(self, graph: Graph) -> Program:
        """The program of a graph without open sizes."""
        return program_of(graph, options=self.options)

    def _program(self, graph: Graph) -> Program:
        sizes = sizes_of(graph)
        if sizes is None:
            return self.program(graph)
        atoms = tuple(
            f"{made[0].__name__} {name_of(made[1])} {name_of(made[2])}" if made else ""
            for made in sizes.made
        )
        key = print_graph(graph, locations=False), atoms
        found = self._sized.get(key)
        if found is None:
            found = self._sized[key] = SizedProgram(graph, sizes, self.program)
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
            with uncollected():
                program = self._program(graph_of(last, ends))
            last.programs[ends] = program
            self.grown()
            first = program.first if isinstance(program, SizedProgram) else program
            self.compiled.append(Compilation(part, first))
            self._lengths.add(last.place)
        return program
